"""Which orders end together: with a position, with another of their group, with the account."""

from papertape.engine.broker.account import OutputRows, Portfolio, SymbolBook, book_of
from papertape.engine.broker.working.orders import (
    BY_FLAT,
    BY_LIQUIDATION,
    BY_OTHER,
    CANCELLED,
    FREE,
    end_order,
)
from papertape.engine.jit import kernel
from papertape.engine.records import REASON_LIQUIDATION


@kernel
def end_all(book: SymbolBook, out: OutputRows, cause: int, only_reducing: bool) -> None:
    """Cancel the working orders of one symbol: all, or those that only reduce a position."""
    for slot in range(book.position.order_rows):
        order = book.working[slot]
        if order.status == FREE:
            continue
        if only_reducing and order.is_reduce_only == 0:
            continue
        end_order(book, out, order, CANCELLED, cause)


@kernel
def end_with_position(book: SymbolBook, out: OutputRows, reason: int) -> None:
    """Cancel what ends with the last of a position: what only reduces, and after a liquidation everything."""
    if reason == REASON_LIQUIDATION:
        end_all(book, out, BY_LIQUIDATION, False)
    else:
        end_all(book, out, BY_FLAT, True)


@kernel
def end_all_orders(portfolio: Portfolio, out: OutputRows, time_ms: int, cause: int) -> None:
    """Cancel the working orders of every symbol."""
    for symbol in range(len(portfolio.positions)):
        end_orders_of(portfolio, out, symbol, time_ms, cause)


@kernel
def end_orders_of(portfolio: Portfolio, out: OutputRows, symbol: int, time_ms: int, cause: int) -> None:
    """Cancel the working orders of one symbol."""
    end_all(book_of(portfolio, symbol, time_ms), out, cause, False)


@kernel
def end_group(book: SymbolBook, out: OutputRows, group: int, number: int) -> None:
    """Cancel the other orders of a group: one of them has filled."""
    for slot in range(book.position.order_rows):
        order = book.working[slot]
        if order.status != FREE and order.group == group and order.number != number:
            end_order(book, out, order, CANCELLED, BY_OTHER)
