"""Parts of the status that the engine and the feed know by themselves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from papertape.daemon.feeds.protocol import FeedStats
from papertape.daemon.journal.identity import Identity
from papertape.daemon.metrics.trading import net_realised
from papertape.daemon.monitoring.schemas import (
    AccountState,
    ChapterState,
    FeedState,
    OrderState,
    PositionState,
    SymbolFreshness,
)
from papertape.engine.broker.account import equity
from papertape.engine.broker.grid import plain
from papertape.engine.broker.ledger import shown_decimals
from papertape.engine.broker.working.orders import CAUSE_NAMES, KIND_NAMES, STATUS_NAMES, tag_text
from papertape.engine.jit import Row
from papertape.engine.records import LIMIT_NAMES, REFUSED_NAMES, UNTIL_RESUMED
from papertape.engine.strategies.instructions import orders_of

if TYPE_CHECKING:
    from papertape.engine.core import Engine


def account_state(engine: "Engine", currency: str, equity_peak: float) -> AccountState:
    """Return the account as it stands; `equity_peak` is the highest equity of the journal, quote."""
    account = engine.account[0]
    units = engine.spec.units_per_quote
    worth = int(equity(account, engine.positions, engine.markets)) / units
    peak = max(equity_peak, worth, engine.spec.capital)
    return AccountState(
        currency=currency,
        money_places=shown_decimals(engine.spec.money_decimals, currency),
        equity=worth,
        equity_peak=peak,
        drawdown_ratio=1.0 - worth / peak,
        cash=int(account["cash"]) / units,
        realised_pnl=net_realised(account) / units,
        funding_paid=int(account["funding"]) / units,
        is_paused=bool(account["is_paused"]),
        ruined_ms=int(account["ruined_ms"]) or None,
        locked_by=LIMIT_NAMES.get(int(account["locked_by"])),
        locked_until_ms=locked_until_ms(account),
        size_factor=float(account["size_factor"]),
    )


def chapter_state(account: Identity) -> ChapterState | None:
    """Return since which chapter an account is what it is, None where it is what it was opened as."""
    if not account.since_ms:
        return None
    return ChapterState(name=account.chapter, since_ms=account.since_ms)


def locked_until_ms(account: Row) -> int | None:
    """Return when the lock of a limit ends; None without one, or until an operator resumes."""
    until_ms = int(account["locked_until_ms"])
    return None if until_ms in (0, UNTIL_RESUMED) else until_ms


def position_states(engine: "Engine") -> tuple[PositionState, ...]:
    """Return every open position, in the order of symbols."""
    found = []
    for symbol, position, market in zip(engine.symbols, engine.positions, engine.markets, strict=True):
        quantity = plain(position["quantity"], market.lot_size)
        entry, last, stop, target = (
            plain(position[name], market.tick_size)
            for name in ("entry_price", "last_price", "stop_price", "target_price")
        )
        if quantity == 0.0:
            continue
        gain = abs(quantity) * last - int(position["cost"]) / market.units_per_quote
        found.append(
            PositionState(
                symbol=symbol,
                quantity=quantity,
                entry_price=entry,
                last_price=last,
                unrealised_pnl=gain if quantity > 0.0 else -gain,
                stop_price=stop or None,
                target_price=target or None,
            )
        )
    return tuple(found)


def order_states(engine: "Engine") -> tuple[OrderState, ...]:
    """Return every order that rests, in the order of symbols, oldest first."""
    return tuple(
        OrderState(
            symbol=symbol,
            number=order.number,
            tag=order.tag,
            kind=order.kind,
            side="buy" if order.side > 0 else "sell",
            quantity=plain(order.quantity, market.lot_size),
            limit_price=plain(order.limit, market.tick_size) or None,
            trigger_price=plain(order.trigger, market.tick_size) or None,
            is_reduce_only=order.reduce_only,
        )
        for symbol, market, rows in zip(engine.symbols, engine.markets, engine.working, strict=True)
        for order in orders_of(rows)
    )


def order_told(engine: "Engine", order: Row) -> dict[str, Any]:
    """Return what a log line says of an order that was refused or ended without a fill."""
    market, cause = engine.markets[int(order["symbol"])], int(order["cause"])
    return {
        "symbol": engine.symbols[int(order["symbol"])],
        "status": STATUS_NAMES[int(order["status"])],
        "cause": CAUSE_NAMES[cause] if cause in CAUSE_NAMES else REFUSED_NAMES.get(cause, ""),
        "number": int(order["number"]),
        "tag": tag_text(order["tag"]),
        "kind": KIND_NAMES.get(int(order["kind"]), "move"),
        "side": int(order["side"]),
        "price": plain(order["price"], market.tick_size),
        "quantity": plain(order["quantity"], market.lot_size),
    }


def feed_state(name: str, stats: FeedStats, symbols: Sequence[str]) -> FeedState:
    """Return how fresh a feed is."""
    fresh = tuple(
        SymbolFreshness(
            symbol=symbol,
            last_message_ms=stats.last_message_ms.get(symbol),
            last_close_ms=stats.last_close_ms.get(symbol),
        )
        for symbol in symbols
    )
    return FeedState(
        name=name,
        is_connected=stats.is_connected,
        clock_offset_ms=stats.clock_offset_ms if stats.last_message_ms else None,
        symbols=fresh,
    )
