"""
Backfill: what to fetch between the last candle that was emitted and the live ones, and what it comes to.

It works in windows that all symbols share, oldest first, so that a month of history passes in bounded memory. It stops
short of candles that have just ended: those are finality's, which knows what a lagging history looks like. A candle
that the history leaves out is declared absent; a market of which it says nothing at all, as far as we look back, has
not traded, and its candles are flat. Instants from before every symbol had a price are dropped.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from papertape.daemon.feeds.answers import REACH_BARS
from papertape.daemon.feeds.finality.bars import bars_of
from papertape.daemon.feeds.protocol import FeedStats, Notice, NoticeKind
from papertape.engine.candles import CANDLE, FLAG_ABSENT, FLAG_FILLED
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows, copy_rows

WINDOW_BARS = 2_000  # the history's page
Fetch = Callable[
    [str, int, int], Awaitable[Rows]
]  # symbol, first and last open time → candles, however long it takes


class KnownBefore(NamedTuple):
    """
    What is known of a symbol when its candles begin.

    close      of the candle before; 0.0 when there is no price yet
    traded_ms  open time of the last candle that traded; 0 when that is longer ago than we looked back
    """

    close: float = 0.0
    traded_ms: int = 0

    def after(self, rows: Rows) -> "KnownBefore":
        """Return what is known after some more candles."""
        if not len(rows):
            return self
        traded = [bar.open_ms for bar in bars_of(rows) if bar.has_traded]
        return KnownBefore(float(rows["close"][-1]), traded[-1] if traded else self.traded_ms)


async def look_back(
    symbol: str, first_ms: int, length_ms: int, fetch: Fetch, close: float = 0.0
) -> KnownBefore:
    """
    Return what is known of a symbol before `first_ms`, as far as a page of history goes.

    close  what the account has as its last close, if it has begun: of a market that has been silent for longer
    """
    known = KnownBefore(close)
    for n_bars in (REACH_BARS, WINDOW_BARS):
        since_ms = max(first_ms - n_bars * length_ms, 0)
        known = known.after(await fetch(symbol, since_ms, first_ms - length_ms))
        if known.traded_ms:
            break
    return known


def count_backfilled(stats: FeedStats, symbols: Sequence[str], rows: Rows, length_ms: int) -> None:
    """Count candles that a backfill gave, absent ones apart."""
    is_absent = (rows["flag_bits"] & FLAG_ABSENT) != 0
    for index, symbol in enumerate(symbols):
        mine = rows["symbol"] == index
        stats.candles[symbol, "backfill"] += int((mine & ~is_absent).sum())
        stats.candles[symbol, "absent"] += int((mine & is_absent).sum())
        stats.last_close_ms[symbol] = int(rows["open_ms"][-1]) + length_ms


def restart_gap(after_ms: int, now_ms: int, length_ms: int) -> Notice | None:
    """Return what tells how many candles ended while nobody was there; None when none did."""
    first_ms = after_ms + length_ms
    n_missing = now_ms // length_ms - first_ms // length_ms
    if n_missing <= 0:
        return None
    return Notice(NoticeKind.GAP, now_ms, "", first_ms, n_missing, "restart")


class MissingWindow(NamedTuple):
    """Open times to ask every symbol's history for, and the first of them that is wanted."""

    ask_ms: int
    first_ms: int
    last_ms: int


class Backfill:
    """
    Candles from `first_ms` on, window by window.

    known   of each symbol before `first_ms`, and then before `next_ms`
    """

    def __init__(
        self, symbols: Sequence[str], length_ms: int, first_ms: int, known: Sequence[KnownBefore] = ()
    ) -> None:
        self._symbols = tuple(symbols)
        self._length_ms = length_ms
        self.next_ms = first_ms
        self.known = list(known) or [KnownBefore()] * len(self._symbols)

    def window(self, settled_ms: int) -> MissingWindow | None:
        """Return what to fetch next of the candles that ended by `settled_ms`, None when there is nothing left."""
        length_ms = self._length_ms
        last_ms = settled_ms // length_ms * length_ms - length_ms
        if last_ms < self.next_ms:
            return None
        last_ms = min(last_ms, self.next_ms + (WINDOW_BARS - REACH_BARS - 1) * length_ms)
        return MissingWindow(max(self.next_ms - REACH_BARS * length_ms, 0), self.next_ms, last_ms)

    def fill(self, window: MissingWindow, tapes: Mapping[str, Rows]) -> Rows:
        """Return the complete instants of a window from each symbol's candles, in order; who has no tape is gone."""
        assert window.first_ms == self.next_ms
        stamps = np.arange(window.first_ms, window.last_ms + 1, self._length_ms, dtype=np.int64)
        instants = np.zeros((len(stamps), len(self._symbols)), CANDLE)
        known_from = 0
        for index, symbol in enumerate(self._symbols):
            column, skipped = self._column(tapes.get(symbol), stamps, index)
            instants[:, index] = column
            known_from = max(known_from, skipped)
        self.next_ms = window.last_ms + self._length_ms
        return copy_rows(np.ascontiguousarray(instants[known_from:]).reshape(-1))

    def _column(
        self, given: Rows | None, stamps: np.ndarray[tuple[int], np.dtype[np.int64]], index: int
    ) -> tuple[Rows, int]:
        """Return one symbol's candles at every stamp, and how many of them lie before its first price."""
        tape = np.zeros(0, CANDLE) if given is None else given
        stamps_of = tape["open_ms"]
        if len(tape) > 1 and not bool((np.diff(stamps_of) > 0).all()):
            raise DataError(f"{self._symbols[index]}: the history's candles are not in order")
        before = int(np.searchsorted(stamps_of, stamps[0]))
        self.known[index] = self.known[index].after(tape[:before])
        column = np.zeros(len(stamps), CANDLE)
        close, skipped = self.known[index].close, 0
        # A history begins at a trade: what it says nothing about before that has not traded, what it leaves out after
        # that is a hole, and what is gone has no history.
        oldest_ms = int(stamps_of[0]) if len(tape) else int(stamps[-1]) + 1
        oldest_ms = 0 if given is None else oldest_ms
        position = np.searchsorted(stamps_of, stamps)
        for i, (stamp, at) in enumerate(zip(stamps.tolist(), position.tolist(), strict=True)):
            if at < len(tape) and stamps_of[at] == stamp:
                column[i] = tape[at]
                close = float(tape["close"][at])
            elif close > 0.0:
                flag_bits = FLAG_FILLED if stamp < oldest_ms else FLAG_ABSENT
                column["open_ms"][i], column["flag_bits"][i] = stamp, flag_bits
                for name in ("open", "high", "low", "close"):
                    column[name][i] = close
            else:
                skipped = i + 1
        column["symbol"] = index
        self.known[index] = self.known[index].after(tape[before:])
        return column, skipped
