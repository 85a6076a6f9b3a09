"""
The view of a strategy in kernels: a record that is written to as the view of a strategy in Python is called.

The functions here are its methods. With the compiler they are compiled into the strategy's own kernel
(`papertape.engine.strategies.compiled.methods`); without it `KernelView` has them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from papertape.engine.broker.working.orders import tag_code
from papertape.engine.errors import ConfigError, StrategyError, did_you_mean
from papertape.engine.features.series import BLOCK
from papertape.engine.jit import FloatArray, Row
from papertape.engine.strategies.compiled.meaning import moved, understand
from papertape.engine.strategies.compiled.records import (
    BUY,
    CANCEL,
    EXIT,
    HEAD,
    HOLD,
    NOT_GIVEN,
    ORDER_SEEN,
    SELL,
    TEXTS_BY_NUMBER,
    text_number,
)
from papertape.engine.strategies.conditions import comparison
from papertape.engine.strategies.past import CANDLE_COLUMNS

_LONGEST_TEXT: Final = 8
MOST_CLOSES: Final = 2 * BLOCK + 2  # of a batch


def text_code(text: Any) -> int:
    """Return a text of up to eight ASCII characters as a number, and a number as it is; raises ConfigError."""
    if not isinstance(text, str):
        return text  # type: ignore[no-any-return]
    if not text.isascii() or len(text) > _LONGEST_TEXT:
        raise ConfigError(f"{text!r:.80} is not a text of up to {_LONGEST_TEXT} ASCII characters")
    return tag_code(text)


def note(view: Row) -> int:
    """Take in the newest call; return 0 for what no order can mean."""
    return understand(view)


def note_move(view: Row) -> int:
    """Take in a stop or a target that was assigned; return 0 for what is no price."""
    return moved(view)


def check_move(view: Row) -> None:
    """Take in a stop or a target that was assigned, or raise StrategyError."""
    if note_move(view) == 0:
        raise StrategyError("no order can mean it")


def call_order(
    view: Row, what: int, quantity: float, fraction: float, share: float, limit: float, stop: float,
    touch: float, trail: float, trail_percent: float, activate: float, stop_loss: float,
    take_profit: float, stop_distance: float, target_distance: float, reduce_only: bool,
    post_only: bool, time_in_force: int, expires_bars: float, expires_ms: float, oco: int, tag: int,
) -> None:  # fmt: skip
    """Write a call of `buy`, `sell` or `exit` down and take it in."""
    call = view.call
    call.what = what
    call.quantity = quantity
    call.fraction = fraction
    call.share = share
    call.limit = limit
    call.stop = stop
    call.touch = touch
    call.trail = trail
    call.trail_percent = trail_percent
    call.activate = activate
    call.stop_loss = stop_loss
    call.take_profit = take_profit
    call.stop_distance = stop_distance
    call.target_distance = target_distance
    call.reduce_only = reduce_only
    call.post_only = post_only
    call.time_in_force = time_in_force
    call.expires_bars = expires_bars
    call.expires_ms = expires_ms
    call.oco = oco
    call.tag = tag
    if note(view) == 0:
        raise StrategyError("no order can mean it")


def placing(what: int) -> Callable[..., None]:
    """Return the method that places orders to buy, or to sell; the options are those of `View.buy`."""

    def place(
        view: Row, quantity: float = NOT_GIVEN, fraction: float = NOT_GIVEN, share: float = NOT_GIVEN,
        limit: float = NOT_GIVEN, stop: float = NOT_GIVEN, touch: float = NOT_GIVEN,
        trail: float = NOT_GIVEN, trail_percent: float = NOT_GIVEN, activate: float = NOT_GIVEN,
        stop_loss: float = NOT_GIVEN, take_profit: float = NOT_GIVEN, stop_distance: float = NOT_GIVEN,
        target_distance: float = NOT_GIVEN, reduce_only: bool = False, post_only: bool = False,
        time_in_force: Any = 0, expires_bars: float = NOT_GIVEN, expires_ms: float = NOT_GIVEN,
        oco: Any = 0, tag: Any = 0,
    ) -> None:  # fmt: skip
        call_order(
            view, what, quantity, fraction, share, limit, stop, touch, trail, trail_percent, activate, stop_loss,
            take_profit, stop_distance, target_distance, reduce_only, post_only, text_code(time_in_force),
            expires_bars, expires_ms, text_code(oco), text_code(tag),
        )  # fmt: skip

    return place


buy, sell = placing(BUY), placing(SELL)


def exit_position(
    view: Row, share: float = NOT_GIVEN, quantity: float = NOT_GIVEN, fraction: float = NOT_GIVEN,
    limit: float = NOT_GIVEN, stop: float = NOT_GIVEN, touch: float = NOT_GIVEN,
    trail: float = NOT_GIVEN, trail_percent: float = NOT_GIVEN, activate: float = NOT_GIVEN,
    stop_loss: float = NOT_GIVEN, take_profit: float = NOT_GIVEN, stop_distance: float = NOT_GIVEN,
    target_distance: float = NOT_GIVEN, reduce_only: bool = True, post_only: bool = False,
    time_in_force: Any = 0, expires_bars: float = NOT_GIVEN, expires_ms: float = NOT_GIVEN,
    oco: Any = 0, tag: Any = 0,
) -> None:  # fmt: skip
    """Place an order that only reduces the position; the options are those of `View.exit`."""
    call_order(
        view, EXIT, quantity, fraction, share, limit, stop, touch, trail, trail_percent, activate, stop_loss,
        take_profit, stop_distance, target_distance, reduce_only, post_only, text_code(time_in_force),
        expires_bars, expires_ms, text_code(oco), text_code(tag),
    )  # fmt: skip


def hold(view: Row, quantity: float = NOT_GIVEN, fraction: float = NOT_GIVEN, band: float = 0.0) -> None:
    """Ask for whatever leads to a target position; see `View.hold`."""
    call = view.call
    call.what = HOLD
    call.quantity = quantity
    call.fraction = fraction
    call.band = band
    if note(view) == 0:
        raise StrategyError("no order can mean it")


def cancel(view: Row, tag: Any = 0) -> None:
    """Take back the working orders of this symbol with a tag, all without one."""
    view.call.what = CANCEL
    view.call.tag = text_code(tag)
    if note(view) == 0:
        raise StrategyError("no order can mean it")


def why(view: Row, condition: str, value: Any, threshold: float | None = None) -> bool:
    """Return whether a condition is not met, and keep the first such of this candle; see `View.why`."""
    compare = comparison_of(condition, isinstance(value, bool | np.bool_), threshold is not None)
    if compare(value, threshold):
        return False
    keep_first(view, text_number(condition), value, threshold)
    return True


def is_so(value: Any, threshold: Any) -> bool:
    """Return the value: what a condition without a threshold compares by."""
    return value  # type: ignore[no-any-return]


def comparison_of(condition: str, is_truth: bool, has_threshold: bool) -> Callable[[Any, Any], Any]:
    """Return what a condition compares by, or raise ConfigError."""
    if has_threshold:
        return comparison(condition)
    if not is_truth:
        raise ConfigError(f"view.why({condition!r}, …): give a threshold, too, or say whether it holds")
    return is_so


def keep_first(view: Row, number: int, value: Any, threshold: Any) -> None:
    """Keep an unmet condition if it is the first of its candle."""
    if view.unmet == 0:
        view.unmet = number
        view.unmet_value = 0.0 if threshold is None else value
        view.unmet_threshold = 1.0 if threshold is None else threshold


def refuse_note(view: Row, text: Any) -> None:
    """Raise ConfigError: a kernel handles no texts."""
    raise ConfigError(
        "view.note is for strategies in Python; a kernel says what its numbers are with view.why"
    )


def past_row(fields: Sequence[str], column: str) -> int:
    """Return the row of `past` that a column is kept in, by the names of a view's fields; raises ConfigError."""
    named = columns_of_view(fields)
    names = (*named, *CANDLE_COLUMNS)
    if column not in names:
        raise ConfigError(
            f"view.history({column!r}, …) is neither a feature that it named nor open, high, low, close or volume"
            f"{did_you_mean(column, names)}"
        )
    return names.index(column)


def columns_of_view(fields: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features among the fields of a view."""
    first = len(HEAD.names or ())
    return tuple(fields[first : list(fields).index("state")])


def bars_of_view(past: Sequence[int]) -> int:
    """Return how many candles a view looks back on, by the shape of its `past`; 0 for none."""
    return past[1] + 1 - MOST_CLOSES if past[1] else 0


def refuse_bars(column: str, bars: int, most: int) -> None:
    """Raise ConfigError for a look back on more candles than the strategy named, which is `most`."""
    if not most:
        raise ConfigError(
            f"view.history({column!r}, {bars}) needs to know how far it ever looks: write history_bars = {bars} in the class"
        )
    if bars > most:
        raise ConfigError(
            f"view.history({column!r}, {bars}) looks further back than history_bars = {most}; write history_bars = {bars} "
            "in the class"
        )
    if bars < 1:
        raise ConfigError(f"view.history({column!r}, {bars}): {bars} is not a number of candles")


class KernelView(np.record):  # type: ignore[misc] # as `SeenRow`
    """A view without the compiler: the same record, the same functions as its methods."""

    __slots__ = ()  # or what is assigned would not reach the record
    buy, sell, exit, hold, cancel = buy, sell, exit_position, hold, cancel
    why, note = why, refuse_note

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        # Records inside a view are of its class as well.
        if name in ("stop", "target") and "known_stop" in (self.dtype.names or ()):
            check_move(self)

    def history(self, column: str, bars: int) -> FloatArray:
        """Return the newest values of a column, oldest first; see `View.history`."""
        names = self.dtype.names or ()
        refuse_bars(column, bars, bars_of_view(self.past.shape))
        end = int(self.n_past)
        newest = self.past[past_row(names, column), max(end - bars, 0) : end].view()
        newest.flags.writeable = False
        return newest  # type: ignore[no-any-return]

    @property
    def symbol(self) -> str:
        """Return the symbol that the view is about."""
        return TEXTS_BY_NUMBER[int(self["symbol"])]

    @property
    def orders(self) -> tuple[Row, ...]:
        """Return the working orders of this symbol, oldest first."""
        return tuple(self["order_rows"][: int(self.n_orders)].view(ORDER_SEEN))


def view_dtype(features: Sequence[str], state: np.dtype[Any], bars: int) -> np.dtype[Any]:
    """Return the record of the view of a strategy that looks back on so many candles, 0 for none."""
    taken = {*(HEAD.names or ()), "state", "past", *dir(KernelView)}
    for name in features:
        if name in taken:
            raise ConfigError(f"strategy: a feature cannot be called {name!r}; a view has that")
    width = len(features) + len(CANDLE_COLUMNS)
    fields = [
        *((name, HEAD[name]) for name in HEAD.names or ()),
        *((name, "f8") for name in features),
        ("state", state),
        ("past", "f8", (width, bars - 1 + MOST_CLOSES if bars else 0)),
    ]
    return np.dtype((KernelView, fields))
