"""
Features of somebody's own, beside those of the table: one column each, whatever way it is written.

    base      what all of them have in common: a name, a look-back, a state that is saved
    objects   an instance with `update(candle)`
    kernels   a function in a kernel, in the form that ours have
    tables    a function over a table of the newest candles
    names     which of them there are, and what they may be called
    definition   a digest of what defines one: another version is another feature
    series    those of one symbol on one timeframe, computed for all new candles
    faults    what was no value: at which candle, and why
"""
