"""
Allocation: which part of the account each symbol trades with.

A symbol's share is of equity, so gains and losses are everybody's. With it the symbol is sized as if its part were the whole
account: what a rule or a strategy takes of equity it takes of this part, and its position never exceeds what the part
could buy at its leverage. Shares follow the newest close: equal among the markets that are listed, by the inverse of their
volatility (the variance of `papertape.engine.broker.risk.sizes`), by risk parity (`papertape.engine.broker.risk.parity`), by the
confidence of decisions, or as they were written down. Parts of weights are integers, so that neither names nor their order
matter.

Positions that a decision opened are brought back to what their rule gives now at a cadence, where they are further away
than a band: `rebalance_all` in `papertape.engine.broker.working.instructions`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from papertape.engine.broker.account import (
    ALLOCATE_BY_RISK,
    ALLOCATE_BY_SCORE,
    ALLOCATE_BY_VOLATILITY,
    ALLOCATE_EQUALLY,
    ALLOCATE_NOTHING,
    ALLOCATE_SHARES,
    SIZE_BY_VOLATILITY,
    Portfolio,
)
from papertape.engine.broker.orders import is_change, refusal
from papertape.engine.broker.risk.sizes import is_variance_known
from papertape.engine.candles import FLAG_UNLISTED
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.options import check_options, option
from papertape.engine.records import FLAT, REFUSED_NO

ALLOCATIONS: Final = {
    "none": ALLOCATE_NOTHING,
    "equal": ALLOCATE_EQUALLY,
    "inverse_volatility": ALLOCATE_BY_VOLATILITY,
    "risk_parity": ALLOCATE_BY_RISK,
    "score": ALLOCATE_BY_SCORE,
    "shares": ALLOCATE_SHARES,
}

_HOUR_MS: Final = 3_600_000
_MOST_SHARES: Final = 1.0 + 1e-9  # decimal fractions add up to 1 only nearly
_WHOLE: Final = 17_592_186_044_416  # 2^44: weights are integers of the largest


@dataclass(frozen=True, slots=True)
class Allocation:
    """
    How the account is divided; the section [portfolio] of a configuration has the same keys.

    allocation  none | equal | inverse_volatility | risk_parity | score | shares
    shares      of equity by symbol, at most 1 together

    >>> Allocation("shares", {"BTCUSDT": 0.5, "ETHUSDT": 0.3}).is_any, Allocation().is_any
    (True, False)
    """

    allocation: str = "none"
    shares: Mapping[str, float] = field(default_factory=dict)
    rebalance_hours: int = option(
        0,
        "after which positions are brought to their shares again, counted from 1970-01-01 UTC; 0: they are left alone",
        ge=0,
        le=87_600,
    )
    rebalance_band: float = option(
        0.0, "of equity: a position that is as near stays as it is", ge=0.0, le=1.0
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", dict(sorted(self.shares.items())))
        if self.allocation not in ALLOCATIONS:
            known = did_you_mean(self.allocation, ALLOCATIONS)
            raise ConfigError(f"portfolio.allocation: unknown {self.allocation!r}{known}")
        self._check_shares()
        check_options("portfolio", self)
        if self.rebalance_hours and not self.is_any:
            raise ConfigError(
                "portfolio.rebalance_hours: there are no shares to bring positions to; set portfolio.allocation, too"
            )

    def _check_shares(self) -> None:
        """Refuse shares that are none, more of them than there is, and those that nothing reads."""
        where, is_read = "portfolio.shares", self.rule == ALLOCATE_SHARES
        if bool(self.shares) != is_read:
            raise ConfigError(
                f"{where}: it names no symbol; write {{ BTCUSDT = 0.5 }}"
                if is_read
                else f'{where}: portfolio.allocation = "{self.allocation}" does not read them; set it to "shares"'
            )
        for symbol, share in self.shares.items():
            if not 0.0 < share <= 1.0:
                raise ConfigError(f"{where}.{symbol}: {share:g} is not above 0 and at most 1")
        total = sum(self.shares.values())
        if total > _MOST_SHARES:
            raise ConfigError(f"{where}: they add up to {total:g}, more than 1")

    @property
    def rule(self) -> int:
        """Return ALLOCATE_…."""
        return ALLOCATIONS[self.allocation]

    @property
    def is_any(self) -> bool:
        """Return whether the account is divided at all."""
        return self.rule != ALLOCATE_NOTHING

    def refuse(self, traded: Sequence[str], sizing: str) -> None:
        """Raise ConfigError for shares of what is not traded, and for sizes that cannot be brought back."""
        lines = [
            f"portfolio.shares.{symbol}: no tape or symbol that is traded has that name{did_you_mean(symbol, traded)}"
            for symbol in self.shares
            if symbol not in traded
        ]
        if self.rebalance_hours and sizing == "risk":
            lines.append(
                "portfolio.rebalance_hours: by risk a size belongs to its stop and is not changed afterwards; set account.sizing "
                "to fraction, volatility, kelly or all_in"
            )
        if lines:
            raise ConfigError("\n".join(lines))

    def write(self, row: Any) -> None:
        """Write it into a SETTINGS record."""
        row["allocation"] = self.rule
        row["rebalance_ms"] = self.rebalance_hours * _HOUR_MS
        row["rebalance_band"] = self.rebalance_band
        is_by_volatility = row["sizing"] == SIZE_BY_VOLATILITY
        row["has_variance"] = is_by_volatility or self.rule == ALLOCATE_BY_VOLATILITY

    def write_shares(self, rows: Rows, symbols: Sequence[str], traded: Sequence[str]) -> None:
        """Write into MARKET records, one per symbol in that order, which part each may have."""
        for row, symbol in zip(rows, symbols, strict=True):
            row["is_allotted"] = symbol in traded if not self.shares else symbol in self.shares
            row["share"] = self.shares.get(symbol, 0.0)


@kernel
def weight_of(position: Row, market: Row, settings: Row, candle: Row) -> float:
    """Return what a symbol weighs at a close; 0 for one that is not listed, or not known well enough."""
    is_listed = candle.flag_bits & FLAG_UNLISTED == 0 and position.is_gone == 0
    if not is_listed or market.is_allotted == 0:
        return 0.0
    if settings.allocation == ALLOCATE_EQUALLY:
        return 1.0
    if settings.allocation == ALLOCATE_SHARES:
        return market.share  # type: ignore[no-any-return]
    if settings.allocation == ALLOCATE_BY_RISK:
        return position.risk_weight  # type: ignore[no-any-return]
    if settings.allocation == ALLOCATE_BY_SCORE:
        return position.score  # type: ignore[no-any-return]
    if not is_variance_known(position, settings):
        return 0.0
    return np.sqrt(position.variance_weight / position.variance_sum)  # type: ignore[no-any-return]


@kernel
def allot(portfolio: Portfolio, candles: Rows, worth: int) -> None:
    """Write the share of each symbol from the close of an instant on, and add up what it had and used until then."""
    markets, settings = portfolio.markets, portfolio.settings
    for symbol in range(len(markets)):
        position = portfolio.positions[symbol]
        if position.share > 0.0 and worth > 0:
            position.allotted_closes += 1
            position.allotted_total += position.share
            held = abs(position.quantity) * position.last_price
            position.used_total += held / (worth * markets[symbol].quote_per_unit)
        if position.quantity == 0.0 and portfolio.orders[symbol].is_active == 0:
            position.score = 0.0
        position.share = weight_of(position, markets[symbol], settings, candles[symbol])
    if settings.allocation != ALLOCATE_SHARES:
        divide(portfolio.positions)


@kernel
def allot_by_score(portfolio: Portfolio, decisions: Rows, column: int, close_ms: int) -> None:
    """Write the share of each symbol by the confidence of those decisions of a column that change something, before they rest."""
    account, settings = portfolio.account, portfolio.settings
    for symbol in range(len(portfolio.positions)):
        position, market = portfolio.positions[symbol], portfolio.markets[symbol]
        decision = decisions[symbol, column]
        if is_change(position, portfolio.orders[symbol], decision):
            cause = refusal(account, position, market, settings, decision, close_ms)
            is_heard = cause == REFUSED_NO and decision.target != FLAT
            position.score = decision.confidence if is_heard else 0.0
        position.share = position.score if market.is_allotted != 0 else 0.0
    divide(portfolio.positions)


@kernel
def divide(positions: Rows) -> None:
    """Let shares that are weights add up to 1; without any weight nobody has a share."""
    largest = 0.0
    for symbol in range(len(positions)):
        largest = max(largest, positions[symbol].share)
    if largest <= 0.0:
        return
    total = 0
    for symbol in range(len(positions)):
        total += int(positions[symbol].share / largest * _WHOLE)
    for symbol in range(len(positions)):
        position = positions[symbol]
        position.share = int(position.share / largest * _WHOLE) / total
