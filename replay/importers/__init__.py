"""
Importers: the formats that users already have. One small file per family of dialects.

    detect dialect          the table of importers, and which of them a file gets
    build options           from a file to a tape; what a user may say about it
    source table times lists refuse   a file as bytes, text tables, times, JSON lists, and what is no candle file
    series rates            funding, marks, index, open interest, long/short ratio of a market; what a rate may be
    named sample            tapes by what a user calls them; the embedded sample
    binance bitfinex cryptodatadownload freqtrade generic kraken lean   one family each

`IMPORTERS` of `detect` is the table, whose `read_raw` only reads; `import_tape` of `build` goes all the way to a tape; `Options`
is what a user may say. Nothing is loaded here: whoever asks a tape for its name needs no reader of files.
"""
