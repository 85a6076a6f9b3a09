"""
Finality: which candle counts, when, and with which values. Pure: time is passed in.

    finality symbol_state   the table of all symbols, and one symbol's row
    rules                   when things are done about a candle, and what history proves
    bars trades             states of candles; candles from single trades
    backfill merge          history before live; symbols to complete instants
"""
