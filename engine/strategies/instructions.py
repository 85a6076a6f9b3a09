"""
What a strategy asks for beside its decision: orders that rest, orders taken back, stop and target moved.

Everything is checked where it is written, in one sentence that names the thing, the rule and the value; the engine then
decides what can be done with it (`papertape.engine.broker.working.instructions`).
"""

from math import inf, nan
from numbers import Real
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.broker.working import instructions as action
from papertape.engine.broker.working import orders as kinds
from papertape.engine.broker.working.orders import KIND_NAMES, tag_code, tag_text
from papertape.engine.errors import StrategyError, did_you_mean
from papertape.engine.jit import Rows

_TIMES_IN_FORCE: Final = {"gtc": kinds.GTC, "ioc": kinds.IOC, "fok": kinds.FOK}
_LONGEST_TAG: Final = 8


class WorkingOrder(NamedTuple):
    """An order of this symbol that waits: what is left of it, and where."""

    number: int
    tag: str
    kind: str  # market, limit, stop, stop-limit, market-if-touched, limit-if-touched, trailing stop
    side: int  # +1 buy, -1 sell
    quantity: float  # what is left of it, base units
    limit: float  # 0 = none
    trigger: float  # of a stop or touch order; of a trailing one its best price so far
    reduce_only: bool


class Fill(NamedTuple):
    """What `on_fill` is told: one fill of this symbol since the strategy was asked last."""

    time_ms: int  # open of the candle in which it filled
    side: int  # +1 bought, -1 sold
    price: float
    quantity: float
    reason: str
    fee: float  # quote
    realised: float  # quote, before the fee; 0 for an entry
    position: float  # signed, after it


class ClosedTrade(NamedTuple):
    """What `on_close` is told: one trade of this symbol that ended since the strategy was asked last."""

    side: int
    entry_ms: int
    exit_ms: int
    entry_price: float
    exit_price: float
    quantity: float
    pnl: float  # quote, after all costs
    reason: str


class Instructions:
    """The instructions of one symbol at one close, as fields of INSTRUCTION records."""

    __slots__ = ("length_ms", "rows", "time_ms")

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self.time_ms = 0
        self.rows: list[dict[str, float]] = []

    def add(self, what: str, kind: int, fields: dict[str, float]) -> None:
        """Take in one instruction; raises StrategyError when there are too many."""
        if len(self.rows) == action.MOST_INSTRUCTIONS:
            raise StrategyError(
                f"view.{what}: {action.MOST_INSTRUCTIONS} instructions of one symbol at one close are the most"
            )
        fields["action"] = kind
        self.rows.append(fields)

    def place(self, what: str, side: int, options: dict[str, Any]) -> None:
        """Check the options of an order and take it in; raises StrategyError for what no order can mean."""
        fields: dict[str, float] = {"target": side, "confidence": 1.0, "size_scale": 1.0}
        is_rare = False
        for name, value in options.items():
            field = _PRICES.get(name)
            if field is None or value is None:
                is_rare = True
            elif type(value) is float and 0.0 < value < inf:  # nearly always
                fields[field] = value
            else:
                fields[field] = _positive(what, name, value)
        if is_rare or "activate" in options:
            options = _given(what, options)
            fields |= self._rare(what, options)
        else:
            fields["kind"] = kinds.LIMIT if "limit" in options else kinds.AT_MARKET
        if "quantity" in options and "fraction" in options:
            raise StrategyError(f"view.{what}: fraction and quantity are two sizes; give one")
        self.add(what, action.PLACE, fields)

    def _rare(self, what: str, options: dict[str, Any]) -> dict[str, float]:
        """Return the fields that are made of options which are no prices and no sizes."""
        fields = _kind(what, options) | _share(what, options)
        if _LIFE & options.keys():
            fields |= self._life(what, options, int(fields["kind"]))
        for name, field in _TEXTS.items():
            if options.get(name):
                fields[field] = _text(what, name, options[name])
        if options.get("reduce_only"):
            fields["is_reduce_only"] = 1
        return fields

    def _life(self, what: str, options: dict[str, Any], kind: int) -> dict[str, float]:
        """Return how long an order may work, and whether it may take."""
        name = options.get("time_in_force", "gtc")
        if name not in _TIMES_IN_FORCE:
            known = did_you_mean(str(name), _TIMES_IN_FORCE)
            raise StrategyError(f"view.{what}: time_in_force {name!r} is unknown{known}")
        fields: dict[str, float] = {"time_in_force": _TIMES_IN_FORCE[name]}
        if name != "gtc" and kind not in (kinds.AT_MARKET, kinds.LIMIT):
            raise StrategyError(f"view.{what}: time_in_force {name!r} is for market and limit orders")
        if options.get("post_only"):
            if kind != kinds.LIMIT or name != "gtc":
                raise StrategyError(f"view.{what}: post_only is for limit orders that may rest")
            fields["is_post_only"] = 1
        if "expires_bars" in options and "expires_ms" in options:
            raise StrategyError(
                f"view.{what}: expires_bars and expires_ms are two ways to say one thing; give one"
            )
        for name in ("expires_bars", "expires_ms"):
            if name in options:
                fields["expires_ms"] = self._end_ms(what, name, options[name])
        return fields

    def _end_ms(self, what: str, name: str, value: Any) -> int:
        """Return when an order ends, or raise StrategyError."""
        number = int(_positive(what, name, value))
        end_ms = self.time_ms + number * self.length_ms if name == "expires_bars" else number
        if end_ms >= action.LATEST_MS:
            raise StrategyError(f"view.{what}: {name} {value!r:.80} is further away than any candle")
        return end_ms

    def move(self, name: str, value: Any) -> None:
        """Take in another stop or target of the position; 0 or None removes it."""
        if value is None:
            value = 0.0
        if not isinstance(value, Real) or not 0.0 <= float(value) < inf:
            raise StrategyError(
                f"view.{name} = {value!r:.80} is not a price: finite and at least 0 (0 is none)"
            )
        levels = {"stop_price": nan, "target_price": nan, f"{name}_price": float(value)}
        self.add(name, action.MOVE, levels)

    def hold(self, quantity: Any, fraction: Any, band: Any) -> None:
        """Take in a target position; raises StrategyError for what is none."""
        if (quantity is None) == (fraction is None):
            raise StrategyError("view.hold: quantity or fraction says how much; give one")
        name, value = ("quantity", quantity) if fraction is None else ("fraction", fraction)
        if not isinstance(value, Real) or not -inf < float(value) < inf:
            raise StrategyError(f"view.hold: {name} {value!r:.80} is not a finite number")
        if not isinstance(band, Real) or not 0.0 <= float(band) < inf:
            raise StrategyError(f"view.hold: band {band!r:.80} is not a finite number of at least 0")
        fields: dict[str, float] = {name: float(value), "band": float(band)}
        self.add("hold", action.HOLD, fields)

    def cancel(self, tag: str) -> None:
        """Take back the orders with a tag, all without one."""
        code = _text("cancel", "tag", tag) if tag else 0
        self.add("cancel", action.CANCEL, {"tag": code})


# The usual types of numbers; others are looked at one by one.
_NUMBERS: Final = frozenset({float, int, np.float64})
_TRIGGERS: Final = frozenset({"stop", "touch", "trail", "trail_percent"})
_LIFE: Final = frozenset({"time_in_force", "post_only", "expires_bars", "expires_ms"})
_TEXTS: Final = {"tag": "tag", "oco": "group"}
# Options of an order and the fields that they are kept in.
_PRICES: Final = {
    "quantity": "quantity",
    "fraction": "fraction",
    "limit": "limit_price",
    "stop_loss": "stop_price",
    "take_profit": "target_price",
    "stop_distance": "stop_distance",
    "target_distance": "target_distance",
    "activate": "activation_price",
}


_RARE: Final = (
    "share",
    "stop",
    "touch",
    "trail",
    "trail_percent",
    "reduce_only",
    "post_only",
    "time_in_force",
    "expires_bars",
    "expires_ms",
    "oco",
    "tag",
)


def _given(what: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options without those that are None, or raise StrategyError for one that there is not."""
    for name in options:
        if name not in _PRICES and name not in _RARE:
            known = did_you_mean(name, (*_PRICES, *_RARE))
            raise StrategyError(f"view.{what}: {name} is unknown{known}")
    return {name: value for name, value in options.items() if value is not None}


def _positive(what: str, name: str, value: Any) -> float:
    """Return a number above 0, or raise StrategyError."""
    is_number = type(value) in _NUMBERS or isinstance(value, Real)
    if not is_number or not 0.0 < float(value) < inf:
        raise StrategyError(f"view.{what}: {name} {value!r:.80} is not a finite number above 0")
    return float(value)


def _text(what: str, name: str, value: Any) -> int:
    """Return a short name as a number, or raise StrategyError."""
    if not isinstance(value, str) or not value.isascii() or not 0 < len(value) <= _LONGEST_TAG:
        raise StrategyError(
            f"view.{what}: {name} {value!r:.80} is not a text of 1 to {_LONGEST_TAG} ASCII characters"
        )
    return tag_code(value)


def _kind(what: str, options: dict[str, Any]) -> dict[str, float]:
    """Return the kind of order that its prices make it, and what triggers it."""
    given = sorted(_TRIGGERS & options.keys())
    has_limit = "limit" in options
    if len(given) > 1:
        raise StrategyError(f"view.{what}: {' and '.join(given)} are different orders; place two")
    if not given:
        if "activate" in options:
            raise StrategyError(f"view.{what}: activate is for trailing stops; add trail")
        return {"kind": kinds.LIMIT if has_limit else kinds.AT_MARKET}
    name = given[0]
    value = _positive(what, name, options[name])
    if name in ("stop", "touch"):
        if "activate" in options:
            raise StrategyError(f"view.{what}: activate is for trailing stops, not for {name}")
        pairs = {"stop": (kinds.STOP, kinds.STOP_LIMIT), "touch": (kinds.TOUCH, kinds.TOUCH_LIMIT)}
        return {"kind": pairs[name][has_limit], "trigger_price": value}
    if has_limit:
        raise StrategyError(f"view.{what}: a trailing stop trades at market; leave limit out")
    if name == "trail":
        return {"kind": kinds.TRAIL, "trail_distance": value}
    if value >= 100.0:
        raise StrategyError(f"view.{what}: trail_percent {value!r} is not below 100")
    return {"kind": kinds.TRAIL, "trail_rate": value / 100.0}


def _share(what: str, options: dict[str, Any]) -> dict[str, float]:
    """Return how much of the position, where that is asked for."""
    if "share" not in options:
        return {}
    others = sorted({"quantity", "fraction"} & options.keys())
    if others:
        raise StrategyError(f"view.{what}: {others[0]} and share are two sizes; give one")
    value = _positive(what, "share", options["share"])
    if value > 1.0:
        raise StrategyError(f"view.{what}: share {value!r} is not above 0 and at most 1")
    return {"is_whole": 1} if value == 1.0 else {"share": value}


def orders_of(rows: Rows) -> tuple[WorkingOrder, ...]:
    """Return the working orders among rows of the table, oldest first."""
    return tuple(
        WorkingOrder(
            int(row["number"]),
            tag_text(row["tag"]),
            KIND_NAMES[int(row["kind"])],
            int(row["target"]),
            float(row["remaining"]),
            float(row["limit_price"]),
            float(row["extreme"] if row["kind"] == kinds.TRAIL else row["trigger_price"]),
            bool(row["is_reduce_only"]),
        )
        for row in rows
        if row["status"] != kinds.FREE
    )
