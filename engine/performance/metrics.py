"""
The names of all metrics, the conventions behind them, and the sheet on which they are collected.

A metric is a finite number or None; None always comes with a reason. Fractions are never percent, money is in
quote, durations are seconds. Which formula stands behind a name is said where it is computed.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray

# below it a Sharpe ratio is flagged: its standard error exceeds 3.4 a year
MINIMUM_DAYS: Final = 30
MINIMUM_CAGR_DAYS: Final = 90  # below it annual growth is an extrapolation by more than four
MINIMUM_TRADES: Final = 30  # what Tharp asks of the SQN

CONVENTIONS: Final[tuple[str, ...]] = (
    "Equity is marked to market at the close of every base candle; exit costs are not included.",
    "Returns are UTC days; a mark at 00:00 closes the day before; the first day starts from the capital.",
    "Days without a trade or without a candle are zeros.",
    "A year has 365 days; standard deviations divide by n − 1.",
    "The risk-free rate is annual, per day (1 + rf)^(1/365) − 1; it is also the threshold of Sortino and Omega.",
    "Drawdown is measured on bar equity including the starting capital; a fall is negative.",
    "The drawdown's duration runs from the peak to the recovery, or to the end when it did not recover.",
    "Average drawdown and ulcer index use daily equity; ulcer index and every rate are fractions.",
    "CAGR uses elapsed time; Calmar and UPI divide it by whole-period figures.",
    "VaR is the historical 5 % quantile of days with linear interpolation; CVaR the mean of the lowest 5 %.",
    "Skew and kurtosis are bias-corrected; kurtosis is excess, 0 for a normal distribution.",
    "PSR is the probability that the true Sharpe ratio is above 0; DSR the same after the best of all trials.",
    "The Sharpe ratio's error counts dependence between days: n days by their 0.4·n^(2/3) slowest cosines, Student's t.",
    "Exposure is the share of base candles at whose close a position is open; leverage is averaged over all candles.",
    "Turnover is the notional bought and sold over the average equity of the whole period.",
    "A trade wins when its net profit is above zero; profit factor, payoff and Kelly are on trades, Kelly is halved.",
    "R is net profit over the loss planned at the stop; trades without a stop have none.",
    "SQN is √n · mean(R) ÷ std(R); the variant sqn_100 caps n at 100.",
    "Trade durations run from the open of the entry candle to the open of the exit candle.",
    "A trade still open at the end counts at the last close, without exit cost.",
    "Costs are fees, half spread, slippage and funding; gross profit is net profit plus costs.",
    "When stop and target lay in one candle the stop counts; the optimistic profit counts the target.",
    "Buy-and-hold buys at the first close, the earliest price that a decision can know, in equal parts.",
    "Information ratio and alpha are per year (√365 and 365 times the daily figure).",
    "Undefined is shown as nothing with its reason, never as 0 or infinity.",
)

CURVE_METRICS: Final = (
    "total_return",
    "final_equity",
    "days",
    "max_drawdown",
    "max_drawdown_quote",
    "max_drawdown_duration_s",
    "time_to_recover_s",
    "exposure",
)
# From daily returns and leverage, which have no meaning once equity has been zero or below.
DAILY_METRICS: Final = (
    "cagr",
    "sharpe",
    "sharpe_standard_error",
    "sortino",
    "calmar",
    "omega",
    "volatility",
    "average_drawdown",
    "ulcer_index",
    "upi",
    "var_95",
    "cvar_95",
    "skew",
    "kurtosis",
    "tail_ratio",
    "psr",
    "dsr",
    "best_day",
    "worst_day",
    "mean_leverage",
    "turnover",
)
RELATIVE_METRICS: Final = ("information_ratio", "alpha", "beta")
TRADE_METRICS: Final = (
    "trades",
    "long_trades",
    "short_trades",
    "win_rate",
    "payoff",
    "profit_factor",
    "expectancy_quote",
    "expectancy_r",
    "sqn",
    "sqn_100",
    "kelly_half",
    "average_trade_duration_s",
    "median_trade_duration_s",
    "maximum_trade_duration_s",
    "average_mae",
    "average_mfe",
    "max_consecutive_wins",
    "max_consecutive_losses",
    "ambiguous_trades",
    "ambiguous_share",
    "optimistic_pnl_quote",
)
COST_METRICS: Final = (
    "fees_quote",
    "spread_quote",
    "slippage_quote",
    "funding_quote",
    "costs_quote",
    "costs_share_of_gross",
)
METRIC_NAMES: Final[tuple[str, ...]] = (
    *CURVE_METRICS,
    *DAILY_METRICS,
    "buy_and_hold_return",
    *RELATIVE_METRICS,
    *TRADE_METRICS,
    *COST_METRICS,
)
_KNOWN: Final = frozenset(METRIC_NAMES)


@dataclass(slots=True, frozen=True)
class Performance:
    """
    The metrics of one run.

    metrics    every name of METRIC_NAMES, in that order; None where undefined
    undefined  the reason for each None
    notes      what a reader must know before believing a number
    """

    metrics: dict[str, float | None]
    undefined: dict[str, str]
    notes: list[str]


class Sheet:
    """Collects metrics until every name has a number or a reason."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self.notes: list[str] = []

    def put(self, name: str, value: float | None, reason: str = "") -> None:
        """Write down a number, or for None the reason why there is none; a later word replaces an earlier one."""
        assert name in _KNOWN
        self._values.pop(name, None)
        if value is None:
            assert reason
            self._reasons[name] = reason
        elif math.isfinite(value):
            self._values[name] = value if isinstance(value, int) else float(value)
        else:
            self._reasons[name] = "the value is too large to state"

    def refuse(self, names: tuple[str, ...], reason: str) -> None:
        """Say for several metrics why they are undefined."""
        for name in names:
            self.put(name, None, reason)

    def value(self, name: str) -> float | None:
        """Return a metric that was written before, None when it is undefined."""
        return self._values.get(name)

    def finish(self) -> Performance:
        """Return the performance; every metric has been written by now."""
        missing = [n for n in METRIC_NAMES if n not in self._values and n not in self._reasons]
        assert not missing, missing
        metrics = {name: self._values.get(name) for name in METRIC_NAMES}
        reasons = {name: self._reasons[name] for name in METRIC_NAMES if metrics[name] is None}
        return Performance(metrics, reasons, self.notes)


# A range of returns, a loss or a fall below this is rounding of money units, not risk.
SMALLEST: Final = 1e-12


def quotient(numerator: float, denominator: float) -> float | None:
    """Return the ratio of two numbers, None when the denominator is zero."""
    return float(numerator) / float(denominator) if denominator != 0.0 else None


def mean_of(values: FloatArray) -> float:
    """Return the mean of at least one value, to the bit what numpy's own is, which takes three times as long for a year of days."""
    return float(np.add.reduce(values)) / len(values)
