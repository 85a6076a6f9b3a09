"""
Sizes by what a market does and by what the account has won: a volatility target, and a capped share of Kelly's fraction.

Both give a share of equity as notional. A market's variance is the mean of its squared returns, candle by candle of the base
timeframe, the newest weighing most (half as much after `volatility_days`); nothing is opened before half of a full weight
is known. Kelly's fraction is mean ÷ mean square of what the account's own trades returned on their notional (Thorp, *The
Kelly criterion in blackjack, sports betting and the stock market*, 2006, eq. 7.2 with small means), the newest weighing
most; until as many trades have closed as weigh half, `fixed_fraction` is taken.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from papertape.engine.broker.account import SIZE_BY_KELLY, SIZE_BY_VOLATILITY
from papertape.engine.candles import DAY_MS
from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.options import check_options, option

YEAR_MS: Final = 365 * DAY_MS
# returns of trades are counted in integers, so that those of one instant have no order
_STEPS: Final = 1e9
_MOST: Final = 1e3  # times its notional is more than a trade may count
_HALF: Final = 0.5 - 1e-9  # of a full weight


@dataclass(frozen=True, slots=True)
class SizeRules:
    """
    How `account.sizing = "volatility"` and `"kelly"` size; the section [account] has the same keys.

    >>> SizeRules().variance_target(DAY_MS) == 0.2**2 / 365  # of a daily candle
    True
    """

    target_volatility: float = option(
        0.2, "sizing by volatility: what a position adds a year, of equity", gt=0.0, le=10.0
    )
    volatility_days: float = option(30.0, "after which a return weighs half", gt=0.0, le=3_650.0)
    kelly_share: float = option(0.5, "sizing by kelly: of Kelly's fraction", gt=0.0, le=1.0)
    kelly_trades: int = option(
        50, "after which a trade weighs half; fixed_fraction until then", ge=2, le=100_000
    )
    kelly_least: float = option(
        0.02, "notional ÷ equity, whatever was lost; 0: nothing is opened", ge=0.0, le=125.0
    )
    kelly_most: float = option(1.0, "notional ÷ equity, whatever was won", gt=0.0, le=125.0)

    def __post_init__(self) -> None:
        check_options("account", self)

    def variance_target(self, base_ms: int) -> float:
        """Return the variance of a base candle's return that the target of a year comes to."""
        return self.target_volatility**2 * base_ms / YEAR_MS

    def variance_decay(self, base_ms: int) -> float:
        """Return what a return weighs of what it weighed a base candle before."""
        return float(2.0 ** (-base_ms / (self.volatility_days * DAY_MS)))

    def kelly_decay(self) -> float:
        """Return what a trade weighs of what it weighed a trade before."""
        return float(2.0 ** (-1.0 / self.kelly_trades))


@kernel
def track_variance(position: Row, close: float, decay: float) -> None:
    """Take in the close of a market's newest base candle."""
    if position.variance_close > 0.0:
        change = close / position.variance_close - 1.0
        position.variance_sum = decay * position.variance_sum + change * change
        position.variance_weight = decay * position.variance_weight + 1.0
    position.variance_close = close


@kernel
def track_returns(account: Row, trades_out: Rows, first: int, last: int, decay: float) -> None:
    """Take in the trades that closed in one instant: rows `first` … `last - 1` of `trades_out`."""
    total, squares = 0, 0
    for row in range(first, last):
        trade = trades_out[row]
        if trade.notional <= 0:
            continue
        gain = min(max(trade.pnl / trade.notional, -_MOST), _MOST)
        total += int(np.rint(gain * _STEPS))
        squares += int(np.rint(gain * gain * _STEPS))
    faded = decay ** (last - first)
    account.kelly_closed += last - first
    account.kelly_sum = faded * account.kelly_sum + total / _STEPS
    account.kelly_squares = faded * account.kelly_squares + squares / _STEPS


@kernel
def is_variance_known(position: Row, settings: Row) -> bool:
    """Return whether enough candles are known for a size by volatility; of a price that never moved none is."""
    weight = position.variance_weight * (1.0 - settings.variance_decay)
    return weight >= _HALF and position.variance_sum > 0.0  # type: ignore[no-any-return]


@kernel
def notional_share(account: Row, position: Row, settings: Row) -> float:
    """Return the share of equity that a new position gets as notional, by the account's rule."""
    if settings.sizing == SIZE_BY_VOLATILITY:
        if not is_variance_known(position, settings):
            return 0.0
        variance = position.variance_sum / position.variance_weight
        return np.sqrt(settings.variance_target / variance)  # type: ignore[no-any-return]
    if settings.sizing == SIZE_BY_KELLY and account.kelly_closed >= settings.kelly_trades:
        share = 0.0
        if account.kelly_squares > 0.0:
            share = settings.kelly_share * account.kelly_sum / account.kelly_squares
        return min(max(share, settings.kelly_least), settings.kelly_most)  # type: ignore[no-any-return]
    return settings.fixed_fraction  # type: ignore[no-any-return]
