"""
Candles that many engines read: what closed and every feature, computed once for each distinct request.

A value at a close is a function of the candles up to it, so it has the same bits for whoever asks, alone or among others.
What an engine is given are copies of columns; what it makes of them is its own.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np

from papertape.engine.candles import CANDLE, FLAG_ABSENT, timeframe_ms
from papertape.engine.check import begun, refuse_bad
from papertape.engine.errors import DataError
from papertape.engine.features.answers import NewestAnswers
from papertape.engine.features.known import KnownSeries
from papertape.engine.features.matrix import MODEL_PROBABILITY, FeatureMatrix
from papertape.engine.features.own.faults import FeatureFaults
from papertape.engine.features.requests import split_request
from papertape.engine.features.series import BLOCK
from papertape.engine.features.smc import EVENT
from papertape.engine.features.table import columns_of, is_built_in, read_request
from papertape.engine.jit import FloatArray, IntArray, Rows, copy_rows, join_rows, locked_rows

MOST_BYTES: Final = 1 << 28  # of columns; those that were asked for longest ago go first
_NOBODY: Final = int(np.iinfo(np.int64).min)


class ReadCloses(NamedTuple):
    """
    What closes on one timeframe.

    at    the instant at which each becomes known, ascending; bars: CANDLE, shape (n_symbols, n_closes)
    has_absent  one of them is absent as a whole
    """

    at: IntArray
    bars: Rows
    has_absent: bool


class Reading:
    """
    Whole candles of some symbols, and what was computed over them.

    candles  complete instants in symbol order, checked here once for every engine
    """

    def __init__(self, symbols: Sequence[str], base_timeframe: str, candles: Rows) -> None:
        """Take candles, or raise DataError for the first that must not be stepped."""
        refuse_bad(candles, 0, symbols, _NOBODY)
        self.symbols, self.base_timeframe = tuple(symbols), base_timeframe
        self.candles = locked_rows(candles)
        self._closes: dict[str, ReadCloses] = {}
        self._columns: OrderedDict[tuple[str, str], FloatArray] = OrderedDict()
        self._rooms: dict[tuple[int, int], list[FloatArray]] = {}
        self.answers = NewestAnswers()

    def room(self, n_rows: int, most: int) -> list[FloatArray]:
        """Return a matrix for each symbol that engines fill anew at every block, one after the other."""
        if (n_rows, most) not in self._rooms:
            self._rooms[n_rows, most] = [np.full((n_rows, most), np.nan) for _ in self.symbols]
        return self._rooms[n_rows, most]

    def closes(self, timeframe: str) -> ReadCloses:
        """Return what closes on a timeframe."""
        if timeframe not in self._closes:
            self._closes[timeframe] = self._read_closes(timeframe)
        return self._closes[timeframe]

    def columns(self, timeframe: str, requests: Sequence[str]) -> list[FloatArray]:
        """Return the columns of each request at the closes of a timeframe, shape (n_symbols, n_columns, n_closes)."""
        keys = [(timeframe, request) for request in requests]
        missing = [request for key, request in zip(keys, requests, strict=True) if key not in self._columns]
        if missing:
            self._read(timeframe, missing)
        for key in keys:
            self._columns.move_to_end(key)
        if missing:
            held = sum(column.nbytes for column in self._columns.values())
            while held > MOST_BYTES and len(self._columns) > len(keys):
                held -= self._columns.popitem(last=False)[1].nbytes
        return [self._columns[key] for key in keys]

    def _read_closes(self, timeframe: str) -> ReadCloses:
        """Gather the candles of a timeframe."""
        frames = FeatureMatrix(self.symbols, self.base_timeframe, timeframe, ())
        at: list[IntArray] = []
        bars: list[list[Rows]] = [[] for _ in self.symbols]
        for first, part in self._parts(frames):
            closed, closed_at = frames.advance(part, len(part) // len(self.symbols))
            at.append(closed_at[:closed] + first)
            for symbol, lane in enumerate(frames.main):
                bars[symbol].append(copy_rows(lane.closed[:closed]))
        joined = join_rows([join_rows(parts) for parts in bars])
        has_absent = bool((joined["flag_bits"] & FLAG_ABSENT).any())
        return ReadCloses(np.concatenate(at), joined.reshape(len(self.symbols), -1), has_absent)

    def _read(self, timeframe: str, requests: Sequence[str]) -> None:
        """Compute requests over all candles, as an engine would that asked for nothing else."""
        frames = FeatureMatrix(self.symbols, self.base_timeframe, timeframe, requests)
        n_closes, done = len(self.closes(timeframe).at), 0
        rows = {one: [frames.columns.index(name) for name in columns_of(one)] for one in requests}
        found = {one: np.empty((len(self.symbols), len(rows[one]), n_closes)) for one in rows}
        for _, part in self._parts(frames):
            closed, at = frames.advance(part, len(part) // len(self.symbols))
            for symbol in range(len(self.symbols)):
                matrix = frames.matrix(symbol, closed, at)
                for one, own in rows.items():
                    for line, row in zip(found[one][symbol], own, strict=True):
                        line[done : done + closed] = matrix[row, :closed]
            done += closed
        self._columns |= {(timeframe, one): columns for one, columns in found.items()}

    def _parts(self, frames: FeatureMatrix) -> Iterator[tuple[int, Rows]]:
        """Yield the candles in blocks, each with the number of its first instant; symbols that begin are begun anew."""
        n_symbols, done = len(self.symbols), 0
        unlisted = np.zeros(n_symbols, np.int64)
        rows = frames.block * n_symbols
        for row in range(0, len(self.candles), rows):
            for part, listed in begun(self.candles[row : row + rows], unlisted):
                for symbol in listed:
                    frames.restart(symbol)
                yield done, part
                done += len(part) // n_symbols


def is_readable(requests: Iterable[str]) -> bool:
    """Return whether candles alone say what is asked for: no series beside them, and nothing of somebody's own."""
    return all(map(_is_readable, requests))


@lru_cache(4_096)
def _is_readable(request: str) -> bool:
    name = split_request(request).name
    return is_built_in(name) and not read_request(name).feature.is_series


class Lane(Protocol):
    """What deciders look at of one symbol: the candles that closed in the newest block, and their features."""

    closed: Rows
    out: FloatArray


class _ReadLane:
    """One symbol's candles that closed in the newest block, and the matrix of its features."""

    def __init__(self, out: FloatArray) -> None:
        self.closed, self.out = np.zeros(0, CANDLE), out


class ReadFeatures:
    """What one engine has of a reading: the columns that it asks for, a block at a time, in the order of a `FeatureMatrix`."""

    def __init__(
        self,
        reading: Reading,
        timeframe: str,
        requests: Sequence[str],
        has_marks: bool = False,
        block: int = BLOCK,
    ) -> None:
        """
        Take what requests ask for, computed now where it never was.

        has_marks  somebody asks for the mark price in each candle; block: instants at a time
        """
        self.reading, self.block, self.most = reading, block, 2 * block + 2
        self._timeframe, self._closes = timeframe, reading.closes(timeframe)
        self.has_absent = self._closes.has_absent
        base_ms = timeframe_ms(reading.base_timeframe)
        self.known = KnownSeries(len(reading.symbols), base_ms, block, False, has_marks)
        self.faults = FeatureFaults()
        self.begin(requests)

    def begin(self, requests: Sequence[str]) -> None:
        """Be before the first candle, for whoever asks for these."""
        wanted = tuple(dict.fromkeys(requests))
        self.columns = (*(name for request in wanted for name in columns_of(request)), MODEL_PROBABILITY)
        self._columns = self.reading.columns(self._timeframe, wanted)
        most = min(self.most, len(self._closes.at))
        self.main = [_ReadLane(out) for out in self.reading.room(len(self.columns), most)]
        self._instants, self._done, self._begun = 0, 0, 0

    def advance(self, candles: Rows, n: int) -> tuple[int, IntArray]:
        """Go on by `n` instants; return how many strategy candles closed, and at which of them."""
        self.known.advance(candles, n)
        first, start = self._instants, self._done
        self._instants += n
        at = self._closes.at
        end = int(np.searchsorted(at, self._instants))
        self._begun, self._done = start, end
        for symbol, lane in enumerate(self.main):
            lane.closed = self._closes.bars[symbol, start:end]
        return end - start, at[start:end] - first

    def matrix(self, symbol: int, closed: int, at: IntArray) -> FloatArray:
        """Return the features of one symbol at each of `closed` strategy closes, shape (n_columns, >= closed)."""
        del at
        out, row = self.main[symbol].out, 0
        for column in self._columns:
            out[row : row + column.shape[1], :closed] = column[symbol, :, self._begun : self._done]
            row += column.shape[1]
        out[-1, :closed] = np.nan
        return out

    def whole(self, symbol: int) -> list[FloatArray]:
        """Return the columns of one symbol at all closes, in the order of the matrix, without the model's."""
        return [line for column in self._columns for line in column[symbol]]

    def restart(self, symbol: int) -> None:
        """Do nothing: a symbol that begins anew has begun anew where it was read."""

    def take_events(self) -> Rows:
        """Return nothing: a reading tells no events."""
        return np.zeros(0, EVENT)

    def save(self) -> dict[str, Rows]:
        """Refuse: what is shared is no state of one engine."""
        raise DataError("snapshot: an engine over a reading has none; replay the tape by itself")

    def load(self, saved: dict[str, Rows]) -> None:
        """Refuse likewise."""
        raise DataError("snapshot: an engine over a reading takes none; make one without")


Frames: TypeAlias = FeatureMatrix | ReadFeatures
