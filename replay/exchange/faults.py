"""
What goes wrong, and when: a plain list of (time, kind, duration, symbol, amount), written by hand, by name or from a seed.

Kinds in FAULT_KINDS happen at an instant (duration 0) or hold for a span. `share` means: of frames, from 0 to 1.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.errors import ConfigError, did_you_mean


class FaultKind(NamedTuple):
    """What a kind of fault does, and its usual length and size."""

    text: str
    duration_ms: int = 0
    amount: float = 0.0


FAULT_KINDS: Final[Mapping[str, FaultKind]] = {
    # connections
    "abort": FaultKind("every connection is cut without a close frame"),
    "close": FaultKind("every connection is closed; amount: the code", amount=1001),
    "refuse": FaultKind("connections are cut and upgrades refused; amount: the status", 10_000, 503),
    "down": FaultKind("the server restarts: everything is cut and nothing answers", 10_000),
    "half_open": FaultKind("open connections stay up and never say anything again"),
    "freeze": FaultKind("nothing is sent, heartbeats and pongs included; frames are lost", 45_000),
    "stall": FaultKind("nothing is sent; the frames come in one burst at the end", 20_000),
    "never_ack": FaultKind("connections are cut; new ones get no acknowledgement and no data", 20_000),
    "silence": FaultKind("no data; heartbeats and pongs go on", 100_000),
    "blind": FaultKind("no data, heartbeats go on, and the history is unavailable", 40_000),
    # frames
    "duplicate": FaultKind("a share of frames comes twice", 60_000, 0.5),
    "swap": FaultKind("a share of frames changes places with the next", 60_000, 0.5),
    "drop": FaultKind("a share of frames is lost", 60_000, 0.3),
    "truncate": FaultKind("a share of frames is cut short", 60_000, 0.3),
    "garbage": FaultKind("text that is no JSON before a share of frames", 60_000, 0.3),
    "unknown_type": FaultKind("a frame of unknown type before a share of frames", 60_000, 0.3),
    "nan": FaultKind("NaN in a copy before a share of frames", 60_000, 0.3),
    "null_candle": FaultKind("null prices in a copy before a share of candle frames", 60_000, 0.3),
    "spike": FaultKind("a price ten times too high in a copy before a share of frames", 60_000, 0.2),
    "wrong_symbol": FaultKind("a copy under a foreign symbol before a share of frames", 60_000, 0.3),
    "huge": FaultKind("one frame of this many bytes per connection", 60_000, 1_000_000),
    "late_final": FaultKind("final frames of candles come after the next candle's first", 180_000),
    "missing_final": FaultKind("final frames of candles do not come", 180_000),
    "stamp_spike": FaultKind("one frame of each channel is stamped amount ms ahead", 60_000, 40_000),
    "stamp_skew": FaultKind("the stamps of all frames are off by amount ms", 120_000, 40_000),
    "seq_gap": FaultKind("a share of book updates is lost", 60_000, 0.2),
    "wrong_cs": FaultKind("a share of book updates has a wrong checksum", 60_000, 0.2),
    # the history
    "rest_lag_absent": FaultKind("the history is amount seconds behind and shows no more", 180_000, 5),
    "rest_lag_flat": FaultKind("the history is behind and pads what it does not know", 180_000, 5),
    "rest_lag_partial": FaultKind("the history is behind and shows older states", 180_000, 5),
    "rest_403": FaultKind("the CDN refuses", 30_000),
    "rest_429": FaultKind("too many requests; X-RATE-LIMIT-RESET says when to come again", 30_000),
    "rest_500": FaultKind("an error of the server", 30_000),
    "rest_502": FaultKind("an error of the CDN, in HTML", 30_000),
    "rest_503": FaultKind("unavailable", 30_000),
    "rest_timeout": FaultKind("requests get no answer", 30_000),
    "rest_slow": FaultKind("answers take amount seconds", 60_000, 4),
    "rest_cached": FaultKind("equal addresses get equal answers for amount seconds", 180_000, 60),
    "rest_sparse": FaultKind("the history leaves out candles without trades", 240_000),
    "rest_truncated": FaultKind("bodies are cut in half", 30_000),
    "correction": FaultKind("an old candle's high and volume grow by this factor", amount=1.001),
    "clock_skew": FaultKind("the times in headers are off by amount ms", 120_000, 5_000),
    # the venue
    "maintenance": FaultKind("announced, cut, 503, then an auction; the candles exist", 120_000),
    "maintenance_gap": FaultKind("the same, and nothing was traded meanwhile", 120_000),
    "quiet": FaultKind("nobody trades, and everything else goes on", 300_000),
    "disruption": FaultKind("nothing is matched, then an auction; the candles exist", 120_000),
    "tick_size": FaultKind("the tick size is multiplied by amount", amount=10),
    "delisting": FaultKind("the symbol, or each one, expires: nothing is traded any more"),
}

# What a seed draws from: everything after which the tape can still be had in full.
RECOVERABLE: Final = tuple(
    name for name in FAULT_KINDS if name not in ("maintenance_gap", "delisting", "correction", "quiet")
)
# Faults that can concern one symbol alone.
BY_SYMBOL: Final = frozenset(
    (
        "silence", "blind", "duplicate", "swap", "drop", "truncate", "garbage", "unknown_type", "nan",
        "null_candle", "spike", "wrong_symbol", "late_final", "missing_final", "seq_gap",
        "wrong_cs", "rest_lag_absent", "rest_lag_flat", "rest_lag_partial", "rest_sparse", "correction",
        "maintenance_gap", "quiet", "tick_size", "delisting", "disruption", "stamp_spike", "stamp_skew",
    )
)  # fmt: skip
# What may also be behind: amounts below zero.
_SIGNED: Final = frozenset(("clock_skew", "stamp_spike", "stamp_skew"))
_NUMBER: Final = r"-?\d+(?:\.\d+)?"
_NAMED: Final = re.compile(rf"(\w+)(?:@({_NUMBER}))?(?::([^=]+))?(?:=({_NUMBER}))?")
_CLOSE_CODES: Final = (1000, 1001, 1012)


class Fault(NamedTuple):
    """One fault; no symbol means all."""

    time_ms: int
    kind: str
    duration_ms: int = 0
    symbol: str = ""
    amount: float = 0.0

    @property
    def end_ms(self) -> int:
        """Return when it is over."""
        return self.time_ms + self.duration_ms

    def concerns(self, symbol: str) -> bool:
        """Return whether it applies to a symbol, whatever its prefix."""
        return not self.symbol or symbol.rpartition(":")[2] == self.symbol


@dataclass(frozen=True)
class Faults:
    """A schedule of faults, in time order."""

    schedule: tuple[Fault, ...] = ()
    seed: int = 0  # of what a share means for each frame

    def __post_init__(self) -> None:
        """Refuse what is not a fault."""
        for fault in self.schedule:
            check_fault(fault)
        object.__setattr__(self, "schedule", tuple(sorted(self.schedule)))

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.schedule)

    def __or__(self, other: "Faults") -> "Faults":
        return Faults((*self.schedule, *other.schedule), self.seed or other.seed)

    @staticmethod
    def none() -> "Faults":
        """Return no faults."""
        return Faults()

    @staticmethod
    def single(
        kind: str,
        time_ms: int,
        duration_ms: int | None = None,
        *,
        symbol: str = "",
        amount: float | None = None,
    ) -> "Faults":
        """Return one fault, with the usual length and size of its kind unless given."""
        return Faults((make_fault(kind, time_ms, duration_ms, symbol, amount),), seed=1)

    @staticmethod
    def named(texts: Iterable[str], start_ms: int) -> "Faults":
        """Return the faults that texts such as `delisting@60:BTCUSDT` or `stamp_skew=-40000` name, or raise ConfigError."""
        found = []
        for text in texts:
            match = _NAMED.fullmatch(text)
            if match is None:
                raise ConfigError(f"fault {text!r}: write kind[@seconds][:symbol][=amount]")
            kind, seconds, symbol, amount = match.groups()
            time_ms = start_ms + round(1000.0 * float(seconds or 0.0))
            wanted = None if amount is None else float(amount)
            found.append(make_fault(kind, time_ms, None, symbol or "", wanted))
        return Faults(tuple(found), seed=1 if found else 0)

    @staticmethod
    def seeded(
        seed: int,
        start_ms: int,
        end_ms: int,
        *,
        symbols: Sequence[str] = (),
        kinds: Iterable[str] = RECOVERABLE,
        n: int | None = None,
    ) -> "Faults":
        """
        Return a mixture that depends on its arguments alone; faults begin in [start_ms, end_ms).

        symbols  a third of the faults that can concern one symbol concern one of these, the others all
        n        how many; default: three to eight
        """
        draw = np.random.Generator(np.random.PCG64(seed))
        names = sorted(kinds)
        faults = []
        for _ in range(int(draw.integers(3, 9)) if n is None else n):
            name = names[int(draw.integers(len(names)))]
            kind = FAULT_KINDS[name]
            time_ms = int(draw.integers(start_ms, max(end_ms, start_ms + 1)))
            # From a fifth of the usual length to twice it, short ones as often as long ones.
            duration_ms = round(kind.duration_ms * 0.2 * 10.0 ** float(draw.random()))
            amount = float(draw.choice(_CLOSE_CODES)) if name == "close" else kind.amount
            at, share = int(draw.integers(max(len(symbols), 1))), float(draw.random())
            is_one = bool(symbols) and share < 1 / 3 and name in BY_SYMBOL
            symbol = symbols[at] if is_one else ""
            faults.append(Fault(time_ms, name, duration_ms, symbol, amount))
        return Faults(tuple(faults), seed)


def check_fault(fault: Fault) -> None:
    """Raise ConfigError for a fault that cannot happen."""
    kind, amount = fault.kind, fault.amount
    if kind not in FAULT_KINDS:
        raise ConfigError(f"unknown fault {kind!r}{did_you_mean(kind, FAULT_KINDS)}")
    if fault.duration_ms < 0:
        raise ConfigError(f"fault {kind}: {fault.duration_ms} ms is no duration")
    if kind in _SIGNED:
        amount = abs(amount)
    if FAULT_KINDS[kind].amount and not 0.0 < amount < 1e9:
        raise ConfigError(f"fault {kind}: amount {amount:g} is not above 0 and below 1e9")
    amount = fault.amount
    for name, low, high in (("refuse", 400, 599), ("close", 1000, 4999)):
        if kind == name and not low <= amount <= high:
            raise ConfigError(f"fault {kind}: amount {amount:g} is not between {low} and {high}")


def make_fault(
    kind: str, time_ms: int, duration_ms: int | None = None, symbol: str = "", amount: float | None = None
) -> Fault:
    """Return a fault with the usual length and size of its kind unless given, or raise ConfigError."""
    usual = FAULT_KINDS.get(kind, FaultKind(""))
    fault = Fault(
        time_ms,
        kind,
        usual.duration_ms if duration_ms is None else duration_ms,
        symbol,
        usual.amount if amount is None else amount,
    )
    check_fault(fault)
    return fault


def fault_from(values: Any, now_ms: int) -> Fault:
    """Return the fault that a control message describes: kind, and in_ms, duration_ms, symbol, amount if given."""
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str):
        raise ConfigError('a fault is an object such as {"kind": "abort"}')
    known = {"kind": str, "in_ms": int, "duration_ms": int, "symbol": str, "amount": (int, float)}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"fault: unknown {name!r}{did_you_mean(name, known)}")
        if not isinstance(value, known[name]) or isinstance(value, bool):  # type: ignore[arg-type] # a type or two
            raise ConfigError(f"fault.{name}: {value!r} is not what it should be")
    return make_fault(
        values["kind"],
        now_ms + values.get("in_ms", 0),
        values.get("duration_ms"),
        values.get("symbol", ""),
        values.get("amount"),
    )
