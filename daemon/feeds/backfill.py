"""
Backfill: what to fetch between the last candle that was emitted and the live ones, and what it comes to.

It works in windows that all symbols share, oldest first, so that a month of history passes in bounded memory. It stops
short of candles that have just ended: those are finality's, which knows what a lagging history looks like. A candle
that the history does not have is declared absent; instants from before every symbol had a candle are dropped.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from papertape.daemon.feeds.protocol import Notice, NoticeKind
from papertape.engine.candles import CANDLE, FLAG_ABSENT
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows, copy_rows

WINDOW_BARS = 2_000  # the history's page
# A history answers an empty span with nothing, so a window reaches back to a candle that traded, within reason.
REACH_BARS = 240


def restart_gap(after_ms: int, now_ms: int, length_ms: int) -> Notice | None:
    """Return what tells how many candles ended while nobody was there; None when none did."""
    first_ms = after_ms + length_ms
    n_missing = now_ms // length_ms - first_ms // length_ms
    if n_missing <= 0:
        return None
    return Notice(NoticeKind.GAP, now_ms, "", first_ms, n_missing, "restart")


class Window(NamedTuple):
    """Open times to ask every symbol's history for, and the first of them that is wanted."""

    ask_ms: int
    first_ms: int
    last_ms: int


class Backfill:
    """
    Candles from `first_ms` on, window by window.

    closes   last close of each symbol before `first_ms`, 0.0 when not known
    """

    def __init__(
        self, symbols: Sequence[str], length_ms: int, first_ms: int, closes: Sequence[float] = ()
    ) -> None:
        self._symbols = tuple(symbols)
        self._length_ms = length_ms
        self.next_ms = first_ms
        self.closes = list(closes) or [0.0] * len(self._symbols)
        self.n_absent = 0

    def window(self, settled_ms: int) -> Window | None:
        """Return what to fetch next of the candles that ended by `settled_ms`, None when there is nothing left."""
        length_ms = self._length_ms
        last_ms = settled_ms // length_ms * length_ms - length_ms
        if last_ms < self.next_ms:
            return None
        last_ms = min(last_ms, self.next_ms + (WINDOW_BARS - REACH_BARS - 1) * length_ms)
        return Window(max(self.next_ms - REACH_BARS * length_ms, 0), self.next_ms, last_ms)

    def fill(self, window: Window, tapes: Mapping[str, Rows]) -> Rows:
        """Return the complete instants of a window from each symbol's candles, in order."""
        assert window.first_ms == self.next_ms
        stamps = np.arange(window.first_ms, window.last_ms + 1, self._length_ms, dtype=np.int64)
        instants = np.zeros((len(stamps), len(self._symbols)), CANDLE)
        known_from = 0
        for index, symbol in enumerate(self._symbols):
            column, skipped = self._column(tapes[symbol], stamps, index)
            instants[:, index] = column
            known_from = max(known_from, skipped)
        self.next_ms = window.last_ms + self._length_ms
        return copy_rows(np.ascontiguousarray(instants[known_from:]).reshape(-1))

    def _column(
        self, tape: Rows, stamps: np.ndarray[tuple[int], np.dtype[np.int64]], index: int
    ) -> tuple[Rows, int]:
        """Return one symbol's candles at every stamp, and how many of them lie before its first price."""
        stamps_of = tape["open_ms"]
        if len(tape) > 1 and not bool((np.diff(stamps_of) > 0).all()):
            raise DataError(f"{self._symbols[index]}: the history's candles are not in order")
        before = int(np.searchsorted(stamps_of, stamps[0]))
        if before:
            self.closes[index] = float(tape["close"][before - 1])
        column = np.zeros(len(stamps), CANDLE)
        close, skipped = self.closes[index], 0
        position = np.searchsorted(stamps_of, stamps)
        for i, (stamp, at) in enumerate(zip(stamps.tolist(), position.tolist(), strict=True)):
            if at < len(tape) and stamps_of[at] == stamp:
                column[i] = tape[at]
                close = float(tape["close"][at])
            elif close > 0.0:
                column[i] = (stamp, index, close, close, close, close, 0.0, FLAG_ABSENT)
                self.n_absent += 1
            else:
                skipped = i + 1
        column["symbol"] = index
        self.closes[index] = close
        return column, skipped
