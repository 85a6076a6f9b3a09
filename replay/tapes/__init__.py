"""
Tapes: recorded candles as values and as files.

    tape store arrow         the candles of one market and timeframe; a folder of them; Parquet columns as arrays
    raw cleaning quality     what a file holds, what of it may be traded on, and what is wrong with it, counted
    timestamps resample      the grid of open times; longer candles from shorter ones
    untraded own_features    candles that nobody traded in; a feature as a function over a table of candles
    synthetic tables         markets that never traded; records as tables
"""
