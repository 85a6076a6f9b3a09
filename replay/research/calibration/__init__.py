"""
Calibration of this package's statistics: how often they claim an edge where there is none, and how often they find a planted one.

    shapes    eight kinds of profit and loss whose truth is known
    claims    what each statistic claims about one history
    study     the rates, their intervals, and their upper limits
    markets   noise markets for the engine
    searches  sweeps on those markets, judged by a real ledger
"""
