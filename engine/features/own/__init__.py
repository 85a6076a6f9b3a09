"""
User-defined features, beside the built-in ones: one column each, in three forms.

    base      what all forms share: a name, a look-back, a saved state
    objects   an instance with `update(candle)`
    kernels   a kernel with the signature of the built-in ones
    tables    a function over a table of the newest candles
    names     the registry of their names, and which names are allowed
    definition   a digest of a feature's definition: another version is another feature
    series    the features of one symbol on one timeframe, computed for all new candles
    faults    values that were refused: at which candle, and why
"""
