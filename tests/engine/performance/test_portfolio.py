"""Several symbols together: shares and concentration by hand, correlations beside pandas, and one run from end to end."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from papertape.engine.broker.account import POSITION
from papertape.engine.candles import DAY_MS
from papertape.engine.performance.portfolio import MOST_SYMBOLS, allotments, correlations, portfolio
from papertape.engine.records import FILL, TRADE
from papertape.replay import Result, Tape, backtest
from papertape.replay.report.page import report_parts
from tests.support.helpers import random_candles

PAGE = Path(__file__).parents[3] / "deploy" / "docs" / "portfolio.md"


def test_what_was_allotted_and_used_by_hand() -> None:
    # Half of equity at four closes and a quarter at as many, of which 0.9 of equity were held at one; never a share.
    positions = np.zeros(2, POSITION)
    positions["allotted_closes"], positions["allotted_total"] = [8, 0], [3.0, 0.0]
    positions["used_total"] = [0.9, 0.0]

    assert allotments(positions) == [{"allotted": 0.375, "used": 0.3}, {"allotted": None, "used": None}]


def test_parts_and_concentration_by_hand() -> None:
    # Four days, one mark each, equity 1,000. A: 2 units from day 1 on. B: -1 unit on days 2 and 3, gone on day 4.
    time_ms = np.arange(1, 5) * DAY_MS
    closes = np.array([[10.0, 5.0], [10.0, 20.0], [10.0, 60.0], [20.0, 60.0]])
    fills = np.zeros(3, FILL)
    fills["candle_ms"] = [0, DAY_MS + 1, 3 * DAY_MS + 1]
    fills["symbol"], fills["position"] = [0, 1, 1], [2.0, -1.0, 0.0]
    trades = np.zeros(2, TRADE)
    trades["symbol"], trades["pnl"] = [1, 0], [-40 * 10**9, 20 * 10**9]

    found = portfolio(
        time_ms,
        np.full(4, 1_000 * 10**9),
        closes,
        [(0, 4 * DAY_MS), (DAY_MS, 3 * DAY_MS)],
        fills,
        trades,
        ("A", "B"),
        1e9,
    )

    # Notionals: 20 0 | 20 20 | 20 60 | 40 0. Parts of A: 1, 0.5, 0.25, 1; 1 / sum of squares: 1, 2, 1.6, 1.
    assert (found["days"], found["days_held"]) == (4, 4)
    assert found["positions"] == pytest.approx((1 + 2 + 1.6 + 1) / 4)
    assert found["largest_part"] == pytest.approx((1 + 0.5 + 0.75 + 1) / 4)
    assert found["symbols"] == [
        {"name": "A", "days": 4, "days_held": 4, "part": 0.6875, "largest_of_equity": 0.04, "pnl_quote": 20.0},
        {"name": "B", "days": 2, "days_held": 2, "part": 0.3125, "largest_of_equity": 0.06, "pnl_quote": -40.0},
    ]  # fmt: skip
    assert found["correlation"] == [[None, None], [None, None]]  # of two days nobody knows
    assert found["average_correlation"] is None


def test_correlations_are_those_of_pandas_over_common_days() -> None:
    random = np.random.default_rng(5)
    shared = random.normal(0.0, 0.02, (200, 1))
    prices = 100.0 * np.exp(np.cumsum(shared + random.normal(0.0, 0.02, (200, 4)), axis=0))
    listed = np.ones((200, 4), bool)
    listed[:60, 1] = False  # listed later
    listed[120:, 2] = False  # gone earlier
    prices[:, 3] = 7.0  # never moved

    found = correlations(prices, listed)

    table = pd.DataFrame(np.where(listed, prices, np.nan)).pct_change(fill_method=None)
    expected = table.corr(min_periods=30)
    assert found[:3, :3] == pytest.approx(expected.to_numpy()[:3, :3], abs=1e-12)
    assert np.isnan(found[3]).all()
    assert 0.3 < found[0, 1] < 0.7


@pytest.fixture(scope="module")
def result() -> Result:
    tapes = [
        Tape(
            random_candles(24 * 80, 3 + n)[24 * 10 * n :], "binance-usdm", name, "1h", source="made in a test"
        )
        for n, name in enumerate(("XAA", "XBB"))
    ]
    return backtest(
        tapes=tapes,
        strategy="ema_cross",
        use_ml=False,
        account={"sizing": "fraction"},
        report={"sensitivity": False, "random_draws": 0},
    )


def test_a_result_says_what_its_symbols_did(result: Result) -> None:
    found = result.summary["portfolio"]

    rows = {row["name"]: row for row in found["symbols"]}
    assert (rows["XAA"]["days"], rows["XBB"]["days"]) == (80, 70)
    assert sum(row["part"] for row in rows.values()) == pytest.approx(1.0, abs=1e-5)
    earned = result.trades.groupby("symbol")["pnl"].sum()
    for name, row in rows.items():
        assert row["pnl_quote"] == pytest.approx(earned[name], abs=1e-6)
    assert found["correlation"][0][0] == 1.0
    assert found["correlation"][0][1] == found["average_correlation"]
    text = "".join(report_parts(result.summary, {}, result.marks, {}))
    assert 'id="portfolio-section"' in text
    assert "drawPortfolio" in text


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    exec(compile(example, "portfolio.md", "exec"), {})  # noqa: S102

    # The same candles twice, the second time from the middle on.
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("[('BTCUSDT', ")
    assert float(shown[1]) == 1.0


def test_one_symbol_is_no_portfolio_and_of_many_only_the_mean_is_given(result: Result) -> None:
    tape = Tape(random_candles(100, 3), "binance-usdm", "XAA", "1h", source="made in a test")
    alone = backtest(tapes=[tape], strategy="ema_cross", use_ml=False, report={"random_draws": 0})
    assert "portfolio" not in alone.summary

    n = MOST_SYMBOLS + 1
    closes = np.exp(np.random.default_rng(1).normal(0.0, 0.02, (40, n)).cumsum(axis=0))
    time_ms = np.arange(1, 41) * DAY_MS
    names = [f"S{number}" for number in range(n)]
    many = portfolio(
        time_ms,
        np.full(40, 10**12),
        closes,
        [(0, 41 * DAY_MS)] * n,
        np.zeros(0, FILL),
        np.zeros(0, TRADE),
        names,
        1e9,
    )

    assert many["correlation"] is None
    assert many["positions"] is None
    assert abs(many["average_correlation"]) < 0.05
