"""
What a result is worth: definitions of every number that a report shows, and nothing that reads or writes files.

    measure     all metrics of one run, with a reason for each that is undefined (`metrics`: names and conventions)
    daily       the equity curve in UTC days and months          drawdown      falls from a peak
    times       when it is marked                        activity      how much of it was at work
    ratios      return, risk and ratio metrics                   significance  how far a Sharpe ratio can be trusted
    trading     metrics of trades and costs                      relative      against buy-and-hold
    standing    a Sharpe ratio among all that was tried          trade_figures  what one reading of trades tells
    overfitting the best of many: PBO, step-down            resampling   series drawn again from themselves
    paths       accounts that could have been                    placebo     the same trades at random times
    lanes       many shifts of one set of positions
    tables      trades broken down by a label                    attribution   profit by component of the score
    statement   every amount in double entry         portfolio     what each symbol held, and how alike they moved
    regimes     trend or range, calm or volatile, causally       benchmarks    buy-and-hold, flat, random entry
"""

from papertape.engine.performance.attribution import COMPONENTS, attribution
from papertape.engine.performance.benchmarks import RandomEntry, always_flat, buy_and_hold, random_entry
from papertape.engine.performance.daily import DailyReturns, daily_returns, monthly_returns
from papertape.engine.performance.measure import measure
from papertape.engine.performance.metrics import CONVENTIONS, METRIC_NAMES, Performance
from papertape.engine.performance.regimes import REGIME_NAMES, regimes, regimes_when
from papertape.engine.performance.tables import (
    breakdown,
    breakdowns,
    by_component,
    by_confidence,
    by_exit_reason,
    by_regime,
    by_side,
    by_symbol,
)

__all__ = [
    "COMPONENTS",
    "CONVENTIONS",
    "METRIC_NAMES",
    "REGIME_NAMES",
    "DailyReturns",
    "Performance",
    "RandomEntry",
    "always_flat",
    "attribution",
    "breakdown",
    "breakdowns",
    "buy_and_hold",
    "by_component",
    "by_confidence",
    "by_exit_reason",
    "by_regime",
    "by_side",
    "by_symbol",
    "daily_returns",
    "measure",
    "monthly_returns",
    "random_entry",
    "regimes",
    "regimes_when",
]
