"""What nobody knows for certain about the exchange, one field per question, so that a client can be held to every answer."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

from papertape.engine.errors import ConfigError, did_you_mean

FirstFrame = Literal["on_change", "at_once"]
Publishing = Literal["if_changed", "always", "every_trade"]
FinalFrame = Literal["before_roll", "missing", "late", "after_end"]
NoTrade = Literal["silent", "null", "flat"]
NoTradeAt = Literal["start", "end", "both"]
Numbers = Literal["documented", "strings", "ints"]
Delisted = Literal["expired", "unlisted"]
Delisting = Literal["told", "silent"]
Heartbeat = Literal["with_fields", "bare", "stops"]
RestLag = Literal["absent", "flat", "partial"]

# The unknowns that decide when and from what a client takes a candle as final.
FINALITY: Final = ("has_cst", "first_frame", "publishing", "final_frame", "no_trade", "no_trade_at")
# Further ones that a candle depends on.
CANDLES: Final = (*FINALITY, "numbers", "has_padding", "rest_lag", "rest_lag_s", "trail_ms")


@dataclass(frozen=True, kw_only=True)
class Switches:
    """
    One answer to each open question; the defaults are the reference's.

    has_cst        candle frames of the compact host carry the candle's start
    first_frame    of a subscription: at the next change, or at once with the forming candle
    publishing     each 500 ms if changed, each 500 ms, or at every trade
    final_frame    the last state of a candle: sent before the next candle begins, never, `late_ms` after the next
                   candle's first frame, or `late_ms` after the boundary and before that frame
    no_trade       a candle without trades: nothing, null prices, or flat with volume 0
    no_trade_at    at the candle's start (then also for candles that trade later), at its end, or both
    trail_ms       how far the publishing clock trails the grid of candles
    numbers        as documented, all as strings, or whole ones without a point
    heartbeat      5 s with times, 30 s bare, or three of them and then none
    rest_cap       candles per answer
    has_padding    the history fills candles without trades
    trades_list    a plain list, or {"trades": []}
    rest_lag_s     how far the history is behind the stream; `rest_lag` is what it shows meanwhile of a candle: nothing,
                   a flat one, or an older state
    delisted       what the list of products says of a market that is no more: that it is expired, or nothing
    delisting      the stream tells of it, or does not
    week_start     what a 1w candle begins on
    quota          weight allowed per five minutes
    """

    has_cst: bool = True
    first_frame: FirstFrame = "on_change"
    publishing: Publishing = "if_changed"
    final_frame: FinalFrame = "before_roll"
    late_ms: int = 200
    no_trade: NoTrade = "silent"
    no_trade_at: NoTradeAt = "end"
    trail_ms: int = 0
    numbers: Numbers = "documented"
    heartbeat: Heartbeat = "with_fields"
    rest_cap: int = 4000
    has_padding: bool = True
    trades_list: Literal["list", "object"] = "list"
    rest_lag_s: float = 0.0
    rest_lag: RestLag = "absent"
    delisted: Delisted = "expired"
    delisting: Delisting = "told"
    week_start: Literal["monday", "thursday"] = "monday"
    quota: int = 10_000

    def __post_init__(self) -> None:
        """Refuse a word that no switch has."""
        for name, values in _VALUES.items():
            value = getattr(self, name)
            if isinstance(value, str) and value not in values:
                raise ConfigError(f"switch {name}: unknown {value!r}{did_you_mean(value, values)}")
        for name in _NUMBERS:
            if getattr(self, name) < 0:
                raise ConfigError(f"switch {name}: {getattr(self, name)} is below 0")

    @staticmethod
    def parse(texts: Iterable[str]) -> "Switches":
        """Return the switches that texts such as `no_trade=flat` set, or raise ConfigError."""
        usual, changes = Switches(), dict[str, Any]()
        names = [field.name for field in fields(Switches)]
        for text in texts:
            name, _, value = text.partition("=")
            if name not in names:
                raise ConfigError(f"switches: unknown {name!r}{did_you_mean(name, names)}")
            kind = type(getattr(usual, name))
            try:
                changes[name] = _BOOLEANS[value.lower()] if kind is bool else kind(value)
            except (KeyError, ValueError) as error:
                raise ConfigError(f"switch {name}: {value!r} is no {kind.__name__}") from error
        return Switches(**changes)

    @staticmethod
    def combinations(*names: str) -> Iterator["Switches"]:
        """
        Yield every combination of the named switches, the others at their defaults; no names: FINALITY.

        Combinations that differ in nothing visible are left out; `rest_lag_s` takes 0 and 4 s, `trail_ms` 0 and 1500.
        """
        for name in names:
            if name not in _VALUES:
                raise ConfigError(f"switches: unknown {name!r}{did_you_mean(name, _VALUES)}")
        chosen = names or FINALITY
        for values in itertools.product(*(_VALUES[name] for name in chosen)):
            switches = Switches(**dict(zip(chosen, values, strict=True)))
            if not switches._repeats(chosen):
                yield switches

    def _repeats(self, chosen: tuple[str, ...]) -> bool:
        """Return whether another combination of the chosen switches behaves the same."""
        return (
            (self.no_trade == "silent" and "no_trade_at" in chosen and self.no_trade_at != "end")
            or (not self.rest_lag_s and "rest_lag" in chosen and self.rest_lag != "absent")
            # Without `cst` a trailing clock would make candles unattributable for anyone.
            or (bool(self.trail_ms) and not self.has_cst)
        )


_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "has_cst": (True, False),
    "first_frame": get_args(FirstFrame),
    "publishing": get_args(Publishing),
    "final_frame": get_args(FinalFrame),
    "no_trade": get_args(NoTrade),
    "no_trade_at": get_args(NoTradeAt),
    "trail_ms": (0, 1500),
    "numbers": get_args(Numbers),
    "heartbeat": get_args(Heartbeat),
    "rest_cap": (4000, 2000),
    "has_padding": (True, False),
    "trades_list": ("list", "object"),
    "rest_lag_s": (0.0, 4.0),
    "rest_lag": get_args(RestLag),
    "delisted": get_args(Delisted),
    "delisting": get_args(Delisting),
    "week_start": ("monday", "thursday"),
}
_NUMBERS: Final = ("late_ms", "trail_ms", "rest_cap", "rest_lag_s", "quota")
_BOOLEANS: Final = {"true": True, "false": False}
assert set(_VALUES) <= {field.name for field in fields(Switches)}
