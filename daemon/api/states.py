"""Parts of the status that the engine and the feed know by themselves."""

from collections.abc import Sequence

from papertape.daemon.api.models import AccountState, FeedState, PositionState, SymbolFreshness
from papertape.daemon.feeds.protocol import FeedStats
from papertape.daemon.metrics.trading import net_realised
from papertape.engine.account import equity
from papertape.engine.core import Engine
from papertape.engine.records import MONEY_UNIT


def account_state(engine: Engine, currency: str, equity_peak: float) -> AccountState:
    """Return the account as it stands; `equity_peak` is the highest equity of the journal, quote."""
    account = engine.account[0]
    worth = int(equity(account, engine.positions, engine.markets)) * MONEY_UNIT
    peak = max(equity_peak, worth, engine.spec.capital)
    return AccountState(
        currency=currency,
        equity=worth,
        equity_peak=peak,
        drawdown_ratio=1.0 - worth / peak,
        cash=int(account["cash"]) * MONEY_UNIT,
        realised_pnl=net_realised(account) * MONEY_UNIT,
        funding_paid=int(account["funding"]) * MONEY_UNIT,
        is_paused=bool(account["is_paused"]),
        size_factor=float(account["size_factor"]),
    )


def position_states(engine: Engine) -> tuple[PositionState, ...]:
    """Return every open position, in the order of symbols."""
    found = []
    for symbol, position in zip(engine.symbols, engine.positions, strict=True):
        quantity, last = float(position["quantity"]), float(position["last_price"])
        if quantity == 0.0:
            continue
        gain = abs(quantity) * last - int(position["cost"]) * MONEY_UNIT
        found.append(
            PositionState(
                symbol=symbol,
                quantity=quantity,
                entry_price=float(position["entry_price"]),
                last_price=last,
                unrealised_pnl=gain if quantity > 0.0 else -gain,
                stop_price=float(position["stop_price"]) or None,
                target_price=float(position["target_price"]) or None,
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
