"""What the page shows of returns, against pandas and hand calculations."""

import numpy as np
import pandas as pd
import pytest

from papertape.engine.performance.curve import CurveColumns
from papertape.engine.records import UNITS_PER_QUOTE
from papertape.replay.report.data import equity_curve
from papertape.replay.report.returns import returns_of, rolling_sharpe

HOUR_MS = 3_600_000


def hourly(worth: list[float]) -> CurveColumns:
    """Return marks of every hour from 2023-12-30 01:00."""
    return CurveColumns(
        time_ms=1_703_898_000_000 + HOUR_MS * np.arange(len(worth)), equity=np.array(worth) * UNITS_PER_QUOTE
    )


def test_days_and_years_against_pandas() -> None:
    random = np.random.default_rng(4)
    equity = hourly((1_000.0 * np.exp(np.cumsum(random.normal(0, 0.01, 24 * 500)))).tolist())

    found = returns_of(equity, 1_000.0)

    # A mark at 00:00 closes the day before.
    index = pd.to_datetime(equity["time_ms"] - 1, unit="ms", utc=True)
    worth = pd.Series(equity["equity"] / UNITS_PER_QUOTE, index=index)
    for ours, rule in ((found["returns"], "1D"), ([r for _, r in found["years"]], "YE")):
        ends = worth.resample(rule).last()
        want = ends / ends.shift(fill_value=1_000.0) - 1.0
        assert ours == pytest.approx(want.tolist(), abs=1e-7)
    assert [year for year, _ in found["years"]] == [2023, 2024, 2025]
    assert len(found["returns"]) == 500


def test_falls_have_the_times_of_their_candles() -> None:
    equity = hourly([100.0, 90.0, 95.0, 100.0, 120.0, 60.0])
    stamps = (equity["time_ms"] // 1000).tolist()

    falls = returns_of(equity, 100.0)["falls"]

    assert falls == [
        {"depth": -0.5, "peak": stamps[4], "trough": stamps[5], "recovery": None},
        {"depth": -0.1, "peak": stamps[0], "trough": stamps[1], "recovery": stamps[3]},
    ]
    below = returns_of(hourly([80.0, 100.0]), 100.0)["falls"]
    assert below[0]["peak"] == stamps[0] - 3600  # the capital, one candle before the first mark


def test_rolling_sharpe_by_its_definition() -> None:
    random = np.random.default_rng(2)
    returns = random.normal(0.001, 0.02, 200)

    found = rolling_sharpe(returns, 90)

    series = pd.Series(returns).rolling(90)
    want = (series.mean() / series.std() * np.sqrt(365)).dropna()
    assert found == pytest.approx(want.tolist(), abs=6e-4)
    assert rolling_sharpe(np.zeros(91), 90) == [None, None]
    assert rolling_sharpe(np.zeros(89), 90) == []


def test_without_a_candle_there_is_nothing() -> None:
    assert returns_of(hourly([]), 100.0) is None


def test_the_curve_of_buy_and_hold_ends_where_the_metric_says() -> None:
    from tests.support.helpers import random_candles

    candles = random_candles(50, 1)
    worth = np.full(50, 1_000.0 * UNITS_PER_QUOTE)

    drawn = equity_curve(
        CurveColumns(time_ms=candles["open_ms"] + HOUR_MS, equity=worth), {"X": candles}, 1_000.0, 0.25
    )

    assert drawn["hold"][-1] == 1_250.0
    assert drawn["hold"][10] / drawn["hold"][-1] == pytest.approx(candles["close"][10] / candles["close"][-1])
