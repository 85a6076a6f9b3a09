"""Candles that nobody traded in: whole tapes of them are not replayed unless told, and fills in them are counted."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.jit import Rows
from papertape.replay.tapes.tape import Tape

_MARKS: Final = "MARK:"  # what Delta puts before the symbol of a series of mark prices
_WAY_OUT: Final = "--set data.no_volume=trade (in Python no_volume='trade') replays it all the same"


def refuse_untraded(tapes: Sequence[Tape], cuts: Sequence[Rows], traded: Sequence[str] | None = None) -> None:
    """
    Raise ConfigError for a tape on which no order can have filled.

    cuts  what is replayed of each tape; traded: symbols that are not read only; default: all
    """
    for tape, rows in zip(tapes, cuts, strict=True):
        if traded is not None and tape.symbol not in traded:
            continue
        if tape.symbol.startswith(_MARKS) or tape.kind == "mark":
            raise ConfigError(f"{tape.symbol}: a series of mark prices, at which nobody trades; {_WAY_OUT}")
        if len(rows) and not rows["volume"].any():
            raise ConfigError(
                f"{tape.symbol}: none of its {len(rows):,} candles has volume (mark or index prices, or a file without "
                f"that column), so nothing can have filled in them; {_WAY_OUT}"
            )


def fills_without_volume(fills: Rows, cuts: Sequence[Rows]) -> int:
    """Return how many FILL records stand in candles without volume; `cuts` in the order of the engine's symbols."""
    found = 0
    for symbol, rows in enumerate(cuts):
        stamps = fills["candle_ms"][fills["symbol"] == symbol]
        at = np.minimum(np.searchsorted(rows["open_ms"], stamps), len(rows) - 1)
        found += int(((rows["open_ms"][at] == stamps) & (rows["volume"][at] == 0.0)).sum())
    return found


def sentence(n_without: int, n_fills: int) -> list[str]:
    """Return what a reader must know of such fills; nothing when there are none."""
    if not n_without:
        return []
    return [
        f"{n_without:,} of {n_fills:,} fills stand in candles without volume: nobody traded then, and at those prices "
        "nothing could have been bought or sold."
    ]
