"""
Importers: the formats that users already have. One small file per family of dialects.

    detect dialect          the table of importers, and which of them a file gets
    build options           from a file to a tape; what a user may say about it
    source table times lists refuse   a file as bytes, text tables, times, JSON lists, and what is no candle file
    series                  funding, marks, index, open interest, long/short ratio of a market
    named sample            tapes by what a user calls them; the embedded sample
    binance bitfinex cryptodatadownload freqtrade generic kraken lean   one family each

`IMPORTERS` is the table; `import_tape` goes all the way to a tape, `read_raw` only reads; `Options` is what a user may say.
"""

from papertape.replay.importers.build import Imported, build_tape, import_tape, raw_quality
from papertape.replay.importers.detect import IMPORTERS, detect, read_raw
from papertape.replay.importers.options import Options

__all__ = [
    "IMPORTERS",
    "Imported",
    "Options",
    "build_tape",
    "detect",
    "import_tape",
    "raw_quality",
    "read_raw",
]
