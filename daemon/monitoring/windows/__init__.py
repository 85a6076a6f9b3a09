"""
Windows of data that grow for years: bounded answers with true extremes, whatever their span.

    candles    the candles of one symbol
    equity     the equity curve and its drawdown
    structure  market structure: what formed, became known and ended
"""
