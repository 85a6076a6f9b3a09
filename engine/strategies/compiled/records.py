"""
What a strategy in kernels sees and writes at a close: one record, whose first part is the same for every strategy.

After `HEAD` come the features that the strategy named, each under its name, then what it keeps (`state`) and what it may
look back on. The engine's loop knows the head alone, so one loop in machine code serves every strategy.
"""

import hashlib
from typing import Any, Final

import numpy as np

from papertape.engine.broker.working.instructions import INSTRUCTION, MOST_INSTRUCTIONS
from papertape.engine.broker.working.orders import CAPACITY, KIND_NAMES, tag_text
from papertape.engine.jit import record
from papertape.engine.records import REASON_NAMES

# What was called. A sale is a purchase with the other sign.
BUY: Final = 1
SELL: Final = 2
EXIT: Final = 3
CANCEL: Final = 4
MOVE_STOP: Final = 5
MOVE_TARGET: Final = 6
HOLD: Final = 7
CALL_NAMES: Final = {
    BUY: "buy",
    SELL: "sell",
    EXIT: "exit",
    CANCEL: "cancel",
    MOVE_STOP: "stop",
    MOVE_TARGET: "target",
    HOLD: "hold",
}

# The lowest float64: no computation gives it, and NaN and -inf are values that have to be refused.
NOT_GIVEN: Final = -1.7976931348623157e308

# The options of an order that are numbers, and those that are texts or switches: 0 = not given.
NUMBERS: Final = (
    "quantity", "fraction", "share", "limit", "stop", "touch", "trail", "trail_percent", "activate", "stop_loss",
    "take_profit", "stop_distance", "target_distance", "expires_bars", "expires_ms",
)  # fmt: skip
TEXTS: Final = ("time_in_force", "oco", "tag")
SWITCHES: Final = ("reduce_only", "post_only")

# One call as it was written.
CALL: Final = record(
    ("what", "i8"),
    *((name, "f8") for name in NUMBERS),
    *((name, "i8") for name in (*TEXTS, *SWITCHES)),
    ("band", "f8"),  # of `hold` alone
)


class SeenRow(np.record):  # type: ignore[misc] # nothing but its stub says that it is final
    """A working order, a fill or a trade: its numbers that stand for words, as words, without the compiler."""

    __slots__ = ()

    @property
    def reason(self) -> str:
        """Return why it happened."""
        return REASON_NAMES[int(self["reason"])]

    @property
    def kind(self) -> str:
        """Return the kind of a working order."""
        return KIND_NAMES[int(self["kind"])]

    @property
    def tag(self) -> str:
        """Return the tag of a working order."""
        return tag_text(self["tag"])


def _seen(*fields: tuple[str, str]) -> np.dtype[Any]:
    return np.dtype((SeenRow, list(fields)))


# What is told of a working order.
ORDER_SEEN: Final = _seen(
    ("number", "i8"),
    ("tag", "i8"),
    ("kind", "i8"),
    ("side", "i8"),
    ("quantity", "f8"),
    ("limit", "f8"),
    ("trigger", "f8"),
    ("reduce_only", "i8"),
)

# What `on_fill` and `on_close` are told, money in quote.
FILL_SEEN: Final = _seen(
    ("time_ms", "i8"),
    ("side", "i8"),
    ("price", "f8"),
    ("quantity", "f8"),
    ("reason", "i8"),
    ("fee", "f8"),
    ("realised", "f8"),
    ("position", "f8"),
)
TRADE_SEEN: Final = _seen(
    ("side", "i8"),
    ("entry_ms", "i8"),
    ("exit_ms", "i8"),
    ("entry_price", "f8"),
    ("exit_price", "f8"),
    ("quantity", "f8"),
    ("pnl", "f8"),
    ("reason", "i8"),
)

# Two reasons may have one word; compared as numbers it has to be one number.
REASON_CODES: Final = {
    word: min(c for c, w in REASON_NAMES.items() if w == word) for word in REASON_NAMES.values()
}
SAME_REASON: Final = tuple(
    REASON_CODES.get(REASON_NAMES.get(code, ""), 0) for code in range(max(REASON_NAMES) + 1)
)

# A text that kernels compare with literals is a number of 63 bits in a field of this type, which nothing else has.
TEXT: Final = "u8"
TEXTS_BY_NUMBER: Final[dict[int, str]] = {}


def text_number(text: str) -> int:
    """Return the number that stands for a text of any length."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
    TEXTS_BY_NUMBER[number] = text
    return number


N_WISHES: Final = 10  # fields of a Decision

# The first unmet condition of a symbol at a close, which is in TEXTS_BY_NUMBER; 0 = none.
UNMET: Final = record(("condition", "i8"), ("time_ms", "i8"), ("value", "f8"), ("threshold", "f8"))

HEAD: Final = record(
    ("symbol_index", "i8"),
    ("symbol", TEXT),
    ("time_ms", "i8"),
    ("open", "f8"),
    ("high", "f8"),
    ("low", "f8"),
    ("close", "f8"),
    ("volume", "f8"),
    ("position", "f8"),
    ("entry_price", "f8"),
    ("cash", "f8"),
    ("equity", "f8"),
    ("stop", "f8"),  # what is written here moves the stop
    ("target", "f8"),
    ("entry_ms", "i8"),
    ("known_stop", "f8"),  # what stands in `stop` without an instruction
    ("known_target", "f8"),
    ("length_ms", "i8"),
    ("n_past", "i8"),  # candles that there are to look back on, this one included
    ("n_orders", "i8"),
    ("n_asked", "i8"),
    ("refused", "i8"),  # which of the calls no order can mean; 0 = none
    ("unmet", "i8"),  # text of the first unmet condition of this close; 0 = none
    ("unmet_value", "f8"),
    ("unmet_threshold", "f8"),
    ("wishes", "f8", (N_WISHES,)),  # the Decision, field by field
    ("call", CALL),  # the newest
    ("order_rows", ORDER_SEEN, (CAPACITY,)),
    ("asked", INSTRUCTION, (MOST_INSTRUCTIONS,)),
    ("blank", INSTRUCTION),  # zeros
)
