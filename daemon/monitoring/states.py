"""Parts of the status that the engine and the feed know by themselves."""

from collections.abc import Sequence

from papertape.daemon.feeds.protocol import FeedStats
from papertape.daemon.metrics.trading import net_realised
from papertape.daemon.monitoring.schemas import (
    AccountState,
    FeedState,
    PositionState,
    SymbolFreshness,
)
from papertape.engine.broker.account import equity
from papertape.engine.broker.grid import plain
from papertape.engine.core import Engine
from papertape.engine.records import UNITS_PER_QUOTE


def account_state(engine: Engine, currency: str, equity_peak: float) -> AccountState:
    """Return the account as it stands; `equity_peak` is the highest equity of the journal, quote."""
    account = engine.account[0]
    worth = int(equity(account, engine.positions, engine.markets)) / UNITS_PER_QUOTE
    peak = max(equity_peak, worth, engine.spec.capital)
    return AccountState(
        currency=currency,
        equity=worth,
        equity_peak=peak,
        drawdown_ratio=1.0 - worth / peak,
        cash=int(account["cash"]) / UNITS_PER_QUOTE,
        realised_pnl=net_realised(account) / UNITS_PER_QUOTE,
        funding_paid=int(account["funding"]) / UNITS_PER_QUOTE,
        is_paused=bool(account["is_paused"]),
        ruined_ms=int(account["ruined_ms"]) or None,
        size_factor=float(account["size_factor"]),
    )


def position_states(engine: Engine) -> tuple[PositionState, ...]:
    """Return every open position, in the order of symbols."""
    found = []
    for symbol, position, market in zip(
        engine.symbols, engine.positions, engine.markets, strict=True
    ):
        quantity = plain(position["quantity"], market.lot_size)
        entry, last, stop, target = (
            plain(position[name], market.tick_size)
            for name in ("entry_price", "last_price", "stop_price", "target_price")
        )
        if quantity == 0.0:
            continue
        gain = abs(quantity) * last - int(position["cost"]) / UNITS_PER_QUOTE
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
