"""
Recipes for models compared on many tapes, each cell as its own replay would be.

    windows   how much a model learns from and is judged by on a tape of some length
    walks     retrainings in this process, of which every model is trained once, whatever policy judges it
    cells     one recipe on one tape under every policy
    lesson    what the models of a cell were worth, as plain values
    verdict   what all cells say together, corrected for how many were looked at
    run       a study from its axes to its result
    result    what came of it: one row a cell, evidence over time, Parquet
    page      one page
"""
