"""
The curve of the account as a chart wants it: a window, drawn as coarsely as it must be, with the true extremes of every stretch.

Stretches are five minutes times a power of two, on a grid from 1970. What is told of one are marks of the account, never
means: the lowest, the highest, the deepest fall from the peak and the last. A short window is read from the journal; a long
one comes from an overview that this keeps: at most MOST_KEPT stretches, which double in length whenever there are more. So
the first question reads the table once, and every later one what is new, and of its own window at most what it covers and
one stretch of the overview before it.
"""

from typing import Any, Final

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.journal.tables import EQUITY_EVERY_MS
from papertape.daemon.monitoring.api.answers import EquityCurve
from papertape.engine.jit import IntArray, Rows, join_rows, record
from papertape.engine.records import UNITS_PER_QUOTE
from papertape.replay.report.data import curve_values

STRETCHES: Final = 500  # of one answer: four marks each at most, 50 bytes a mark
MOST_KEPT: Final = 8_192  # stretches of the overview: 1 MB
_PAGE: Final = 16_384  # marks read at a time
_TABLE: Final = "SELECT time_ms, equity, exposure FROM equity WHERE time_ms"
# Money in units, as the journal has it; the peak is the highest equity up to the mark, and the capital at least.
CURVE_MARK: Final = record(("time_ms", "i8"), ("equity", "i8"), ("exposure", "i8"), ("peak", "i8"))


def thinned(marks: Rows, size_ms: int) -> Rows:
    """
    Return the marks, in order, that are the lowest, highest, deepest or last of their stretch of `size_ms`.

    What is thinned once and again with later marks is what is thinned at once.
    """
    if not len(marks):
        return marks
    places: IntArray = marks["time_ms"] // size_ms
    starts = np.flatnonzero(np.diff(places, prepend=places[0] - 1))
    lengths = np.diff(starts, append=len(marks))
    chosen = [starts + lengths - 1]
    worth, left = marks["equity"], marks["equity"] / marks["peak"]
    for values, extreme in ((worth, np.minimum), (worth, np.maximum), (left, np.minimum)):
        reaches = values == np.repeat(extreme.reduceat(values, starts), lengths)
        rows = np.flatnonzero(reaches)
        # The first of each stretch that reaches it.
        chosen.append(rows[np.unique(places[rows], return_index=True)[1]])
    found: Rows = marks[np.unique(np.concatenate(chosen))]
    return found


def _stretches(first_ms: int, last_ms: int, size_ms: int) -> int:
    """Return how many stretches there are from one mark to another."""
    return last_ms // size_ms - first_ms // size_ms + 1


class EquityHistory:
    """What is known of an account's curve; used by the reading thread alone."""

    def __init__(self, capital: float) -> None:
        self._capital = capital
        self._units_per_quote = UNITS_PER_QUOTE
        self._size_ms = EQUITY_EVERY_MS
        self._oldest_ms = 0
        self._kept: Rows = np.zeros(0, CURVE_MARK)

    def window(self, journal: Journal, from_ms: int | None, to_ms: int | None) -> EquityCurve:
        """Return the marks of a window that are drawn; the peak that a fall is from may lie before it."""
        self._units_per_quote = journal.units_per_quote
        self._read(journal)
        marks, size_ms = self._kept, EQUITY_EVERY_MS
        if len(marks):
            newest_ms = int(marks["time_ms"][-1])
            first_ms = self._oldest_ms if from_ms is None else max(from_ms, self._oldest_ms)
            last_ms = newest_ms if to_ms is None else min(to_ms - 1, newest_ms)
            while _stretches(first_ms, last_ms, size_ms) > STRETCHES:
                size_ms *= 2
            marks = thinned(self._between(journal, first_ms, last_ms, size_ms), size_ms)
        return EquityCurve(
            capital=self._capital,
            size_ms=size_ms,
            time_ms=marks["time_ms"].tolist(),
            equity=curve_values(marks["equity"] / self._units_per_quote),
            drawdown_ratio=np.round(1.0 - marks["equity"] / marks["peak"], 6).tolist(),
            exposure=curve_values(marks["exposure"] / self._units_per_quote),
        )

    def _between(self, journal: Journal, first_ms: int, last_ms: int, size_ms: int) -> Rows:
        """Return the marks of a span, both ends included; those of whole stretches as the overview has them."""
        if size_ms < self._size_ms:
            return self._fresh(journal, first_ms, last_ms)
        times = self._kept["time_ms"]
        # A stretch that the window cuts is read: what is kept of it may lie outside.
        begin_ms = -(-first_ms // self._size_ms) * self._size_ms if first_ms > self._oldest_ms else 0
        end_ms = (last_ms + 1) // self._size_ms * self._size_ms if last_ms < times[-1] else 2**62
        return join_rows(
            [
                self._fresh(journal, first_ms, min(begin_ms - 1, last_ms)),
                self._kept[(times >= begin_ms) & (times < end_ms)],
                self._fresh(journal, max(begin_ms, end_ms), last_ms),
            ]
        )

    def _fresh(self, journal: Journal, first_ms: int, last_ms: int) -> Rows:
        """Return every mark of a span, both ends included, from the journal."""
        if first_ms > last_ms:
            return self._kept[:0]
        start_ms = first_ms // self._size_ms * self._size_ms
        # The last mark of every stretch is kept, and with it the peak that the next stretch begins with.
        before = int(np.searchsorted(self._kept["time_ms"], start_ms))
        peak = int(self._kept["peak"][before - 1]) if before else self._least_peak
        rows = journal.all(f"{_TABLE} BETWEEN ? AND ? ORDER BY time_ms", start_ms, last_ms)
        marks = _marks(rows, peak)
        return marks[marks["time_ms"] >= first_ms]

    def _read(self, journal: Journal) -> None:
        """Take in what was journalled since the last time."""
        while True:
            newest_ms = int(self._kept["time_ms"][-1]) if len(self._kept) else -1
            rows = journal.all(f"{_TABLE} > ? ORDER BY time_ms LIMIT ?", newest_ms, _PAGE)
            if not rows:
                return
            if newest_ms < 0:
                self._oldest_ms = rows[0][0]
            peak = int(self._kept["peak"][-1]) if len(self._kept) else self._least_peak
            kept = thinned(join_rows([self._kept, _marks(rows, peak)]), self._size_ms)
            while _stretches(self._oldest_ms, kept["time_ms"][-1], self._size_ms) > MOST_KEPT:
                self._size_ms *= 2
                kept = thinned(kept, self._size_ms)
            self._kept = kept

    @property
    def _least_peak(self) -> int:
        return round(self._capital * self._units_per_quote)


def _marks(rows: list[Any], peak: int) -> Rows:
    """Return rows of the table with the peak up to each, `peak` being that before them."""
    table = np.array(rows, np.int64).reshape(-1, 3)
    marks = np.zeros(len(table), CURVE_MARK)
    for place, name in enumerate(("time_ms", "equity", "exposure")):
        marks[name] = table[:, place]
    marks["peak"] = np.maximum.accumulate(np.maximum(marks["equity"], peak))
    return marks
