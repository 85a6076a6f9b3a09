"""Return, risk and ratio metrics of an equity curve, as bound by the conventions in `metrics`."""

import math
from typing import Final

import numpy as np

from papertape.engine.candles import DAY_MS
from papertape.engine.jit import FloatArray
from papertape.engine.performance.daily import DailyReturns
from papertape.engine.performance.drawdown import average_depth, drawdowns
from papertape.engine.performance.metrics import (
    MINIMUM_CAGR_DAYS,
    MINIMUM_DAYS,
    SMALLEST,
    Sheet,
    mean_of,
    quotient,
)
from papertape.engine.performance.significance import (
    LEAST_MOVES,
    expected_best_sharpe,
    has_moved_enough,
    probability_above,
    sample_kurtosis,
    sample_skew,
    sharpe_error,
    sharpe_waves,
)

DAYS_PER_YEAR: Final = 365.0
_LARGEST_EXPONENT: Final = 700.0  # exp of more is beyond float64

_TOO_SHORT: Final = "fewer than two days"
_NO_SPREAD: Final = "the daily returns do not vary"


def daily_rate(rf: float) -> float:
    """Return an annual rate per day, (1 + rf)^(1/365) − 1."""
    return float((1.0 + rf) ** (1.0 / DAYS_PER_YEAR)) - 1.0


def spread_of(returns: FloatArray) -> float:
    """Return the standard deviation with n − 1, and 0 for a spread that is only rounding; at least two values."""
    if float(np.maximum.reduce(returns) - np.minimum.reduce(returns)) <= SMALLEST:
        return 0.0
    # As numpy's `std` does it.
    deviations = returns - mean_of(returns)
    deviations *= deviations
    return math.sqrt(float(np.add.reduce(deviations)) / (len(returns) - 1))


def quantile_of(ordered: FloatArray, share: float) -> float:
    """Return a quantile of ascending values, at least one, with linear interpolation; numpy's own, which takes 20 times as long."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    weight, step = place - below, high - low
    # From the nearer end, as numpy rounds it.
    return high - step * (1.0 - weight) if weight >= 0.5 else low + step * weight


def falls_of(values: FloatArray) -> FloatArray:
    """Return what lies below zero, and zero for the rest and for what is only rounding."""
    return np.where(values < -SMALLEST, values, 0.0)


def put_growth(sheet: Sheet, capital: float, equity: float, elapsed_ms: int) -> None:
    """Write CAGR, (end ÷ start)^(365 ÷ elapsed days) − 1, for an equity above zero."""
    if elapsed_ms == 0:
        sheet.put("cagr", None, "fewer than two candles")
        return
    days = elapsed_ms / DAY_MS
    if days < MINIMUM_CAGR_DAYS:
        sheet.notes.append(f"CAGR over less than {MINIMUM_CAGR_DAYS} days")
    exponent = math.log(equity / capital) * DAYS_PER_YEAR / days
    value = math.expm1(exponent) if exponent < _LARGEST_EXPONENT else None
    sheet.put("cagr", value, "too large to state over so short a time")


def put_ratios(sheet: Sheet, returns: FloatArray, rf: float) -> None:
    """
    Write Sharpe, Sortino, Omega and volatility.

    Sharpe   mean(r − rf) ÷ std(r, n − 1) · √365
    Sortino  mean(r − rf) ÷ √(mean over all days of min(r − rf, 0)²) · √365
    Omega    Σ max(r − rf, 0) ÷ Σ max(rf − r, 0)
    """
    n = len(returns)
    if n < 2:
        sheet.refuse(("sharpe", "sortino", "omega", "volatility"), _TOO_SHORT)
        return
    if n < MINIMUM_DAYS:
        sheet.notes.append(f"Sharpe from {n} days; {MINIMUM_DAYS} are the minimum")
    excess = returns - daily_rate(rf)
    average = mean_of(excess) * math.sqrt(DAYS_PER_YEAR)
    deviation = spread_of(returns)
    losses = falls_of(excess)
    downside = math.sqrt(mean_of(losses**2))
    no_loss = "no day was below the risk-free rate"
    sheet.put("sharpe", quotient(average, deviation), _NO_SPREAD)
    sheet.put("sortino", quotient(average, downside), no_loss)
    sheet.put("omega", quotient(float(np.maximum(excess, 0.0).sum()), -float(losses.sum())), no_loss)
    sheet.put("volatility", deviation * math.sqrt(DAYS_PER_YEAR))


def put_distribution(sheet: Sheet, returns: FloatArray) -> None:
    """
    Write quantiles, moments and extremes of daily returns, at least one.

    CVaR is the mean of the lowest int((n − 1)·0.05) + 1 days, the tail ratio |q95 ÷ q05|.
    """
    ordered = np.sort(returns)
    low, high = quantile_of(ordered, 0.05), quantile_of(ordered, 0.95)
    sheet.put("var_95", low)
    sheet.put("cvar_95", mean_of(ordered[: int((len(ordered) - 1) * 0.05) + 1]))
    tail = quotient(abs(high), abs(low)) if abs(low) > SMALLEST else None
    sheet.put("tail_ratio", tail, "the 5 % quantile is zero")
    sheet.put("best_day", float(ordered[-1]))
    sheet.put("worst_day", float(ordered[0]))
    is_varied = len(returns) > 1 and spread_of(returns) > 0.0
    for name, least, moment in (("skew", 3, sample_skew), ("kurtosis", 4, sample_kurtosis)):
        is_short = len(returns) < least
        reason = f"fewer than {least} days" if is_short else _NO_SPREAD
        sheet.put(name, moment(returns) if is_varied else None, reason)


def put_significance(
    sheet: Sheet, returns: FloatArray, rf: float, trials: int, trials_deviation: float | None
) -> None:
    """
    Write the Sharpe ratio's standard error (annual), PSR against 0 and DSR; after Sharpe.

    trials_deviation  spread of the trials' daily Sharpe ratios; None: as wide as this estimate's own error, which
                      is what trials without any skill would show
    """
    names = ("sharpe_standard_error", "psr", "dsr")
    if sheet.value("sharpe") is None:
        sheet.refuse(names, "the Sharpe ratio is undefined")
        return
    if not has_moved_enough(returns):
        sheet.refuse(
            names,
            f"not enough independent days: the account moved on {np.count_nonzero(returns)}, and {LEAST_MOVES} are the least",
        )
        return
    n = len(returns)
    found = sharpe_waves((returns - daily_rate(rf))[:, None])
    sharpe, error = float(found.sharpe[0]), sharpe_error(found.waves[:, 0], n)
    sheet.put("sharpe_standard_error", error * math.sqrt(DAYS_PER_YEAR))
    sheet.put("psr", probability_above(sharpe, 0.0, error, n))
    if trials < 2:
        sheet.put(
            "dsr",
            None,
            "one trial was given, so there is nothing to deflate; a ledger counts those of a replay",
        )
        return
    threshold = expected_best_sharpe(trials, error if trials_deviation is None else trials_deviation)
    sheet.put("dsr", probability_above(sharpe, threshold, error, n))


def put_pain(sheet: Sheet, daily: DailyReturns, capital: float, rf: float) -> None:
    """
    Write Calmar, average drawdown, ulcer index and UPI; after CAGR and max drawdown.

    Ulcer index √(mean dd²) over days; UPI (CAGR − rf) ÷ ulcer index; Calmar CAGR ÷ |max drawdown|.
    Source: P. G. Martin and B. McCann, The Investor's Guide to Fidelity Funds (1989).
    """
    below_peak = falls_of(drawdowns(np.concatenate([[capital], daily.equity]))[1:])
    ulcer = math.sqrt(mean_of(below_peak**2))
    never = "no day ended below a peak"
    sheet.put("average_drawdown", average_depth(below_peak), never)
    sheet.put("ulcer_index", ulcer)
    cagr, deepest = sheet.value("cagr"), sheet.value("max_drawdown")
    if cagr is None or deepest is None:
        sheet.refuse(("upi", "calmar"), "CAGR is undefined")
        return
    sheet.put("upi", quotient(cagr - rf, ulcer), never)
    calmar = quotient(cagr, -deepest) if -deepest > SMALLEST else None
    sheet.put("calmar", calmar, "equity never fell below a peak")
