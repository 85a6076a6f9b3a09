"""Our figures beside quantstats and empyrical with their parameters set to ours, and the named differences."""

import math
import warnings
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from papertape.engine.candles import DAY_MS
from papertape.engine.jit import FloatArray, Rows
from papertape.engine.performance import Performance, daily_returns, measure
from papertape.engine.performance.metrics import mean_of
from papertape.engine.performance.ratios import quantile_of, spread_of
from papertape.engine.performance.significance import wave_count
from papertape.engine.records import MARK, TRADE
from tests.support.helpers import START_MS

CAPITAL = 10_000.0
YEAR = 365


def imported() -> tuple[ModuleType, ModuleType]:
    """Return both libraries; what they warn about while being imported is theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import empyrical
        import quantstats.stats
    return quantstats.stats, empyrical


QS, EP = imported()


def marks_of(returns: FloatArray, open_positions: int = 1) -> Rows:
    """Return one mark per UTC day, at its end, that grows by these returns."""
    marks = np.zeros(len(returns), MARK)
    marks["time_ms"] = START_MS + DAY_MS * np.arange(1, len(returns) + 1)
    marks["equity"] = np.rint(CAPITAL * np.cumprod(1.0 + returns) * 1e9)
    marks["cash"] = marks["equity"]
    marks["open_positions"] = open_positions
    return marks


def random_returns(seed: int, n: int = 500) -> FloatArray:
    return np.random.default_rng(seed).standard_t(4, n) * 0.01 + 0.0007


def measured(seed: int, rf: float = 0.0) -> tuple[Performance, pd.Series]:
    """Return our metrics and the daily returns that the libraries are given."""
    marks = marks_of(random_returns(seed))
    found = measure(np.zeros(0, TRADE), marks, CAPITAL, rf=rf)
    daily = daily_returns(marks, CAPITAL)
    days = pd.DatetimeIndex(daily.day_ms.astype("datetime64[ms]"))
    return found, pd.Series(daily.returns, index=days)


def ours(found: Performance, name: str) -> float:
    value = found.metrics[name]
    assert value is not None, found.undefined.get(name)
    return value


@pytest.mark.parametrize("n", [1, 2, 3, 11, 20, 21, 69, 500, 1_461])
def test_quantiles_are_numpys_own_to_the_last_bit(n: int) -> None:
    for seed in range(20):
        ordered = np.sort(random_returns(seed, n))
        for share in (0.05, 0.95, 0.5, 0.0, 1.0):
            assert quantile_of(ordered, share) == float(np.quantile(ordered, share)), (seed, share)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equal_to_empyrical(seed: int) -> None:
    found, r = measured(seed)
    theirs = {
        "sharpe": EP.sharpe_ratio(r, annualization=YEAR),
        "sortino": EP.sortino_ratio(r, annualization=YEAR),
        "volatility": EP.annual_volatility(r, annualization=YEAR),
        "cagr": EP.annual_return(r, annualization=YEAR),
        "calmar": EP.calmar_ratio(r, annualization=YEAR),
        "max_drawdown": EP.max_drawdown(r),
        "omega": EP.omega_ratio(r, annualization=YEAR),
        "tail_ratio": EP.tail_ratio(r),
        "var_95": EP.value_at_risk(r),
        "cvar_95": EP.conditional_value_at_risk(r),
        "total_return": EP.cum_returns_final(r),
    }

    for name, value in theirs.items():
        assert ours(found, name) == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equal_to_quantstats(seed: int) -> None:
    found, r = measured(seed)
    theirs = {
        "sharpe": QS.sharpe(r, periods=YEAR),
        "sortino": QS.sortino(r, periods=YEAR),
        "volatility": QS.volatility(r, periods=YEAR),
        "cagr": QS.cagr(r, periods=YEAR),
        "tail_ratio": QS.tail_ratio(r),
        "skew": QS.skew(r),
        "kurtosis": QS.kurtosis(r),
        "best_day": QS.best(r),
        "worst_day": QS.worst(r),
    }

    for name, value in theirs.items():
        assert ours(found, name) == pytest.approx(value, rel=1e-9), name


def test_quantstats_takes_days_as_independent_and_where_they_are_our_error_is_its_own_on_average() -> None:
    """Ours comes of 25 waves, so one square is off by 28 % and the mean of 24 by 6 %."""
    squares = []
    for seed in range(24):
        found, r = measured(seed)
        theirs = stats.norm.ppf(QS.probabilistic_sharpe_ratio(r, periods=YEAR))
        own = stats.t.ppf(ours(found, "psr"), wave_count(len(r)))
        squares.append((theirs / own) ** 2)

    assert np.mean(squares) == pytest.approx(1.0, abs=0.2)


def test_risk_free_rate_is_annual_and_taken_off_by_day() -> None:
    found, r = measured(4, rf=0.05)
    per_day = 1.05 ** (1 / YEAR) - 1  # empyrical's rate is per period

    assert ours(found, "sharpe") == pytest.approx(
        EP.sharpe_ratio(r, risk_free=per_day, annualization=YEAR), rel=1e-9
    )
    assert ours(found, "sortino") == pytest.approx(
        EP.sortino_ratio(r, required_return=per_day, annualization=YEAR), rel=1e-9
    )


def test_ulcer_index_divides_by_n_and_quantstats_by_n_less_one() -> None:
    found, r = measured(5)
    n = len(r)

    assert ours(found, "ulcer_index") * math.sqrt(n / (n - 1)) == pytest.approx(QS.ulcer_index(r), rel=1e-9)


def test_a_trading_year_of_252_days_would_lower_sharpe() -> None:
    found, r = measured(6)

    assert QS.sharpe(r) == pytest.approx(ours(found, "sharpe") * math.sqrt(252 / 365), rel=1e-9)


def test_quantstats_value_at_risk_is_a_normal_quantile_and_ours_historical() -> None:
    found, r = measured(7)

    assert ours(found, "var_95") == pytest.approx(np.percentile(r, 5), rel=1e-12)
    assert QS.value_at_risk(r) == pytest.approx(r.mean() + r.std() * -1.6448536269514722, rel=1e-6)


@pytest.mark.parametrize("seed", [1, 2])
def test_alpha_and_beta_equal_empyrical_before_compounding(seed: int) -> None:
    marks = marks_of(random_returns(seed))
    close = 100.0 * np.cumprod(1.0 + random_returns(seed + 50))
    found = measure(np.zeros(0, TRADE), marks, CAPITAL, close)
    r = daily_returns(marks, CAPITAL).returns
    benchmark = np.concatenate([[0.0], close[1:] / close[:-1] - 1.0])  # bought at the first close

    assert ours(found, "beta") == pytest.approx(EP.beta(r, benchmark), rel=1e-9)
    compounded = (1.0 + ours(found, "alpha") / YEAR) ** YEAR - 1.0
    assert compounded == pytest.approx(EP.alpha(r, benchmark, annualization=YEAR), rel=1e-9)
    active = r - benchmark
    assert ours(found, "information_ratio") == pytest.approx(
        active.mean() / active.std(ddof=1) * math.sqrt(YEAR), rel=1e-9
    )
    assert ours(found, "buy_and_hold_return") == pytest.approx(close[-1] / close[0] - 1, rel=1e-12)


@pytest.mark.parametrize("n", [2, 7, 8, 129, 365, 1_461])
def test_mean_and_spread_are_numpys_own_to_the_last_bit(n: int) -> None:
    for seed in range(20):
        returns = np.random.default_rng(seed).standard_t(3, n) * 0.01

        assert mean_of(returns) == float(returns.mean())
        assert spread_of(returns) == float(np.std(returns, ddof=1))
    assert spread_of(np.full(n, 0.1)) == 0.0
