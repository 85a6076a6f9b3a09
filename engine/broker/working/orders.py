"""
The table of working orders: one row per order, a fixed number of rows per symbol, and a life cycle that is a table.

    FREE ─ PLACED ─ WORKING ─┬─ TRIGGERED ─┐
             │         ├─────┴──────┬──────┴─ FILLED
             └─────────┴────────────┴──────── CANCELLED, EXPIRED
    FREE ─ REFUSED

PLACED lasts as long as the latency; TRIGGERED is a stop, touch or trailing order that has met its trigger and is not yet
filled as a whole. Every other step breaks the engine's invariants and stops it. An order that has ended leaves its row.
"""

from typing import Final

from papertape.engine.broker.account import MOST_MOVES, OutputRows, SymbolBook
from papertape.engine.broker.orders import N_ORDERS
from papertape.engine.errors import InvariantError
from papertape.engine.jit import Row, Rows, inlined_kernel, kernel, record

CAPACITY: Final = 16  # working orders of one symbol

# Status.
FREE: Final = 0
PLACED: Final = 1
WORKING: Final = 2
TRIGGERED: Final = 3
FILLED: Final = 4
CANCELLED: Final = 5
EXPIRED: Final = 6
REFUSED: Final = 7
MOVED: Final = 8  # of an event alone: a level holds from this candle on, or from this fill
STATUS_NAMES: Final = {
    PLACED: "placed",
    WORKING: "partly filled",  # as an event; as a state: working
    TRIGGERED: "triggered",
    FILLED: "filled",
    CANCELLED: "cancelled",
    EXPIRED: "expired",
    REFUSED: "refused",
    MOVED: "moved",
}
# Row: from, column: to.
_LEGAL: Final = (
    (0, 1, 0, 0, 0, 0, 0, 1),
    (0, 0, 1, 0, 0, 1, 1, 0),
    (0, 0, 0, 1, 1, 1, 1, 0),
    (0, 0, 0, 0, 1, 1, 1, 0),
    (1, 0, 0, 0, 0, 0, 0, 0),
    (1, 0, 0, 0, 0, 0, 0, 0),
    (1, 0, 0, 0, 0, 0, 0, 0),
    (1, 0, 0, 0, 0, 0, 0, 0),
)

# Kinds.
AT_MARKET: Final = 1
LIMIT: Final = 2
STOP: Final = 3
STOP_LIMIT: Final = 4
TOUCH: Final = 5  # market-if-touched
TOUCH_LIMIT: Final = 6
TRAIL: Final = 7
KIND_NAMES: Final = {
    AT_MARKET: "market",
    LIMIT: "limit",
    STOP: "stop",
    STOP_LIMIT: "stop-limit",
    TOUCH: "market-if-touched",
    TOUCH_LIMIT: "limit-if-touched",
    TRAIL: "trailing stop",
}
# What moves and is no order: the bracket that covers the whole position.
POSITION_STOP: Final = 8
POSITION_TARGET: Final = 9
LEVEL_NAMES: Final = {POSITION_STOP: "position's stop", POSITION_TARGET: "position's target"}

# Time in force.
GTC: Final = 0
IOC: Final = 1
FOK: Final = 2

# Why an order ended, beside the reasons for which a decision is refused (`papertape.engine.records.REFUSED_…`).
BY_STRATEGY: Final = 101
BY_OTHER: Final = 102
BY_FLAT: Final = 103
BY_COMMAND: Final = 104
BY_TIME_IN_FORCE: Final = 105
BY_POST_ONLY: Final = 106
BY_FUNDS: Final = 107
BY_RUIN: Final = 108
BY_DELISTING: Final = 109
WRONG_SIDE: Final = 110
TABLE_FULL: Final = 111
NO_POSITION: Final = 112
NO_SUCH_ORDER: Final = 113
MOVES_FULL: Final = 114
BY_LIMIT: Final = 115
BY_LIQUIDATION: Final = 116
BY_CHAPTER: Final = 117
CAUSE_NAMES: Final = {
    BY_STRATEGY: "the strategy took it back",
    BY_OTHER: "another order of its group filled",
    BY_FLAT: "no position is left that it could reduce",
    BY_COMMAND: "an operator took it back",
    BY_TIME_IN_FORCE: "it could not fill at once",
    BY_POST_ONLY: "post-only: it would have taken",
    BY_FUNDS: "buying power did not suffice for the rest of it",
    BY_RUIN: "the account is ruined",
    BY_DELISTING: "the market is no more",
    BY_LIMIT: "a limit of the account was met",
    BY_LIQUIDATION: "the position was liquidated",
    BY_CHAPTER: "a chapter of the account began",
    WRONG_SIDE: "its price is on the wrong side of the last close",
    TABLE_FULL: f"{CAPACITY} orders of this symbol work already",
    NO_POSITION: "there is no position that it could change",
    NO_SUCH_ORDER: "no working order has this tag",
    MOVES_FULL: f"{MOST_MOVES} moves of its stop and target wait for their latency",
}

WORKING_ORDER: Final = record(
    ("number", "i8"),  # of the account's orders, from 1
    ("status", "i8"),
    ("kind", "i8"),
    ("target", "i8"),  # +1 buy, -1 sell
    ("is_reduce_only", "i8"),
    ("is_whole", "i8"),  # its quantity is the position's, whatever that is
    ("is_post_only", "i8"),
    ("time_in_force", "i8"),
    ("is_new", "i8"),  # this candle is the first in which it may fill
    ("tried_ms", "i8"),  # open of the candle in which it last filled or tried to: once a candle
    ("fresh_leg", "i8"),  # of the candle's way in which it became a limit order; -1 = before the candle
    ("decided_ms", "i8"),
    ("expires_ms", "i8"),  # it does not work in a candle that opens then or later; 0 = never
    ("ready_instant", "i8"),
    ("cancel_instant", "i8"),  # 0 = nobody has asked
    ("quantity", "f8"),  # base units
    ("remaining", "f8"),
    ("limit_price", "f8"),
    ("trigger_price", "f8"),
    ("trail_distance", "f8"),  # quote per base, 0 = by rate
    ("trail_rate", "f8"),
    ("activation_price", "f8"),  # 0 = at once
    ("extreme", "f8"),  # best price that the trail has known; 0 = not active yet
    ("told_price", "f8"),  # where the trail was said to stand; 0 = not yet
    ("stop_price", "f8"),  # bracket of the position that it opens; 0 = none, or by distance
    ("target_price", "f8"),
    ("stop_distance", "f8"),
    ("target_distance", "f8"),
    ("confidence", "f8"),
    ("score_model", "f8"),
    ("score_smc", "f8"),
    ("score_technical", "f8"),
    ("model_version", "i8"),
    ("group", "i8"),  # one cancels the others; 0 = none
    ("tag", "i8"),  # up to eight characters of ASCII; 0 = none
)

# What happened to a working order.
ORDER_EVENT: Final = record(
    ("sequence", "i8"),
    ("time_ms", "i8"),  # close at which it was asked for, or open of the candle in which it happened
    ("symbol", "i8"),
    ("number", "i8"),
    ("status", "i8"),  # STATUS_NAMES
    ("cause", "i8"),  # 0, CAUSE_NAMES or REFUSED_NAMES
    ("kind", "i8"),  # KIND_NAMES or LEVEL_NAMES
    ("side", "i8"),
    ("quantity", "f8"),  # of this fill, else what remains; of a bracket what it covers
    # Of this fill, else its trigger or limit (triggered: its limit); where a level has moved to, 0 = away.
    ("price", "f8"),
    ("fill", "i8"),  # sequence of the FILL; -1 = none
    ("tag", "i8"),
)


@kernel
def step_to(order: Row, status: int) -> None:
    """Take one step of the life cycle; one that is not in the table breaks the engine's invariants."""
    if _LEGAL[order.status][status] == 0:
        raise InvariantError("a working order took a step that its life cycle does not have")
    order.status = status


@inlined_kernel
def open_event(book: SymbolBook, out: OutputRows, status: int) -> Row:
    """Begin the report of what happens at the time of a book: its first fields, the rest is the caller's."""
    row = out.orders[out.counters[N_ORDERS]]
    out.counters[N_ORDERS] += 1
    row.sequence = book.account.sequence
    book.account.sequence += 1
    row.time_ms = book.time_ms
    row.symbol = book.symbol
    row.status = status
    return row


@kernel
def write_event(
    book: SymbolBook, out: OutputRows, order: Row, status: int, cause: int, quantity: float, price: float
) -> Row:
    """Report what happened to an order, and return the report; through which fill is the caller's to say."""
    row = open_event(book, out, status)
    row.number = order.number
    row.cause = cause
    row.kind = order.kind
    row.side = order.target
    row.quantity = quantity
    row.price = price
    row.fill = -1
    row.tag = order.tag
    return row


@kernel
def write_levels(
    book: SymbolBook, out: OutputRows, stop_before: float, target_before: float, fill: int
) -> None:
    """Report stop and target of a position where they are no longer what they were."""
    position = book.position
    for kind in range(POSITION_STOP, POSITION_TARGET + 1):
        is_stop = kind == POSITION_STOP
        price = position.stop_price if is_stop else position.target_price
        if price == (stop_before if is_stop else target_before):
            continue
        row = open_event(book, out, MOVED)
        row.number = 0
        row.cause = 0
        row.kind = kind
        row.side = -1 if position.quantity > 0.0 else 1
        row.quantity = abs(position.quantity)
        row.price = price
        row.fill = fill
        row.tag = 0


@kernel
def price_of(order: Row) -> float:
    """Return the price that names an order: its trigger, or else its limit; 0 for a market order."""
    if order.trigger_price > 0.0 and order.status != TRIGGERED:
        return order.trigger_price  # type: ignore[no-any-return]
    return order.limit_price  # type: ignore[no-any-return]


@kernel
def end_order(book: SymbolBook, out: OutputRows, order: Row, status: int, cause: int) -> None:
    """Let an order end otherwise than by a fill, report it and free its row."""
    step_to(order, status)
    write_event(book, out, order, status, cause, order.remaining, price_of(order))
    free(book.account, book.position, order)


@kernel
def free(account: Row, position: Row, order: Row) -> None:
    """Take an order that has ended out of the count; `close_gaps` gives its row away."""
    step_to(order, FREE)
    account.working -= 1
    position.working -= 1


@kernel
def close_gaps(position: Row, orders: Rows) -> None:
    """Move the rows together, oldest first, so that what comes first was placed first."""
    if position.order_rows == position.working:
        return
    row = 0
    for slot in range(position.order_rows):
        if orders[slot].status != FREE:
            if row != slot:
                orders[row] = orders[slot]
            row += 1
    for slot in range(row, position.order_rows):
        orders[slot].status = FREE
    position.order_rows = row


@kernel
def trigger(book: SymbolBook, out: OutputRows, order: Row) -> None:
    """Report that an order has met its trigger, and with a limit where it rests from now on."""
    price = order.extreme if order.kind == TRAIL else price_of(order)
    step_to(order, TRIGGERED)
    if order.limit_price > 0.0:
        price = order.limit_price
    write_event(book, out, order, TRIGGERED, 0, order.remaining, price)


def tag_code(tag: str) -> int:
    """Return up to eight ASCII characters as a number, as records keep them."""
    return int.from_bytes(tag.encode("ascii"), "little")


def tag_text(code: int) -> str:
    """Return the characters of a tag's number."""
    return int(code).to_bytes(8, "little").rstrip(b"\0").decode("ascii")
