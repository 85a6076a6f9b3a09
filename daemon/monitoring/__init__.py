"""
What is seen of a daemon from outside, and what may be asked of it.

    observer model_observer     metrics, HTTP, logs and systemd put together; models, attempts and drift
    server routes schemas access states   HTTP: sockets, routes, requests and answers, who may ask, parts of the status
    api                         `/api/v1`: the journal's tables, for whoever looks on
    windows                     of candles, equity and structure: bounded answers with true extremes
    commands                    what an operator asks for, once for each key
    backtests                   replays that are made for whoever asks (`papertape.daemon.backtests`)
    peers                       other daemons on the page of this one, read only
    assets                      the page at `/` and the files that it loads, `web/`
    log systemd                 log lines; what the supervisor is told
"""
