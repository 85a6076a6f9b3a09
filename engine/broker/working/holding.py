"""
A target position: the orders that lead from what is held to what is wanted.

What is wanted is rounded to the market's lots towards zero, so a target that is held asks for nothing. Towards zero it is
reached by an order that only reduces, through zero by one that closes and one that opens: whatever a stop does first, the
target is never passed. An order of an earlier target that is still under way is left alone when it leads where it should,
and is taken back when it does not; what is then missing is asked for at the next close.
"""

from typing import Final

from papertape.engine.broker.account import OutputRows, SymbolBook, Worth
from papertape.engine.broker.sizing import allotted, whole_lots
from papertape.engine.broker.working.orders import AT_MARKET, FREE, tag_code
from papertape.engine.broker.working.placing import ask, cancel
from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.records import REFUSED_NO

HOLD_TAG: Final = tag_code("hold")
_NOISE: Final = 1e-9  # of a quantity: sums of partial fills


@kernel
def under_way(position: Row, orders: Rows) -> float:
    """Return the signed quantity that earlier targets have still under way, 0 for none."""
    total = 0.0
    for slot in range(position.order_rows):
        order = orders[slot]
        if order.status != FREE and order.tag == HOLD_TAG:
            quantity = abs(position.quantity) if order.is_whole != 0 else order.remaining
            total += order.target * quantity
    return total


@kernel
def wanted_position(book: SymbolBook, instruction: Row, worth: int) -> float:
    """Return the signed quantity that a target means, on the market's lots, 0 below the market's minimum."""
    position, market = book.position, book.market
    price = position.last_price
    quantity = instruction.quantity
    if instruction.fraction != 0.0:
        part = allotted(position, market, book.settings, worth)
        quantity = book.account.size_factor * instruction.fraction * part / price
    lots = whole_lots(market, abs(quantity), price)
    return lots if quantity > 0.0 else -lots


@kernel
def hold(book: SymbolBook, out: OutputRows, instruction: Row, worth: Worth) -> int:
    """Ask for what leads to a target; return 0, or why it cannot be had."""
    position, market = book.position, book.market
    now = position.quantity
    wanted = wanted_position(book, instruction, worth.equity)
    noise = _NOISE * max(abs(now), abs(wanted))
    coming = under_way(position, book.working)
    instruction.tag = HOLD_TAG
    if coming != 0.0:
        if abs(now + coming - wanted) > noise:
            cancel(book, out, instruction)
        return REFUSED_NO
    change = wanted - now
    if abs(change) <= noise:
        return REFUSED_NO
    is_near = abs(change) * position.last_price <= instruction.band * (worth.equity * market.quote_per_unit)
    if is_near and wanted != 0.0:
        return REFUSED_NO
    instruction.kind = AT_MARKET
    instruction.fraction = 0.0
    is_leaving = now * wanted <= 0.0 and now != 0.0
    if is_leaving:
        instruction.target = -1 if now > 0.0 else 1
        instruction.is_reduce_only = 1
        instruction.is_whole = 1
        cause = ask(book, out, instruction, worth)
        if cause != REFUSED_NO or wanted == 0.0:
            return cause
        change = wanted
    is_reducing = not is_leaving and now * change < 0.0
    quantity = whole_lots(market, abs(change), position.last_price)
    if is_reducing and quantity <= 0.0:
        return REFUSED_NO  # less than a lot too much
    instruction.is_whole = 0
    instruction.is_reduce_only = 1 if is_reducing else 0
    instruction.target = 1 if change > 0.0 else -1
    instruction.quantity = quantity
    if quantity <= 0.0:
        return REFUSED_NO  # less than a lot is missing
    return ask(book, out, instruction, worth)
