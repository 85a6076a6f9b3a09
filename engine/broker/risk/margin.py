"""
Maintenance margin, and isolated margin: how far a position may fall, and what becomes of it there.

A position of notional N at entry price E and leverage L stands on a margin of N ÷ L. It is liquidated where that margin and
the open result are worth no more than the maintenance margin, at E × (1 ∓ (1 ÷ L - m)) for the maintenance rate m: the form
that agrees with Delta Exchange's published example. m grows by a slope with the notional beyond a threshold, or by a table (`papertape.engine.broker.risk.brackets`). What is
liquidated is closed at the bankruptcy price, E × (1 ∓ 1 ÷ L): the whole margin is lost, never more, and the venue's
liquidation fee comes on top. Positions on cross margin have no level of their own
(`papertape.engine.broker.working.cross`). A stop that is nearer comes first, unless the candle opens beyond both.

The mark price is what comes to that level where it is recorded, else the traded price (`liquidation_reached`).
"""

from papertape.engine.jit import Row, kernel


@kernel
def maintenance_of(market: Row, cost: int) -> float:
    """Return which share of notional must be maintained of a position; cost: its notional at entry, money units."""
    notional = cost * market.quote_per_unit
    if market.n_brackets > 0:
        row = market.n_brackets - 1
        while row > 0 and notional <= market.bracket_from[row]:
            row -= 1
        amount = market.bracket_amount[row]
        return market.bracket_rate[row] - (amount / notional if amount > 0.0 else 0.0)  # type: ignore[no-any-return]
    beyond = max(notional - market.maintenance_from, 0.0)
    return market.maintenance_rate + market.maintenance_slope * beyond  # type: ignore[no-any-return]


@kernel
def margin_rate_with(position: Row, market: Row, notional: int) -> float:
    """
    Return which share of its notional at entry a position stands on once more is opened; 0 = it is never liquidated.

    What was there before keeps its margin, also where the market's leverage has changed since.
    """
    if market.leverage <= 0.0 or market.is_perpetual == 0:
        return 0.0
    rate = 1.0 / market.leverage
    if position.quantity == 0.0 or position.margin_rate == rate:
        return rate  # type: ignore[no-any-return]
    return (position.margin_rate * position.cost + rate * notional) / (position.cost + notional)  # type: ignore[no-any-return]


@kernel
def set_liquidation(position: Row, market: Row) -> None:
    """Write where a position is liquidated, from its average entry price and its notional there; 0 for nowhere."""
    position.liquidation_price = 0.0
    position.bankruptcy_price = 0.0
    margin = position.margin_rate
    if margin <= 0.0 or position.quantity == 0.0 or market.is_cross != 0:
        return
    side = 1.0 if position.quantity > 0.0 else -1.0
    maintenance = maintenance_of(market, position.cost)
    position.bankruptcy_price = max(position.entry_price * (1.0 - side * margin), 0.0)
    left = max(margin - maintenance, 0.0)
    position.liquidation_price = max(position.entry_price * (1.0 - side * left), 0.0)


@kernel
def liquidation_reached(position: Row, candle: Row) -> float:
    """
    Return at which traded price of a candle a position is liquidated: its level, or 0 for nowhere.

    A mark price is what counts where there is one. Where it does not come to the level, no traded price does; where it does,
    the position is gone at the level, or at the traded price that was nearest to it.
    """
    level = position.liquidation_price
    if level <= 0.0 or not position.mark_high > 0.0:
        return level  # type: ignore[no-any-return]
    if position.quantity > 0.0:
        if position.mark_low > level:
            return 0.0
        return max(level, candle.open if position.mark_open <= level else candle.low)  # type: ignore[no-any-return]
    if position.mark_high < level:
        return 0.0
    return min(level, candle.open if position.mark_open >= level else candle.high)  # type: ignore[no-any-return]


@kernel
def adverse_level(position: Row, candle: Row) -> float:
    """Return the nearer of stop and liquidation, at which a position ends against it in a candle; 0 = neither."""
    stop_price = position.stop_price
    if position.liquidation_price <= 0.0:
        return stop_price  # type: ignore[no-any-return]
    level = liquidation_reached(position, candle)
    if level <= 0.0:
        return stop_price  # type: ignore[no-any-return]
    if stop_price <= 0.0:
        return level
    if position.quantity > 0.0:
        return max(stop_price, level)  # type: ignore[no-any-return]
    return min(stop_price, level)  # type: ignore[no-any-return]


@kernel
def is_liquidation_nearer(position: Row, candle: Row) -> bool:
    """Return whether a position is liquidated before its stop is met; one price for both is the stop's."""
    return liquidation_reached(position, candle) > 0.0 and (
        adverse_level(position, candle) != position.stop_price
    )


@kernel
def opened_in_liquidation(position: Row, candle: Row) -> bool:
    """Return whether a candle opened beyond the level at which a position is liquidated."""
    level = position.liquidation_price
    if level <= 0.0:
        return False
    price = position.mark_open if position.mark_high > 0.0 else candle.open
    return price <= level if position.quantity > 0.0 else price >= level  # type: ignore[no-any-return]


@kernel
def is_marked_out(position: Row, candle: Row) -> bool:
    """Return whether the mark price alone liquidates a position in a candle that trades nowhere below or above its open."""
    if position.liquidation_price <= 0.0 or not position.mark_high > 0.0:
        return False
    return liquidation_reached(position, candle) == candle.open and (is_liquidation_nearer(position, candle))
