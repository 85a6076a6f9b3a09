"""
Monitoring and control of a daemon: HTTP, logs, metrics and commands.

    observer model_observer     metrics, HTTP, logs and systemd put together; models, attempts and drift
    server routes schemas access states   HTTP: sockets, routes, requests and answers, authorization, parts of the status
    api                         `/api/v1`: the journal's tables, read only
    windows                     bounded answers about candles, equity and structure, with true extremes
    commands                    an operator's commands, each key executed once
    backtests                   backtests on request (`papertape.daemon.backtests`)
    peers                       other daemons on the page of this one, read only
    assets                      the page at `/` and the files that it loads, `web/`
    log systemd                 log lines; notifications to the supervisor
"""
