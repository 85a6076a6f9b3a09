"""
The daemon: everything with a socket, a clock or a disk around the engine.

    cli commands          `papertape`, a module per group of commands
    app venues            the composition root; which venue is followed and how its feed is opened
    journal               inputs in order, snapshots, and the engine's reports
    chapters              a running account that continues with another strategy, costs or limits
    feeds                 from a venue's sockets to final candles
    learning              retraining, drift monitoring, the model store
    runtime               a running daemon: recovery, audit, jobs, maintenance
    metrics monitoring    Prometheus families; HTTP, the page, status, logs, systemd
    backtests             backtests on request
    notifications         notifications, and users' own rules
    client                a daemon's API from Python
    doctor                checks of the machine and the venue against what the client expects
"""
