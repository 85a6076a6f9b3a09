"""
Places: how many positions may be open at once, and how many orders a symbol may send in a while.

Where more symbols would open a position at one open, or inside one candle, than places are free, those get them that are
surest of themselves: the highest confidence, then the highest price of a unit. That one is arbitrary and yet nobody's name;
of those that are equal in both none gets a place. What is held keeps its place, also through a turn to the other side.
"""

from typing import Final

from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.records import REFUSED_POSITIONS

_HOUR_MS: Final = 3_600_000.0
# How sure it is that a symbol needs its place (`ENTRY.claim`).
NO_CLAIM: Final = 0
MAY_OPEN: Final = 1
WILL_OPEN: Final = 2


@kernel
def give_places(positions: Rows, entries: Rows, settings: Row) -> None:
    """
    Take their claim from symbols without a place, and write the reason: those that open nothing at the moment come last.

    entries  with `claim` and `confidence`; of symbols that hold something the claim is NO_CLAIM
    """
    left, claims = settings.limit_open_positions, 0
    for symbol in range(len(positions)):
        if positions[symbol].quantity != 0.0:
            left -= 1
        if entries[symbol].claim != NO_CLAIM:
            claims += 1
    while claims > max(left, 0):
        last = -1
        for symbol in range(len(positions)):
            if entries[symbol].claim != NO_CLAIM and (
                last < 0 or is_behind(positions, entries, symbol, last)
            ):
                last = symbol
        for symbol in range(len(positions)):
            if symbol == last or entries[symbol].claim == NO_CLAIM:
                continue
            if not is_behind(positions, entries, last, symbol):
                entries[symbol].claim = NO_CLAIM
                entries[symbol].refused = REFUSED_POSITIONS
                claims -= 1
        entries[last].claim = NO_CLAIM
        entries[last].refused = REFUSED_POSITIONS
        claims -= 1


@kernel
def is_behind(positions: Rows, entries: Rows, one: int, two: int) -> bool:
    """Return whether a symbol gives way to another one; not for itself, and not among equals."""
    if entries[one].claim != entries[two].claim:
        return entries[one].claim < entries[two].claim  # type: ignore[no-any-return]
    if entries[one].confidence != entries[two].confidence:
        return entries[one].confidence < entries[two].confidence  # type: ignore[no-any-return]
    return positions[one].last_price < positions[two].last_price  # type: ignore[no-any-return]


@kernel
def interval_of(settings: Row, close_ms: int) -> int:
    """Return the number of the interval that a close belongs to; its last close still does."""
    return (close_ms - 1) // int(settings.limit_orders_hours * _HOUR_MS)


@kernel
def has_spent_orders(position: Row, settings: Row, close_ms: int) -> bool:
    """Return whether a symbol has sent as many orders that open something as an interval allows."""
    return (  # type: ignore[no-any-return]
        0 < settings.limit_orders <= position.paced_orders
        and position.paced_interval == interval_of(settings, close_ms)
    )


@kernel
def count_order(position: Row, settings: Row, close_ms: int) -> None:
    """Count an order that may open something."""
    if settings.limit_orders <= 0:
        return
    interval = interval_of(settings, close_ms)
    if position.paced_interval != interval:
        position.paced_interval = interval
        position.paced_orders = 0
    position.paced_orders += 1
