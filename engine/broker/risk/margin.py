"""
Isolated margin: how far a position may fall, and what becomes of it there.

A position of notional N at entry price E and leverage L stands on a margin of N ÷ L. It is liquidated where that margin and
the open result are worth no more than the maintenance margin, at E × (1 ∓ (1 ÷ L - m)) for the maintenance rate m: the form
that agrees with Delta Exchange's published example. m grows by a slope with the notional beyond a threshold. What is
liquidated is closed at the bankruptcy price, E × (1 ∓ 1 ÷ L): the whole margin is lost, never more, and the venue's
liquidation fee comes on top. A stop that is nearer comes first, unless the candle opens beyond both.
"""

from papertape.engine.jit import Row, kernel


@kernel
def set_liquidation(position: Row, market: Row) -> None:
    """Write where a position is liquidated, from its average entry price and its notional there; 0 for nowhere."""
    position.liquidation_price = 0.0
    position.bankruptcy_price = 0.0
    if market.leverage <= 0.0 or market.is_perpetual == 0 or position.quantity == 0.0:
        return
    side = 1.0 if position.quantity > 0.0 else -1.0
    beyond = max(position.cost * 1e-9 - market.maintenance_from, 0.0)
    maintenance = market.maintenance_rate + market.maintenance_slope * beyond
    margin = 1.0 / market.leverage
    position.bankruptcy_price = max(position.entry_price * (1.0 - side * margin), 0.0)
    left = max(margin - maintenance, 0.0)
    position.liquidation_price = max(position.entry_price * (1.0 - side * left), 0.0)


@kernel
def adverse_level(position: Row) -> float:
    """Return the nearer of stop and liquidation, at which a position ends against it; 0 = neither."""
    stop_price = position.stop_price
    liquidation_price = position.liquidation_price
    if liquidation_price <= 0.0:
        return stop_price  # type: ignore[no-any-return]
    if stop_price <= 0.0:
        return liquidation_price  # type: ignore[no-any-return]
    if position.quantity > 0.0:
        return max(stop_price, liquidation_price)  # type: ignore[no-any-return]
    return min(stop_price, liquidation_price)  # type: ignore[no-any-return]


@kernel
def is_liquidation_nearer(position: Row) -> bool:
    """Return whether a position is liquidated before its stop is met; one price for both is the stop's."""
    return position.liquidation_price > 0.0 and adverse_level(position) != position.stop_price  # type: ignore[no-any-return]


@kernel
def opened_in_liquidation(position: Row, price: float) -> bool:
    """Return whether an open has passed the level at which a position is liquidated."""
    level = position.liquidation_price
    if level <= 0.0:
        return False
    return price <= level if position.quantity > 0.0 else price >= level  # type: ignore[no-any-return]
