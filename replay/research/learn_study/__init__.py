"""
A comparison of model recipes on many tapes, each cell with the result of its own replay.

    windows   the lengths of training and test windows on a tape
    walks     retrainings in this process; every model is trained once, whichever policy judges it
    cells     one recipe on one tape under every policy
    lesson    what the models of a cell were worth, as plain values
    verdict   the conclusion from all cells, corrected for their number
    run       a study from its axes to its result
    result    the outcome: one row per cell, evidence over time, Parquet
    page      its page
"""
