"""
Risk parity: parts of the account that each add as much to its risk as any other.

The covariance is that of daily returns, close to close where UTC days end, over the newest RISK_DAYS days, each weighing the
same and no mean taken off: a day's mean is noise beside its size. Where a market has been listed for fewer of them, as
many count for all; before LEAST_DAYS it has no part. Positions count as if all were long.

Weights x with x_i (Σx)_i the same for all are the one minimum of ½ xᵀΣx - Σ ln(x_i) / n, found coordinate by coordinate
(T. Griveau-Billion, J.-C. Richard and T. Roncalli, A Fast Algorithm for Computing High-Dimensional Risk Parity Portfolios,
2013, eq. 8). Σx is kept as what x would have returned on each day, so no covariance is stored. Coordinates come in the
order of their variances and weights are rounded to a millionth, so neither names nor their order matter.
"""

from typing import Final

import numpy as np

from papertape.engine.broker.account import RISK_DAYS, Portfolio
from papertape.engine.candles import DAY_MS, FLAG_UNLISTED
from papertape.engine.jit import Row, Rows, kernel

LEAST_DAYS: Final = 30
_MOST_SWEEPS: Final = 2_000
_NEAR: Final = 1e-12  # relative change of the weight that changed most
_GRID: Final = 1_048_576.0  # 2^20


@kernel
def track_risk(portfolio: Portfolio, candles: Rows, close_ms: int) -> None:
    """Take in the close of an instant; where a day ended with it or since the one before, weigh the markets anew."""
    account, positions, markets = portfolio.account, portfolio.positions, portfolio.markets
    day = close_ms // DAY_MS
    if day <= account.risk_day:
        return
    is_first = account.risk_day == 0
    account.risk_day = day
    if is_first and close_ms % DAY_MS != 0:
        return  # what comes before the first whole day is no day's return
    slot = account.risk_rows % RISK_DAYS
    account.risk_rows += 1
    for symbol in range(len(positions)):
        position = positions[symbol]
        candle = candles[symbol]
        change = 0.0
        if candle.flag_bits & FLAG_UNLISTED != 0 or position.is_gone != 0:
            position.risk_close = 0.0
            position.risk_days = 0
        else:
            if position.risk_close > 0.0:
                change = candle.close / position.risk_close - 1.0
                position.risk_days = min(position.risk_days + 1, RISK_DAYS)
            position.risk_close = candle.close
        position.risk_changes[slot] = change
    n, days = rank(account, positions, markets)
    if n > 0:
        balance(account, positions, n, days)


@kernel
def rank(account: Row, positions: Rows, markets: Rows) -> tuple[int, int]:
    """
    Put the markets that may have a part in order, the most variance first; return how many they are, and over how many days.

    The symbol of place k is `risk_order` of position k.
    """
    days = RISK_DAYS
    for symbol in range(len(positions)):
        positions[symbol].risk_weight = 0.0
        if may_have_part(positions[symbol], markets[symbol]):
            days = min(days, positions[symbol].risk_days)
    n = 0
    for symbol in range(len(positions)):
        position = positions[symbol]
        position.risk_variance = 0.0
        if not may_have_part(position, markets[symbol]):
            continue
        for t in range(days):
            change = position.risk_changes[(account.risk_rows - 1 - t) % RISK_DAYS]
            position.risk_variance += change * change / days
        if position.risk_variance <= 0.0:
            continue  # a price that never moved
        place = n
        while place > 0 and is_before(account, position, positions[positions[place - 1].risk_order], days):
            positions[place].risk_order = positions[place - 1].risk_order
            place -= 1
        positions[place].risk_order = symbol
        n += 1
    return n, days


@kernel
def may_have_part(position: Row, market: Row) -> bool:
    """Return whether enough of a market is known, and it is traded."""
    return market.is_allotted != 0 and position.risk_days >= LEAST_DAYS  # type: ignore[no-any-return]


@kernel
def is_before(account: Row, one: Row, two: Row, days: int) -> bool:
    """Return whether one varied more than two; where they varied as much, by the newest day that tells them apart."""
    if one.risk_variance != two.risk_variance:
        return one.risk_variance > two.risk_variance  # type: ignore[no-any-return]
    for t in range(days):
        slot = (account.risk_rows - 1 - t) % RISK_DAYS
        if one.risk_changes[slot] != two.risk_changes[slot]:
            return one.risk_changes[slot] > two.risk_changes[slot]  # type: ignore[no-any-return]
    return False


@kernel
def balance(account: Row, positions: Rows, n: int, days: int) -> None:
    """Write the weights of the first `n` in order, the largest of them 1."""
    for k in range(n):
        position = positions[positions[k].risk_order]
        position.risk_weight = 1.0 / np.sqrt(position.risk_variance * n)
    for _ in range(_MOST_SWEEPS):
        if sweep(account, positions, n, days) <= _NEAR:
            break
    largest = 0.0
    for k in range(n):
        largest = max(largest, positions[positions[k].risk_order].risk_weight)
    for k in range(n):
        position = positions[positions[k].risk_order]
        position.risk_weight = max(np.rint(position.risk_weight / largest * _GRID), 1.0) / _GRID


@kernel
def sweep(account: Row, positions: Rows, n: int, days: int) -> float:
    """Lead each weight once to where its own risk is its share of all; return the largest relative change."""
    path = account.risk_path
    for t in range(days):
        path[t] = 0.0
        slot = (account.risk_rows - 1 - t) % RISK_DAYS
        for k in range(n):
            position = positions[positions[k].risk_order]
            path[t] += position.risk_weight * position.risk_changes[slot]
    moved = 0.0
    for k in range(n):
        position = positions[positions[k].risk_order]
        weight, variance = position.risk_weight, position.risk_variance
        together = 0.0
        for t in range(days):
            change = position.risk_changes[(account.risk_rows - 1 - t) % RISK_DAYS]
            together += change * path[t] / days
        others = together - variance * weight
        root = np.sqrt(others * others + 4.0 * variance / n)
        # The same root twice: as a quotient where the difference would lose its digits.
        new = 2.0 / n / (others + root) if others > 0.0 else (root - others) / (2.0 * variance)
        for t in range(days):
            change = position.risk_changes[(account.risk_rows - 1 - t) % RISK_DAYS]
            path[t] += (new - weight) * change
        moved = max(moved, abs(new - weight) / new)
        position.risk_weight = new
    return moved
