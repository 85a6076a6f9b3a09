"""
Many configurations over the same tapes, each as its replay would be.

    axes      what is varied: a key of the configuration and its values
    space     trials by number: a grid, or seeded draws
    reader    candles and features that trials share
    trial     one configuration, replayed and measured
    parts     a part of a run, measured as if it were one
    judging   windows on which a trial is judged, and given up where it falls behind
    record    the file of finished trials: appended to, locked, gone on with after a kill
    books     its trials in the ledger of all trials
    hands     who does trials: processes here, or a cluster
    workers   processes that do trials
    run       a sweep from its axes to its result, and the check of some trials against their replays
    result    what came of it: the table, the best, Parquet
"""
