"""
Candles as a chart wants them: a window, drawn as coarsely as it must be, with the true high and low of every stretch.

Stretches are the strategy's timeframe times a power of two, on a grid from 1970, so a candle of a coarse window is made of
the same base candles whatever the window. A short window is read from the journal's inputs, by their times; a long one comes
from an overview that this keeps: at most MOST_KEPT stretches of each symbol, which double in length whenever there are more.
The first long one reads the journal once. Before, where the candles of a symbol begin and end is looked up at the journal's
own ends: who opens the page on an account of years waits for nothing else.
"""

from typing import Final

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.journal.codec import CANDLES
from papertape.daemon.monitoring.api.answers import CandleWindow
from papertape.engine.candles import CANDLE, FLAG_ABSENT
from papertape.engine.jit import IntArray, Rows, join_rows

MOST_CANDLES: Final = 1_500  # of one answer
MOST_KEPT: Final = 65_536  # of one symbol: 4 MB
_PAGE: Final = 4_096  # inputs read at a time
_PAGE_BYTES: Final = 16_000_000  # and no more than this, where inputs are long
_ENDS: Final = (
    512  # inputs at each end of the journal among which a symbol's first and last candle are looked for
)
_DIGITS: Final = 6  # significant, of a volume
_COLUMNS: Final = ("open", "high", "low", "close")


def stretched(candles: Rows, size_ms: int) -> Rows:
    """
    Return candles of one symbol, in order, as stretches of `size_ms`: first open, true high and low, last close, all volume.

    What is stretched once and again with later candles is what is stretched at once.
    """
    if not len(candles):
        return candles
    places: IntArray = candles["open_ms"] // size_ms
    starts = np.flatnonzero(np.diff(places, prepend=places[0] - 1))
    made: Rows = candles[starts].copy()
    made["open_ms"] = places[starts] * size_ms
    made["high"] = np.maximum.reduceat(candles["high"], starts)
    made["low"] = np.minimum.reduceat(candles["low"], starts)
    made["close"] = candles["close"][np.append(starts[1:], len(candles)) - 1]
    made["volume"] = np.add.reduceat(candles["volume"], starts)
    return made


class CandleHistory:
    """What is known of every symbol's candles; used by the reading thread alone."""

    def __init__(self, symbols: tuple[str, ...], timeframe_ms: int) -> None:
        self._symbols, self._timeframe_ms = symbols, timeframe_ms
        self._sequence = 0
        self._sizes = [timeframe_ms] * len(symbols)
        self._kept: list[Rows] = [np.zeros(0, CANDLE) for _ in symbols]

    def window(
        self, journal: Journal, symbol: str, from_ms: int | None, to_ms: int | None, limit: int
    ) -> CandleWindow:
        """Return at most `limit` candles of a window; without its beginning the newest before its end."""
        place, frame_ms = self._symbols.index(symbol), self._timeframe_ms
        known = self._known(journal, place)
        if known is None:
            return CandleWindow(symbol=symbol, timeframe_ms=frame_ms, size_ms=frame_ms)
        oldest_ms, newest_ms = known
        end_ms = newest_ms if to_ms is None else min(max(to_ms, oldest_ms), newest_ms)
        start_ms = end_ms - limit * frame_ms if from_ms is None else from_ms
        start_ms = max(min(start_ms, end_ms), oldest_ms)
        size_ms = self._size(start_ms, end_ms, limit)
        start_ms -= start_ms % size_ms
        if size_ms > frame_ms:
            self._read(journal)
        if self._sequence and size_ms >= self._sizes[place]:
            kept = self._kept[place]
            rows = kept[(kept["open_ms"] >= start_ms) & (kept["open_ms"] < end_ms)]
        else:
            rows = self._fresh(journal, place, start_ms, end_ms)
        rows = stretched(rows, size_ms)[-limit:]
        return _window(symbol, frame_ms, size_ms, rows, (oldest_ms, newest_ms))

    def _size(self, start_ms: int, end_ms: int, limit: int) -> int:
        """Return the shortest stretch of which a window has at most `limit`, whatever the grid cuts off its ends."""
        size_ms = self._timeframe_ms
        while -(-end_ms // size_ms) - start_ms // size_ms > limit:
            size_ms *= 2
        return size_ms

    def _known(self, journal: Journal, place: int) -> tuple[int, int] | None:
        """Return when a symbol's first candle opens and its last one closes; none where it has no candle."""
        if not self._sequence:
            first, last = (self._at_end(journal, place, order) for order in ("ASC", "DESC"))
            if first is not None and last is not None:
                frame_ms = self._timeframe_ms
                newest_ms = int(last["open_ms"][-1]) // frame_ms * frame_ms + frame_ms
                return int(first["open_ms"][0]) // frame_ms * frame_ms, newest_ms
        self._read(journal)
        kept = self._kept[place]
        if not len(kept):
            return None
        return int(kept["open_ms"][0]), int(kept["open_ms"][-1] + self._sizes[place])

    def _at_end(self, journal: Journal, place: int, order: str) -> Rows | None:
        """Return candles of a symbol in the first input that has some, or the last; none where that is not near the end."""
        query = f"SELECT CAST(payload AS BLOB) FROM inputs WHERE kind = ? ORDER BY sequence {order} LIMIT ?"  # noqa: S608 - one of two words
        for (payload,) in journal.each(query, CANDLES, _ENDS):
            own = _of_symbol(np.frombuffer(payload, CANDLE), place)
            if len(own):
                return own
        return None

    def _read(self, journal: Journal) -> None:
        """Take in what was journalled since the last time."""
        while rows := self._page(journal):
            self._sequence = rows[-1][0]
            candles = np.frombuffer(b"".join(payload for _, payload in rows), CANDLE)
            for place in range(len(self._symbols)):
                self._add(place, _of_symbol(candles, place))

    def _page(self, journal: Journal) -> list[tuple[int, bytes]]:
        """Return the next inputs with candles."""
        query = "SELECT sequence, CAST(payload AS BLOB) FROM inputs WHERE sequence > ? AND kind = ? ORDER BY sequence LIMIT ?"
        found, n_bytes = [], 0
        for sequence, payload in journal.each(query, self._sequence, CANDLES, _PAGE):
            found.append((sequence, payload))
            n_bytes += len(payload)
            if n_bytes > _PAGE_BYTES:
                break
        return found

    def _add(self, place: int, candles: Rows) -> None:
        kept = stretched(join_rows([self._kept[place], candles]), self._sizes[place])
        while len(kept) > MOST_KEPT:
            self._sizes[place] *= 2
            kept = stretched(kept, self._sizes[place])
        self._kept[place] = kept

    def _fresh(self, journal: Journal, place: int, start_ms: int, end_ms: int) -> Rows:
        """Return base candles of a window from the journal."""
        # By the index of times, which rise with the sequence; the input that reaches beyond the end begins before it.
        rows = journal.all(
            "SELECT CAST(payload AS BLOB) FROM inputs WHERE kind = 'candles' AND last_ms >= ? AND last_ms <= "
            "coalesce((SELECT min(last_ms) FROM inputs WHERE kind = 'candles' AND last_ms >= ?), ?) ORDER BY last_ms",
            start_ms,
            end_ms,
            2**62,
        )
        candles = np.frombuffer(b"".join(payload for (payload,) in rows), CANDLE)
        own = _of_symbol(candles, place)
        return own[(own["open_ms"] >= start_ms) & (own["open_ms"] < end_ms)]


def _of_symbol(candles: Rows, place: int) -> Rows:
    """Return the candles of one symbol that were received."""
    is_own = (candles["symbol"] == place) & (candles["flag_bits"] & FLAG_ABSENT == 0)
    own: Rows = candles[is_own]
    return own


def _window(symbol: str, frame_ms: int, size_ms: int, rows: Rows, known: tuple[int, int]) -> CandleWindow:
    return CandleWindow(
        symbol=symbol,
        timeframe_ms=frame_ms,
        size_ms=size_ms,
        oldest_ms=known[0],
        newest_ms=known[1],
        open_ms=rows["open_ms"].tolist(),
        volume=[float(f"{volume:.{_DIGITS}g}") for volume in rows["volume"].tolist()],
        **{name: rows[name].tolist() for name in _COLUMNS},
    )
