"""Metrics against hand calculations: days and months, drawdown in time, trades, costs, what is undefined and why."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from papertape.engine.candles import DAY_MS, HOUR_MS
from papertape.engine.jit import Rows
from papertape.engine.performance import (
    METRIC_NAMES,
    Performance,
    always_flat,
    buy_and_hold,
    daily_returns,
    measure,
    monthly_returns,
    random_entry,
)
from papertape.engine.performance.significance import expected_best_sharpe
from papertape.engine.records import MARK, REASON_END, REASON_SIGNAL, TRADE
from tests.support.helpers import START_MS


def hourly(equity: list[float], start_ms: int = START_MS) -> Rows:
    marks = np.zeros(len(equity), MARK)
    marks["time_ms"] = start_ms + HOUR_MS * np.arange(1, len(equity) + 1)
    marks["equity"] = np.rint(np.array(equity) * 1e9)
    return marks


def trades_of(*pnl: float, risk: float = 0.0, **fields: float) -> Rows:
    """Return closed trades of one hour each with these profits in quote."""
    trades = np.zeros(len(pnl), TRADE)
    trades["side"] = 1
    trades["entry_price"], trades["exit_price"], trades["quantity"] = 100.0, 100.0, 1.0
    trades["notional"] = int(100e9)
    trades["entry_ms"] = START_MS + HOUR_MS * np.arange(len(pnl))
    trades["exit_ms"] = trades["entry_ms"] + HOUR_MS
    trades["exit_reason"] = REASON_SIGNAL
    trades["pnl"] = np.rint(np.array(pnl) * 1e9)
    trades["pnl_optimistic"] = trades["pnl"]
    trades["risk"] = int(risk * 1e9)
    for name, value in fields.items():
        trades[name] = value
    return trades


def of_trades(trades: Rows) -> Performance:
    return measure(trades, hourly([10_000.0] * 48), 10_000.0)


def test_a_mark_at_midnight_closes_the_day_before() -> None:
    # 24 hourly marks end at 00:00 of the second day: one day, not two.
    daily = daily_returns(hourly([100.0] * 23 + [110.0]), 100.0)

    assert daily.day_ms.tolist() == [START_MS]
    assert daily.returns.tolist() == [pytest.approx(0.1)]


def test_days_without_a_mark_are_zeros() -> None:
    marks = hourly([110.0, 121.0])
    marks["time_ms"] = [START_MS + DAY_MS, START_MS + 4 * DAY_MS]

    daily = daily_returns(marks, 100.0)

    np.testing.assert_allclose(daily.returns, [0.1, 0.0, 0.0, 0.1])


def test_months_compound_from_the_capital() -> None:
    marks = hourly([110.0, 121.0, 60.5])
    days = np.array(["2020-01-31", "2020-02-10", "2020-03-01"], "datetime64[ms]").astype(np.int64)
    marks["time_ms"] = days + HOUR_MS

    assert monthly_returns(marks, 100.0) == [
        (2020, 1, pytest.approx(0.1)),
        (2020, 2, pytest.approx(0.1)),
        (2020, 3, pytest.approx(-0.5)),
    ]


def test_drawdown_counts_from_the_peak_and_starts_at_the_capital() -> None:
    # 100 → 80 (−20 %) → 120 → 90 (−25 %) → 120: the second fall is deeper, two hours down and one back.
    found = measure(np.zeros(0, TRADE), hourly([80.0, 120.0, 105.0, 90.0, 120.0]), 100.0)

    assert found.metrics["max_drawdown"] == pytest.approx(-0.25)
    assert found.metrics["max_drawdown_quote"] == pytest.approx(-30.0)
    assert found.metrics["max_drawdown_duration_s"] == 3 * 3600
    assert found.metrics["time_to_recover_s"] == 3600


def test_a_fall_that_does_not_recover_is_said() -> None:
    found = measure(np.zeros(0, TRADE), hourly([100.0, 90.0, 95.0]), 100.0)

    assert found.metrics["time_to_recover_s"] is None
    assert "not recovered" in found.undefined["time_to_recover_s"]
    assert found.metrics["max_drawdown_duration_s"] == 2 * 3600
    assert "max drawdown not recovered" in found.notes


def test_growth_uses_elapsed_time() -> None:
    marks = hourly([100.0, 121.0])
    marks["time_ms"] = [START_MS + DAY_MS, START_MS + 730 * DAY_MS]
    # The curve starts one shortest step before the first mark: 729 days before it.
    years = (730 + 728) / 365

    found = measure(np.zeros(0, TRADE), marks, 100.0)

    assert found.metrics["cagr"] == pytest.approx(1.21 ** (1 / years) - 1)


def test_trade_metrics_by_hand() -> None:
    found = of_trades(trades_of(30.0, -10.0, -20.0, 60.0, 0.0, risk=20.0)).metrics

    assert found["win_rate"] == pytest.approx(2 / 5)
    assert found["profit_factor"] == pytest.approx(90 / 30)
    assert found["payoff"] == pytest.approx(45 / 15)
    assert found["expectancy_quote"] == pytest.approx(12.0)
    assert found["expectancy_r"] == pytest.approx(0.6)
    multiples = np.array([1.5, -0.5, -1.0, 3.0, 0.0])
    assert found["sqn"] == pytest.approx(math.sqrt(5) * 0.6 / multiples.std(ddof=1))
    assert found["kelly_half"] == pytest.approx((0.4 - 0.6 / 3) / 2)
    assert found["max_consecutive_wins"] == 1
    assert found["max_consecutive_losses"] == 2
    assert found["average_trade_duration_s"] == 3600


def test_costs_are_a_share_of_profit_before_them() -> None:
    trades = trades_of(60.0, fees=int(20e9), spread=int(10e9), slippage=int(10e9))

    found = of_trades(trades).metrics

    assert found["costs_quote"] == pytest.approx(40.0)
    assert found["costs_share_of_gross"] == pytest.approx(40 / 100)


def test_turnover_counts_both_sides_and_an_open_trade_once() -> None:
    closed, still_open = trades_of(0.0), trades_of(0.0, exit_reason=REASON_END)

    assert of_trades(closed).metrics["turnover"] == pytest.approx(200 / 10_000)
    assert of_trades(still_open).metrics["turnover"] == pytest.approx(100 / 10_000)


def test_ambiguous_trades_have_an_optimistic_bound() -> None:
    trades = trades_of(-10.0, 5.0)
    trades["is_ambiguous"][0], trades["pnl_optimistic"][0] = 1, int(15e9)

    found = of_trades(trades).metrics

    assert found["ambiguous_trades"] == 1
    assert found["optimistic_pnl_quote"] == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("trades", "name", "reason"),
    [
        (trades_of(), "win_rate", "no trades"),
        (trades_of(5.0), "profit_factor", "no losing trade"),
        (trades_of(-5.0), "payoff", "no winning trade"),
        (trades_of(5.0, -5.0), "sqn", "no trade had a stop"),
        (trades_of(5.0, risk=5.0), "sqn", "fewer than two trades"),
        (trades_of(-5.0), "costs_share_of_gross", "no profit before costs"),
    ],
)
def test_undefined_is_none_with_a_reason(trades: Rows, name: str, reason: str) -> None:
    found = of_trades(trades)

    assert found.metrics[name] is None
    assert reason in found.undefined[name]


@pytest.mark.parametrize("equity", [[], [100.0], [100.0] * 72, [100.0, 0.0, 0.0], [1e-3] * 30])
def test_every_metric_has_a_finite_number_or_a_reason(equity: list[float]) -> None:
    found = measure(trades_of(1.0, -2.0), hourly(equity), 100.0, [1.0] * len(equity))

    assert tuple(found.metrics) == METRIC_NAMES
    for name, value in found.metrics.items():
        assert (value is None) == (name in found.undefined), name
        assert value is None or math.isfinite(value)


def test_ruin_refuses_returns_and_says_when() -> None:
    found = measure(np.zeros(0, TRADE), hourly([50.0, -1.0, -1.0]), 100.0)

    assert found.metrics["sharpe"] is None
    assert found.metrics["total_return"] == pytest.approx(-1.01)
    assert any("ruined" in note and "02:00" in note for note in found.notes)


def test_a_short_sample_is_flagged() -> None:
    rising = [100.0 + (i % 7) for i in range(24 * 10)]

    found = measure(np.zeros(0, TRADE), hourly(rising), 100.0)

    assert any("Sharpe from 10 days" in note for note in found.notes)
    assert any("CAGR over less than 90 days" in note for note in found.notes)


def test_deflation_asks_more_of_the_best_of_many() -> None:
    random = np.random.default_rng(3)
    marks = hourly((100 * np.cumprod(1 + random.normal(0.0002, 0.003, 24 * 200))).tolist())

    one = measure(np.zeros(0, TRADE), marks, 100.0)
    many = measure(np.zeros(0, TRADE), marks, 100.0, trials=100)

    assert one.metrics["dsr"] is None
    psr, dsr = many.metrics["psr"], many.metrics["dsr"]
    assert psr is not None
    assert dsr is not None
    assert dsr < psr
    # The expected maximum of N normal draws, by simulation.
    drawn = random.normal(size=(20_000, 100)).max(axis=1).mean()
    assert expected_best_sharpe(100, 1.0) == pytest.approx(drawn, rel=0.02)
    assert NormalDist().cdf(0.0) == 0.5


def test_benchmarks_are_what_they_say() -> None:
    marks = hourly([100.0] * 48)
    close = np.linspace(50.0, 75.0, 48)

    held = buy_and_hold(marks, close, 100.0, entry_cost_rate=0.01)
    flat = always_flat(marks, 100.0)

    assert held.metrics["total_return"] == pytest.approx(1.5 / 1.01 - 1)
    assert flat.metrics["total_return"] == 0.0
    assert flat.metrics["sharpe"] is None


@pytest.mark.filterwarnings("error")
def test_benchmarks_of_a_currency_of_many_digits_are_those_of_any_other() -> None:
    """Half a thousand million rupiah that become 24.98 times as many: more money units than an int64 holds."""
    close = np.linspace(150e6, 24.98 * 150e6, 24 * 40)
    marks = hourly([500e6] * len(close))

    held = buy_and_hold(marks, close, 500e6)
    told = measure(np.zeros(0, TRADE), marks, 500e6, close)

    assert held.metrics["total_return"] == pytest.approx(23.98, rel=1e-12)
    assert told.metrics["buy_and_hold_return"] == pytest.approx(23.98, rel=1e-12)
    assert held.metrics["max_drawdown"] == 0.0
    small = buy_and_hold(hourly([100.0] * len(close)), close / 1e6, 100.0)
    for name in ("cagr", "sharpe", "volatility", "skew"):
        assert held.metrics[name] == pytest.approx(small.metrics[name], rel=1e-9), name


def test_sums_of_money_are_exact_beyond_int64() -> None:
    trades = trades_of(*[8e9] * 40, *[-8e9] * 39, 1e-9)
    trades["notional"] = int(9e18)
    trades["fees"] = int(3e18)

    found = of_trades(trades).metrics

    assert found["expectancy_quote"] == pytest.approx((8e9 + 1e-9) / 80)
    assert found["profit_factor"] == pytest.approx(40 / 39)
    assert found["fees_quote"] == pytest.approx(80 * 3e9)
    assert found["turnover"] == pytest.approx((80 * 9e9 + 80 * 100.0) / 10_000.0)


@pytest.mark.parametrize("rf", [0.0, 0.05])
def test_what_is_only_rounding_of_money_is_no_risk(rf: float) -> None:
    """A money unit is 1e-13 of the account: it may fall by some every day, and divides nothing."""
    daily = (1.0 + rf) ** (1.0 / 365.0)
    worth = 10_000.0 * daily ** (1 + np.arange(24 * 60) // 24)
    worth[23::48] -= 1e-9  # at the end of every other day

    found = measure(np.zeros(0, TRADE), hourly(worth.tolist()), 10_000.0, rf=rf)

    for name in ("sharpe", "sortino", "omega", "upi", "calmar", "average_drawdown"):
        assert found.metrics[name] is None, (name, found.metrics[name])
    assert found.undefined["sortino"] == "no day was below the risk-free rate"
    assert found.undefined["upi"] == "no day ended below a peak"


def test_equal_trades_have_no_sqn_whatever_their_last_money_unit() -> None:
    found = of_trades(trades_of(5.0, 5.0 + 1e-9, 5.0, risk=2.0))

    assert found.undefined["sqn"] == "all trades had the same R"


def test_random_entry_of_a_trade_that_always_gains_tells_no_skill() -> None:
    # Every candle gains 1 %, so when the position was taken cannot matter.
    n = 200
    close = 100.0 * 1.01 ** np.arange(n)
    trades = trades_of(0.0)
    trades["entry_ms"], trades["exit_ms"] = START_MS + 10 * HOUR_MS, START_MS + 20 * HOUR_MS
    marks = hourly([10_000.0] * n)

    drawn = random_entry(trades, marks, close, 10_000.0, draws=50)

    assert drawn is not None
    assert drawn.low > 0
    assert random_entry(trades_of(), marks, close, 10_000.0) is None
