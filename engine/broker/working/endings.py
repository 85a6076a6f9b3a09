"""Which orders end together: with a position, with another of their group, with the account."""

from papertape.engine.broker.working.orders import (
    BY_FLAT,
    BY_LIQUIDATION,
    BY_OTHER,
    CANCELLED,
    FREE,
    end_order,
)
from papertape.engine.jit import IntArray, Row, Rows, kernel
from papertape.engine.records import REASON_LIQUIDATION


@kernel
def end_all(
    account: Row, position: Row, orders: Rows, symbol: int, time_ms: int, cause: int, only_reducing: bool,
    events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Cancel the working orders of one symbol: all, or those that only reduce a position."""
    for slot in range(position.order_rows):
        order = orders[slot]
        if order.status == FREE:
            continue
        if only_reducing and order.is_reduce_only == 0:
            continue
        end_order(account, position, order, symbol, time_ms, CANCELLED, cause, events, counters)


@kernel
def end_with_position(
    account: Row, position: Row, orders: Rows, symbol: int, time_ms: int, reason: int, events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Cancel what ends with the last of a position: what only reduces, and after a liquidation everything."""
    if reason == REASON_LIQUIDATION:
        end_all(account, position, orders, symbol, time_ms, BY_LIQUIDATION, False, events, counters)  # fmt: skip
    else:
        end_all(account, position, orders, symbol, time_ms, BY_FLAT, True, events, counters)


@kernel
def end_all_orders(
    account: Row, positions: Rows, working: Rows, time_ms: int, cause: int, events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Cancel the working orders of every symbol."""
    for symbol in range(len(positions)):
        end_all(
            account, positions[symbol], working[symbol], symbol, time_ms, cause, False,
            events, counters,
        )  # fmt: skip


@kernel
def end_group(
    account: Row, position: Row, orders: Rows, group: int, number: int, symbol: int, time_ms: int, events: Rows,
    counters: IntArray,
) -> None:  # fmt: skip
    """Cancel the other orders of a group: one of them has filled."""
    for slot in range(position.order_rows):
        order = orders[slot]
        if order.status != FREE and order.group == group and order.number != number:
            end_order(
                account, position, order, symbol, time_ms, CANCELLED, BY_OTHER, events, counters
            )
