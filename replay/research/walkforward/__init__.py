"""
Walk-forward: parameters are chosen on what was known, and the account goes on with them; one account, from the first choice
to the last candle.

    windows   where each choice looks, how long it is left alone, where it is tried
    search    the trials of every window, in sample and out of sample
    choice    the peak of a search, and the centre of its plateau
    account   one continuous account whose parameters switch at the stated instants
    check     that nothing of it knew what came later
    run       a walk-forward from its axes to its result
    efficiency  what the windows' efficiency says together
    result    what came of it: the table by window, ranks, Parquet
    page      its page: windows, choices, ranks, the account, what was checked
"""
