"""The same days against buy-and-hold."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.daily import growth
from papertape.engine.performance.metrics import RELATIVE_METRICS, Sheet, mean_of, quotient
from papertape.engine.performance.ratios import DAYS_PER_YEAR, daily_rate, spread_of

_SHORT: Final = "fewer than two days"


def hold_worth(
    close: npt.ArrayLike, n_marks: int, rows: IntArray | slice, entry_cost_rate: float
) -> FloatArray:
    """
    Return the worth of one quote that bought at the first close, at some rows of `close`.

    close            shape (n_marks,) or (n_marks, n_symbols); symbols are bought in equal parts
    entry_cost_rate  fee, half spread and slippage of the purchase, as a fraction of its notional
    """
    prices = np.asarray(close, dtype=np.float64)
    assert len(prices) == n_marks
    if not n_marks:
        return np.zeros(0)
    prices = prices.reshape(n_marks, -1)  # (n_marks, n_symbols)
    assert (prices[0] > 0.0).all()
    chosen = prices[rows]
    assert np.isfinite(chosen).all()
    assert (chosen > 0.0).all()
    worth = chosen / prices[0]
    # The mean of one is itself, and a million means of one take as long as a replay's tenth.
    mean: FloatArray = worth[:, 0] if worth.shape[1] == 1 else worth.mean(axis=1)
    mean /= 1.0 + entry_cost_rate
    return mean


def put_relative(sheet: Sheet, returns: FloatArray, worth: FloatArray, rf: float) -> None:
    """
    Write buy-and-hold's return, and information ratio, alpha and beta of daily returns against it.

    beta   cov(r, b) ÷ var(b)            alpha  365 · (mean(r − rf) − beta · mean(b − rf))
    information ratio  mean(r − b) ÷ std(r − b, n − 1) · √365

    worth  buy-and-hold at the end of every day, from 1
    """
    sheet.put("buy_and_hold_return", float(worth[-1]) - 1.0)
    if len(returns) < 2:
        sheet.refuse(RELATIVE_METRICS, _SHORT)
        return
    benchmark = growth(worth, 1.0)
    active = returns - benchmark
    ratio = quotient(mean_of(active) * math.sqrt(DAYS_PER_YEAR), spread_of(active))
    sheet.put("information_ratio", ratio, "the difference to buy-and-hold does not vary")
    if spread_of(benchmark) == 0.0:
        sheet.refuse(("alpha", "beta"), "the benchmark's daily returns do not vary")
        return
    average = mean_of(benchmark)
    deviations = benchmark - average
    beta = float(np.dot(deviations, returns) / np.dot(deviations, deviations))
    rate = daily_rate(rf)
    alpha = mean_of(returns) - rate - beta * (average - rate)
    sheet.put("beta", beta)
    sheet.put("alpha", alpha * DAYS_PER_YEAR)
