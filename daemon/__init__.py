"""
The world: everything with a socket, a clock or a disk around the engine.

    cli commands          `papertape`, a file per group of commands
    app venues            the composition root; which venue is followed and how its feed is opened
    journal               inputs in order, snapshots, and what the engine reported
    chapters              a running account that goes on with another strategy, costs or limits
    feeds                 from a venue's sockets to final candles
    learning              retraining, the watch on drift, the model store
    runtime               a running daemon: recovery, audit, jobs, maintenance
    metrics monitoring    Prometheus families; HTTP, the page, status, logs, systemd
    backtests             replays that are made for whoever asks
    notifications         messages to people, and rules of their own
    client                a daemon's API from Python
    doctor                the machine and the venue against what the client expects
"""
