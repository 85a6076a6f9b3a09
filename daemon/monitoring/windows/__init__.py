"""
Windows of what grows for years: bounded answers with true extremes, however long they are.

    candles    of one symbol
    equity     the account's curve and its fall from the peak
    structure  market structure: what formed, became known and ended
"""
