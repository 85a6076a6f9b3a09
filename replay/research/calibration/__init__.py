"""
How often the statistics of this package claim an edge where there is none, and how often they find one that was planted.

    shapes    eight kinds of profit and loss whose truth is known
    claims    what each statistic says of one history
    study     the rates, their intervals, and what they may be at most
    markets   noise markets, for the engine
    searches  sweeps of those, judged by a real ledger
"""
