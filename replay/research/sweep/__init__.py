"""
Sweeps: many configurations over the same tapes, each with the result of its own replay.

    axes           what is varied: a key of the configuration and its values
    space          trials by number: a grid, or seeded draws
    reader         candles and features that trials share
    trial          one configuration, replayed and measured
    parts          a part of a run, measured like a whole run
    judging        windows on which a trial is measured, and early pruning
    record         the file of finished trials: append only, locked, resumed after a kill
    ledger_writer  its trials in the ledger of all trials
    executors      where trials run: processes here, or a cluster
    workers        processes that run trials
    run            a sweep from its axes to its result, with a check of some trials against their replays
    result         the outcome: table, best trials, Parquet
"""
