"""
What was seen and answered at each close: every feature, what a strategy in kernels said, the first unmet condition.

The engine shows it on the way (`watch`, `watch_answers`) and nothing depends on it. It is written with the reports of the
same input, taken back and made again like those, so a restart forgets nothing; the newest MOST_CLOSES of every symbol are
kept, which bounds the file. Features lie as eight-byte floats, little-endian, in the order of `close_columns` in `meta`: with the
candle's prices they are what a model reads, to the bit, so that what one would have said can be found at any time.
"""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.report import Report

if TYPE_CHECKING:
    from papertape.engine.core import Engine

MOST_CLOSES: Final = 50_000  # of one symbol: 35 days of minutes, with 60 features 28 MB
STORED: Final = np.dtype("<f8")
PRICES: Final = ("open", "high", "low", "close")
SCORES: Final = ("confidence", "score_model", "score_smc", "score_technical")
_PUT: Final = (
    "INSERT OR REPLACE INTO closes (input, symbol, time_ms, features, target, confidence, score_model, score_smc, "
    "score_technical, condition, value, threshold, open, high, low, close) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_NO_ANSWER: Final = (None,) * (1 + len(SCORES))
_NO_CONDITION: Final = (None, None, None)
_NO_PRICES: Final = (None,) * len(PRICES)


class SeenClose(NamedTuple):
    """One close as its table keeps it: features as bytes, the answer, the condition and the candle's prices as columns."""

    symbol: str
    time_ms: int
    features: bytes | None
    answer: tuple[Any, ...]
    condition: tuple[Any, ...]
    prices: tuple[float | None, ...]


class CloseKeeper:
    """
    Hangs on an engine and hands over what was seen since it was asked last.

    since_ms  closes before this are passed over: what is stepped again from years ago is not kept anyway
    columns   names of the features that are kept, in order; what an engine does not compute is NaN. None: all that it does
    """

    def __init__(self, engine: "Engine", since_ms: int = 0, columns: Sequence[str] | None = None) -> None:
        self._symbols, self.length_ms = engine.symbols, engine.length_ms
        computed = tuple(engine.frames.columns)
        self.columns = computed if columns is None else tuple(columns)
        self._n_computed = len(computed)
        self._places = None if self.columns == computed else _places(computed, self.columns)
        self._since_ms = since_ms
        self._features: dict[tuple[int, int], bytes] = {}
        self._prices: dict[tuple[int, int], tuple[float, ...]] = {}
        self._answers: dict[tuple[int, int], tuple[Any, ...]] = {}
        engine.watch, engine.watch_answers = self._watch, self._watch_answers

    def _watch(self, symbol: int, matrix: FloatArray, bars: Rows) -> None:
        """Take in one symbol's features at these closes, of which the matrix has a column each."""
        chosen, times = self._chosen(bars)
        computed = matrix[: self._n_computed, chosen]
        if self._places is not None:
            computed = _arranged(computed, self._places)
        values = computed.astype(STORED)
        prices = zip(*(bars[name][chosen].tolist() for name in PRICES), strict=True)
        for place, (time_ms, paid) in enumerate(zip(times, prices, strict=True)):
            self._features[symbol, time_ms] = values[:, place].tobytes()
            self._prices[symbol, time_ms] = paid

    def _watch_answers(self, symbol: int, answers: Rows, bars: Rows) -> None:
        """Take in what the strategy answered at these closes."""
        chosen, times = self._chosen(bars)
        columns = [answers[name][chosen].tolist() for name in ("target", *SCORES)]
        for time_ms, row in zip(times, zip(*columns, strict=True), strict=True):
            self._answers[symbol, time_ms] = row

    def _chosen(self, bars: Rows) -> tuple[IntArray, list[int]]:
        """Return the places of the closes that are kept, and their times."""
        times: IntArray = bars["open_ms"] + self.length_ms
        is_chosen = (bars["flag_bits"] & FLAG_ABSENT == 0) & (times >= self._since_ms)
        chosen = np.flatnonzero(is_chosen)[-MOST_CLOSES:]
        return chosen, times[chosen].tolist()

    def take(self, report: Report) -> list[SeenClose]:
        """Return the closes of the newest step, once."""
        said = {
            (self._symbols.index(one.symbol), one.time_ms): (one.condition, one.value, one.threshold)
            for one in report.unmet
            if one.time_ms >= self._since_ms
        }
        features, answers, prices = self._features, self._answers, self._prices
        self._features, self._answers, self._prices = {}, {}, {}
        return [
            SeenClose(
                self._symbols[key[0]],
                key[1],
                features.get(key),
                answers.get(key, _NO_ANSWER),
                said.get(key, _NO_CONDITION),
                prices.get(key, _NO_PRICES),
            )
            for key in dict.fromkeys((*features, *answers, *said))
        ]


def _places(computed: Sequence[str], columns: Sequence[str]) -> IntArray:
    """Return where each column stands among those that are computed; the place behind them: nowhere."""
    place_of = {name: place for place, name in enumerate(computed)}
    return np.array([place_of.get(name, len(computed)) for name in columns], np.int64)


def _arranged(values: FloatArray, places: IntArray) -> FloatArray:
    """Return rows in another order, NaN where there is none."""
    nothing = np.full((1, values.shape[1]), np.nan)
    return np.concatenate([values, nothing])[places]


def rearrange_closes(connection: sqlite3.Connection, before: Sequence[str], columns: Sequence[str]) -> None:
    """Write the features of all closes in the order of other columns, within a transaction."""
    places = _places(before, columns)
    found = connection.execute(
        "SELECT features, symbol, time_ms FROM closes WHERE features IS NOT NULL"
    ).fetchall()
    connection.executemany(
        "UPDATE closes SET features = ? WHERE symbol = ? AND time_ms = ?",
        ((_arranged(np.frombuffer(kept, STORED)[:, None], places).tobytes(), *key) for kept, *key in found),
    )


def write_closes(
    connection: sqlite3.Connection, closes: Sequence[SeenClose], sequence: int, length_ms: int
) -> None:
    """Add what one input's closes were, and let go of all but the newest MOST_CLOSES of their symbols."""
    connection.executemany(
        _PUT,
        (
            (sequence, each.symbol, each.time_ms, each.features, *each.answer, *each.condition, *each.prices)
            for each in closes
        ),
    )
    newest = {each.symbol: each.time_ms for each in closes}
    connection.executemany(
        "DELETE FROM closes WHERE symbol = ? AND time_ms <= ?",
        [(symbol, time_ms - MOST_CLOSES * length_ms) for symbol, time_ms in newest.items()],
    )
