"""
What a strategy saw and answered at each close, out of the journal: one close for why and why not, and lines of features.

A line has the last value that was known in each stretch of a window, as candles of that length are drawn. It lies on the
candles where its values are prices near theirs, and in a pane of its own otherwise, by the report's own rule.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.journal.closes import STORED
from papertape.daemon.monitoring.api.answers import (
    CandleWindow,
    CloseAnswer,
    CloseView,
    FeatureColumn,
    FeatureValue,
    LineWindow,
    UnmetCondition,
)
from papertape.daemon.monitoring.api.columns import TARGETS
from papertape.replay.report.features import DrawnColumn, is_on_candles

MOST_BYTES: Final = 200_000  # of the values of one answer, written out
MOST_POINTS: Final = 1_500  # of one line
_VALUE_BYTES: Final = 15  # one with seven digits, its sign, its exponent and a comma
_CLOSE: Final = (
    "SELECT features, target, confidence, score_model, score_smc, score_technical, condition, value, threshold "
    "FROM closes WHERE symbol = ? AND time_ms = ?"
)
# Of several rows the one with the largest time: sqlite gives its other columns too.
_LINES: Final = (
    "SELECT max(time_ms), features FROM closes WHERE symbol = ? AND time_ms > ? AND time_ms <= ? AND features IS NOT NULL "
    "GROUP BY (time_ms - ?) / ? ORDER BY 1"
)


class SeenFeatures(NamedTuple):
    """
    What an account's features are.

    columns  names, in the order of the engine's matrix
    drawn    those that the strategy names, but for structure
    """

    columns: tuple[str, ...] = ()
    drawn: tuple[DrawnColumn, ...] = ()


def close_of(journal: Journal, seen: SeenFeatures, symbol: str, time_ms: int) -> CloseView:
    """Return what is known of a close."""
    row = journal.one(_CLOSE, symbol, time_ms)
    stored, *answer, condition, value, threshold = row if row is not None else (None,) * 9
    values = () if stored is None else np.frombuffer(stored, STORED).tolist()
    features = zip(seen.columns, values, strict=True) if values else ()
    return CloseView(
        symbol=symbol,
        time_ms=time_ms,
        is_kept=stored is not None,
        features=tuple(FeatureValue(name=n, value=rounded(v)) for n, v in features),
        answer=None if answer[0] is None else _answer(answer),
        unmet=None if condition is None else _condition(condition, value, threshold),
    )


def lines_of(
    journal: Journal, seen: SeenFeatures, frame_ms: int, size_ms: int, candles: CandleWindow
) -> LineWindow:
    """Return the drawn columns in the window of some candles, in stretches of at least `size_ms`."""
    symbol = candles.symbol
    if not seen.drawn or not candles.open_ms:
        return LineWindow(symbol=symbol, size_ms=size_ms)
    start_ms, end_ms = candles.open_ms[0], candles.open_ms[-1] + candles.size_ms
    most = min(MOST_POINTS, MOST_BYTES // (_VALUE_BYTES * (1 + len(seen.drawn))))
    while (end_ms - start_ms) // size_ms > most:
        size_ms *= 2
    # A close belongs to the stretch in which its candle opened; stretches lie on the candles' grid.
    rows = journal.all(_LINES, symbol, start_ms, end_ms, frame_ms, size_ms)
    stored = b"".join(features for _, features in rows)
    matrix = np.frombuffer(stored, STORED).reshape(len(rows), len(seen.columns)).T
    open_ms = [time_ms - frame_ms - (time_ms - frame_ms) % size_ms for time_ms, _ in rows]
    places = np.searchsorted(candles.open_ms, open_ms, "right") - 1
    closes = np.array(candles.close)[np.maximum(places, 0)]
    return LineWindow(
        symbol=symbol,
        size_ms=size_ms,
        open_ms=open_ms,
        columns=tuple(
            FeatureColumn(
                name=each.name,
                request=each.request,
                is_over=is_on_candles(matrix[each.row].astype(np.float64), closes, each.is_price),
                values=tuple(rounded(value) for value in matrix[each.row].tolist()),
            )
            for each in seen.drawn
        ),
    )


def drawn_values(seen: SeenFeatures, stored: bytes) -> list[float | None]:
    """Return the drawn columns at one close."""
    values = np.frombuffer(stored, STORED)
    return [rounded(float(values[each.row])) for each in seen.drawn]


def rounded(value: float | None) -> float | None:
    """Return a value to the digits that it was kept with; None for what is not a number."""
    return float(f"{value:.7g}") if value is not None and np.isfinite(value) else None


def _answer(row: Sequence[Any]) -> CloseAnswer:
    target, confidence, model, smc, technical = row
    return CloseAnswer(
        target=TARGETS[target],
        confidence=rounded(confidence),
        score_model=rounded(model),
        score_smc=rounded(smc),
        score_technical=rounded(technical),
    )


def _condition(condition: str, value: float | None, threshold: float | None) -> UnmetCondition:
    value, threshold = rounded(value), rounded(threshold)
    distance = None if value is None or threshold is None else value - threshold
    return UnmetCondition(condition=condition, value=value, threshold=threshold, distance=distance)
