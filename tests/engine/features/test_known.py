"""Series beside the candles: seen at no close before their time, gaps told, the same in any batches, restored."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Event, Funding, SeriesRows
from papertape.engine.jit import FloatArray, Rows
from papertape.engine.records import (
    FUNDING_RATE,
    INDEX_PRICE,
    LONG_SHORT_RATIO,
    MARK_PRICE,
    OPEN_INTEREST,
    SERIES,
)
from papertape.engine.spec import EngineSpec, Market
from tests.support.helpers import START_MS, interleave, random_candles

HOUR_MS = 3_600_000
NAN = float("nan")


def row(hour: float, kind: int, value: float, symbol: int = 0, late_ms: int = 0) -> Rows:
    rows = np.zeros(1, SERIES)
    rows["known_ms"] = START_MS + round(hour * HOUR_MS) + late_ms
    rows["symbol"], rows["kind"] = symbol, kind
    for name in ("value", "open", "high", "low"):
        rows[name] = value
    return rows


def rows(*values: tuple[float, float], kind: int = OPEN_INTEREST) -> Rows:
    return np.concatenate([row(hour, kind, value) for hour, value in values])


class Reads:
    """Reads features and wants nothing; what it saw is kept by name."""

    def __init__(self, *features: str) -> None:
        self.features = features

    def decide(self, view: Any) -> None:
        return None


def engine_of(*features: str, symbols: Sequence[str] = ("X",), base: str = "1h", **spec: Any) -> Engine:
    markets = [Market(symbol, is_perpetual=True) for symbol in symbols]
    return Engine(EngineSpec(markets, Reads(*features), spec.pop("timeframe", base), base, **spec))


def watched(engine: Engine, events: Sequence[Event]) -> dict[tuple[int, str], list[float]]:
    """Return every feature's values, close by close, by number of the symbol and name."""
    seen: dict[tuple[int, str], list[float]] = {}

    def look(symbol: int, matrix: FloatArray, bars: Rows) -> None:
        for place, name in enumerate(engine.frames.columns[:-1]):
            seen.setdefault((symbol, name), []).extend(matrix[place, : len(bars)].tolist())

    engine.watch = look
    for event in events:
        engine.step(event)
    return seen


def test_a_value_is_seen_from_its_time_on_and_a_late_stamp_at_the_next_close() -> None:
    candles = random_candles(6)
    told = np.concatenate([rows((2, 10.0), (4, NAN)), row(5, OPEN_INTEREST, 12.0, late_ms=3)])

    seen = watched(engine_of("open_interest"), [SeriesRows(told), candles])

    # Candle i closes at hour i + 1.
    assert seen[0, "open_interest"] == pytest.approx([NAN, 10.0, 10.0, NAN, NAN, 12.0], nan_ok=True)


def test_a_settlement_is_seen_at_the_closes_after_it() -> None:
    candles = random_candles(4)
    settled = Funding(START_MS + 2 * HOUR_MS, 0, -0.0001, 100.0)

    seen = watched(engine_of("funding"), [candles[:1], settled, candles[1:]])

    assert seen[0, "funding"] == pytest.approx([NAN, NAN, -0.0001, -0.0001], nan_ok=True)


def test_what_is_made_of_series_is_by_hand() -> None:
    candles = random_candles(5)
    told = np.concatenate(
        [
            rows((1, 100.0), (2, 110.0), (3, 99.0), (4, 99.0), (5, 198.0)),
            rows((1, 50_000.0), (3, 51_000.0), kind=MARK_PRICE),
            row(1, INDEX_PRICE, 49_900.0),
            row(2, LONG_SHORT_RATIO, 1.5),
        ]
    )

    seen = watched(
        engine_of("open_interest_change_2", "mark_premium", "index_premium", "long_short_ratio", "mark@2h"),
        [SeriesRows(told), candles],
    )

    close = candles["close"]
    assert seen[0, "open_interest_change_2"] == pytest.approx(
        [NAN, NAN, 99 / 100 - 1, 99 / 110 - 1, 1.0], nan_ok=True
    )
    marks = np.array([50_000.0, 50_000.0, 51_000.0, 51_000.0, 51_000.0])
    assert seen[0, "mark_premium"] == pytest.approx((marks / close - 1.0).tolist())
    assert seen[0, "index_premium"] == pytest.approx((close / 49_900.0 - 1.0).tolist())
    assert seen[0, "long_short_ratio"] == pytest.approx([NAN, 1.5, 1.5, 1.5, 1.5], nan_ok=True)
    assert seen[0, "mark@2h"] == pytest.approx([NAN, 5e4, 5e4, 5.1e4, 5.1e4], nan_ok=True)


def test_a_series_of_another_symbol_is_read_by_its_name() -> None:
    candles = interleave([random_candles(3, seed=1), random_candles(3, seed=2)])
    told = np.concatenate([row(1, OPEN_INTEREST, 7.0), row(2, OPEN_INTEREST, 9.0, symbol=1)])

    seen = watched(
        engine_of("BBB:open_interest", "open_interest", symbols=("AAA", "BBB")), [SeriesRows(told), candles]
    )

    assert seen[0, "BBB:open_interest"] == pytest.approx([NAN, 9.0, 9.0], nan_ok=True)
    assert seen[0, "open_interest"] == [7.0, 7.0, 7.0]
    assert seen[1, "open_interest"] == pytest.approx([NAN, 9.0, 9.0], nan_ok=True)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_batches_restarts_and_how_far_ahead_rows_come_change_nothing(batch: int) -> None:
    candles = random_candles(300, timeframe="15m")
    chance = np.random.default_rng(4)
    hours = np.sort(chance.uniform(0.0, 75.0, 120))
    told = rows(*((hour, 100.0 + chance.normal()) for hour in hours))
    features = ("open_interest", "open_interest_change_3", "open_interest@1h")
    whole = watched(engine_of(*features, base="15m"), [SeriesRows(told), candles])

    engine, seen, given = engine_of(*features, base="15m"), {}, 0
    for start in range(0, len(candles), batch):
        end_ms = int(candles["open_ms"][min(start + batch, len(candles)) - 1]) + HOUR_MS // 4
        due = int(np.searchsorted(told["known_ms"], end_ms, "right"))
        events: list[Event] = [SeriesRows(told[given:due])] if due > given else []
        again = engine_of(*features, base="15m")
        again.restore(engine.snapshot())
        engine, given = again, max(given, due)
        for name, values in watched(engine, [*events, candles[start : start + batch]]).items():
            seen.setdefault(name, []).extend(values)

    assert {name: np.array(v).tobytes() for name, v in seen.items()} == {
        name: np.array(v).tobytes() for name, v in whole.items()
    }


def test_values_after_a_close_change_nothing_before_it() -> None:
    """Scrambled, cut off, or given long before: what was seen at the closes before is the same, bit for bit."""
    candles = random_candles(200)
    chance = np.random.default_rng(5)
    told = rows(*((hour + 0.5, 100.0 + chance.normal()) for hour in range(200)))
    features = ("open_interest", "open_interest_change_24")
    whole = watched(engine_of(*features), [SeriesRows(told), candles])

    for cut in (1, 50, 137):
        known = told["known_ms"] <= candles["open_ms"][cut - 1] + HOUR_MS
        other = told.copy()
        for name in ("value", "open", "high", "low"):
            other[name][~known] *= 3.0
        for changed in (other, told[known]):
            events: list[Event] = [SeriesRows(changed)] if len(changed) else []
            seen = watched(engine_of(*features), [*events, candles])
            for name, values in seen.items():
                assert np.array(values[:cut]).tobytes() == np.array(whole[name][:cut]).tobytes()


def test_without_a_reader_nothing_is_kept_and_nothing_changes() -> None:
    candles = random_candles(50)
    plain, beside = engine_of("ema_12"), engine_of("ema_12")
    plain.step(candles)
    beside.step(SeriesRows(rows((1, 5.0), (3, 6.0))))
    beside.step(candles)

    assert plain.snapshot() == beside.snapshot()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(1, MARK_PRICE, 0.0), "row 0: its price is not above 0 (mark of X at"),
        (row(1, FUNDING_RATE, 1.5), "its rate is not between -1 and 1 (funding of X"),
        (row(1, OPEN_INTEREST, -1.0), "its value is below 0 (open_interest of X"),
        (row(1, LONG_SHORT_RATIO, float("inf")), "its value is not finite"),
        (row(1, 7, 1.0), "its kind is unknown"),
        (row(1, MARK_PRICE, 1.0, symbol=3), "its symbol is none of this engine"),
        (rows((2, 5.0), (2, 6.0)), "row 1: it does not come after the one before it"),
    ],
)
def test_what_no_series_can_be_is_refused_and_changes_nothing(bad: Rows, message: str) -> None:
    engine = engine_of("open_interest", "mark")
    before = engine.snapshot()

    with pytest.raises(DataError, match=r"^series ") as refusal:
        engine.step(SeriesRows(bad))

    assert message in str(refusal.value)
    assert engine.snapshot() == before


def test_a_row_that_comes_again_is_refused() -> None:
    engine = engine_of("open_interest")
    engine.step(SeriesRows(rows((1, 5.0))))
    engine.step(random_candles(3))

    with pytest.raises(DataError, match="does not come after the one before it"):
        engine.step(SeriesRows(rows((1, 5.0))))
