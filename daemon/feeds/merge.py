"""
Merge: final candles of single symbols become complete instants, one candle per symbol in symbol order.

Finality gives every symbol's candles in order without a hole once the first is there, absent ones included, so a
complete instant needs no clock here. Instants from before every symbol had a candle are dropped, as replay does.
"""

from collections.abc import Sequence

import numpy as np

from daemon.feeds.bars import Final
from engine.candles import CANDLE
from engine.jit import Rows


class Merge:
    """Final candles waiting for the other symbols of their instant."""

    def __init__(self, symbols: Sequence[str], length_ms: int) -> None:
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._length_ms = length_ms
        self._firsts: dict[str, int] = {}
        self._waiting: dict[int, list[Final]] = {}
        self._next_ms: int | None = None

    @property
    def n_waiting(self) -> int:
        """Return how many instants are incomplete."""
        return len(self._waiting)

    def start(self, after_ms: int) -> None:
        """Begin with the instant after one that was complete for all symbols."""
        self._next_ms = after_ms + self._length_ms

    def put(self, final: Final) -> None:
        """Take one final candle."""
        open_ms = final.bar.open_ms
        if self._next_ms is None:
            self._firsts.setdefault(final.symbol, open_ms)
            if len(self._firsts) == len(self._index):
                self._next_ms = max(self._firsts.values())
                self._waiting = {ms: f for ms, f in self._waiting.items() if ms >= self._next_ms}
        if self._next_ms is None or open_ms >= self._next_ms:
            self._waiting.setdefault(open_ms, []).append(final)

    def take(self) -> tuple[Rows, list[Final]]:
        """Return the instants that are complete, as candles and as what they were made from."""
        complete: list[Final] = []
        while self._next_ms is not None:
            finals = self._waiting.get(self._next_ms, [])
            if len(finals) < len(self._index):
                break
            complete += sorted(finals, key=lambda final: self._index[final.symbol])
            del self._waiting[self._next_ms]
            self._next_ms += self._length_ms
        return self._rows(complete), complete

    def _rows(self, finals: list[Final]) -> Rows:
        rows = np.zeros(len(finals), CANDLE)
        for row, final in zip(rows, finals, strict=True):
            index, bar = self._index[final.symbol], final.bar
            row[...] = (bar[0], index, *bar[1:], final.flag_bits)
        return rows
