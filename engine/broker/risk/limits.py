"""
Limits on what may be lost and held, looked at on equity that is marked to the market at every close of a base candle.

A day's loss and a drawdown flatten and lock: what rests is taken back, positions are closed at the next open, and nothing
is opened until the lock ends. Losses in a row only lock. A day is a UTC day and begins at the equity of the last close
before it; a drawdown is measured from the highest close. A day's lock ends with the day, that of a drawdown after its
days or when an operator resumes, and highest close and day then begin anew at the equity of that moment. A lock by losses
runs beside both, and goes on where it ends later.

Exposure is limited where sizes are made: what would be beyond a limit is not opened. A limit never makes a position smaller.
The number of positions and of orders is `papertape.engine.broker.risk.places`, groups of symbols are `…risk.groups`.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

from papertape.engine.broker.account import OutputRows, Portfolio
from papertape.engine.broker.orders import N_LIMITS, N_TRADES, close_all
from papertape.engine.broker.risk.groups import SymbolGroup, as_groups
from papertape.engine.candles import DAY_MS
from papertape.engine.jit import Row, inlined_kernel, kernel
from papertape.engine.options import check_options, option
from papertape.engine.records import (
    REASON_DAILY_LOSS,
    REASON_DRAWDOWN,
    REFUSED_DAILY_LOSS,
    REFUSED_DRAWDOWN,
    REFUSED_LOSSES,
    UNTIL_RESUMED,
)

_HOUR_MS: Final = 3_600_000.0


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What may be lost and held; the section [limits] of a configuration has the same keys. 0 = no limit.

    >>> Limits(daily_loss=0.03).is_any, Limits().is_any
    (True, False)
    """

    daily_loss: float = option(
        0.0,
        "share of the day's first equity; met, it flattens and locks until the day ends (UTC)",
        ge=0.0,
        lt=1.0,
    )
    drawdown: float = option(0.0, "share of the highest equity; met, it flattens and locks", ge=0.0, lt=1.0)
    drawdown_lock_days: float = option(0.0, "how long; 0: until an operator resumes", ge=0.0, le=3_650.0)
    losses: int = option(0, "losing trades in a row that lock entries for a while", ge=0, le=10_000)
    losses_lock_hours: float = option(24.0, "how long", gt=0.0, le=87_600.0)
    position: float = option(
        0.0, "largest notional of a position ÷ equity, when it is opened", ge=0.0, le=1_000.0
    )
    gross: float = option(0.0, "of all positions", ge=0.0, le=1_000.0)
    net: float = option(0.0, "of longs less shorts, either way", ge=0.0, le=1_000.0)
    open_positions: int = option(0, "most at once", ge=0, le=10_000)
    orders: int = option(0, "of one symbol that may open something, in a while", ge=0, le=100_000)
    orders_hours: float = option(24.0, "how long that is, counted from midnight UTC", gt=0.0, le=87_600.0)
    groups: tuple[SymbolGroup, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", as_groups(self.groups))
        check_options("limits", self)

    @property
    def is_any(self) -> bool:
        """Return whether there is a limit at all."""
        kept = (entry.name for entry in fields(self) if not entry.name.endswith(("_days", "_hours")))
        return any(getattr(self, name) for name in kept)

    def write(self, row: Any) -> None:
        """Write them into a SETTINGS record."""
        row["has_limits"] = self.is_any
        row["has_groups"] = bool(self.groups)
        for entry in fields(self):
            if entry.name != "groups":
                row[f"limit_{entry.name}"] = getattr(self, entry.name)


@inlined_kernel
def watch_limits(portfolio: Portfolio, out: OutputRows, mark: Row, open_ms: int, first_trade: int) -> bool:
    """
    Take in the mark of an instant; return whether a limit was met that flattens.

    first_trade  number of the first trade that closed in this instant
    """
    account, settings, close_ms = portfolio.account, portfolio.settings, mark.time_ms
    day = open_ms // DAY_MS
    if day != account.day:
        account.day = day
        account.day_equity = account.marked_equity
    account.marked_equity = mark.equity
    account.peak_equity = max(account.peak_equity, mark.equity)
    # Gains of an instant end the row, then its losses count: so it does not matter which symbol is named first.
    for row in range(first_trade, out.counters[N_TRADES]):
        if out.trades[row].pnl > 0:
            account.losses = 0
    for row in range(first_trade, out.counters[N_TRADES]):
        if out.trades[row].pnl < 0:
            account.losses += 1
    # The last close of a day ends its lock, and is still a close of that day: its loss is known by then.
    is_day_told = False
    if account.locked_by != 0 and close_ms >= account.locked_until_ms:
        is_day_told = account.locked_by == REFUSED_DAILY_LOSS and (day + 1) * DAY_MS == close_ms
        unlock(account)
    if 0 < settings.limit_losses <= account.losses:
        account.cooled_ms = close_ms + int(settings.limit_losses_lock_hours * _HOUR_MS)
        threshold = float(settings.limit_losses)
        losses, until_ms = float(account.losses), account.cooled_ms
        write_limit(account, out, close_ms, REFUSED_LOSSES, until_ms, losses, threshold)
        account.losses = 0
    cause = 0
    if account.locked_by != REFUSED_DAILY_LOSS and account.locked_by != REFUSED_DRAWDOWN:
        cause = watch_equity(account, settings, out, close_ms, day, is_day_told)
        if cause == 0 and close_ms < account.cooled_ms:
            lock(account, REFUSED_LOSSES, account.cooled_ms)
    if cause == 0:
        return False
    close_all(portfolio, cause)
    return True


@kernel
def watch_equity(
    account: Row, settings: Row, out: OutputRows, close_ms: int, day: int, is_day_told: bool
) -> int:
    """Lock when equity is at a limit; return for which reason positions are closed, 0 for none."""
    worth = account.marked_equity
    fall = lost_share(account.peak_equity, worth)
    if settings.limit_drawdown > 0.0 and fall >= settings.limit_drawdown:
        days = settings.limit_drawdown_lock_days
        until_ms = close_ms + int(days * DAY_MS) if days > 0.0 else UNTIL_RESUMED
        lock(account, REFUSED_DRAWDOWN, until_ms)
        threshold = settings.limit_drawdown
        write_limit(account, out, close_ms, REFUSED_DRAWDOWN, until_ms, fall, threshold)
        return REASON_DRAWDOWN
    loss = lost_share(account.day_equity, worth)
    if settings.limit_daily_loss > 0.0 and loss >= settings.limit_daily_loss and not is_day_told:
        until_ms = (day + 1) * DAY_MS
        lock(account, REFUSED_DAILY_LOSS, until_ms)
        threshold = settings.limit_daily_loss
        write_limit(account, out, close_ms, REFUSED_DAILY_LOSS, until_ms, loss, threshold)
        return REASON_DAILY_LOSS
    return 0


@kernel
def lost_share(before: int, now: int) -> float:
    """Return which share of an earlier equity is gone, 0 for none."""
    return (before - now) / before if before > now else 0.0


@kernel
def lock(account: Row, limit: int, until_ms: int) -> None:
    """Open nothing until a time."""
    account.locked_by = limit
    account.locked_until_ms = until_ms


@kernel
def write_limit(
    account: Row, out: OutputRows, close_ms: int, limit: int, until_ms: int, value: float, threshold: float
) -> None:
    """Report a limit that was met."""
    event = out.limits[out.counters[N_LIMITS]]
    out.counters[N_LIMITS] += 1
    event.sequence = account.sequence
    account.sequence += 1
    event.time_ms = close_ms
    event.limit = limit
    event.value = value
    event.threshold = threshold
    event.until_ms = until_ms


@kernel
def unlock(account: Row) -> None:
    """End a lock; after a drawdown the highest equity begins anew."""
    if account.locked_by == REFUSED_DRAWDOWN:
        account.peak_equity = account.marked_equity
    account.locked_by = 0
    account.locked_until_ms = 0


def resume(account: Row) -> None:
    """End whatever lock there is at an operator's word: day, highest equity and losses begin anew."""
    unlock(account)
    account.cooled_ms = 0
    account.peak_equity = account.marked_equity
    account.day_equity = account.marked_equity
    account.losses = 0
