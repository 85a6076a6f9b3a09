"""Raw: the candles that a file holds, in its own order and with its own defects, and what it says about them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from papertape.engine.candles import empty_candles
from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray, Rows, join_rows

VolumeUnit = Literal["base", "contracts", "quote"]
PRICES = ("open", "high", "low", "close")


class Part(NamedTuple):
    """Where rows from `start` on come from."""

    start: int
    name: str
    first_row: int  # number of its first row in the file, as an editor counts
    lines: IntArray | None = None  # numbers of all its rows, where blank lines lie between them

    def where(self, index: int) -> str:
        """Return `file row 12` for the row at `index` of this part."""
        number = index + self.first_row if self.lines is None else int(self.lines[index])
        return f"{self.name} row {number}"


@dataclass(frozen=True, slots=True)
class Raw:
    """
    What one file says, before any judgement.

    candles      CANDLE rows in file order; prices may be NaN, stamps repeated, off the grid or backward
    dialect      the importer's name
    venue …      what the content itself says; None where it does not
    volume_unit  None: the format does not say
    notes        sentences for the report, about what was assumed or left out
    forming      candles left out because they were not final
    """

    candles: Rows
    dialect: str
    parts: tuple[Part, ...]
    venue: str | None = None
    symbol: str | None = None
    timeframe: str | None = None
    kind: str | None = None
    volume_unit: VolumeUnit | None = None
    contract_value: float | None = None
    notes: tuple[str, ...] = ()
    forming: int = 0

    @property
    def name(self) -> str:
        """Return the file's name for messages."""
        return self.parts[0].name

    def where(self, index: int) -> str:
        """Return `file row 12` for a row."""
        part = max((p for p in self.parts if p.start <= index), key=lambda p: p.start)
        return part.where(index - part.start)


def raw_candles(open_ms: IntArray, prices: Sequence[FloatArray], volume: FloatArray | None = None) -> Rows:
    """Return CANDLE rows from columns; `prices` are open, high, low, close."""
    candles = empty_candles(len(open_ms))
    candles["open_ms"] = open_ms
    for name, column in zip(PRICES, prices, strict=True):
        candles[name] = column
    if volume is not None:
        candles["volume"] = volume
    return candles


def join_raws(raws: Sequence[Raw]) -> Raw:
    """
    Return files of one market and one dialect as one, in the order given.

    Raises DataError when two files do not belong together.
    """
    first = raws[0]
    for other in raws[1:]:
        for what in ("dialect", "venue", "symbol", "volume_unit", "contract_value"):
            mine, theirs = getattr(first, what), getattr(other, what)
            if mine != theirs:
                raise DataError(
                    f"{other.name}: {what.replace('_', ' ')} {theirs} is not {mine} as in "
                    f"{first.name}; import them one by one"
                )
    parts: list[Part] = []
    start = 0
    for raw in raws:
        parts += [part._replace(start=part.start + start) for part in raw.parts]
        start += len(raw.candles)
    frames = {raw.timeframe for raw in raws}
    return replace(
        first,
        candles=join_rows([np.ascontiguousarray(raw.candles) for raw in raws]),
        parts=tuple(parts),
        timeframe=first.timeframe if len(frames) == 1 else None,
        notes=tuple(dict.fromkeys(note for raw in raws for note in raw.notes)),
        forming=sum(raw.forming for raw in raws),
    )
