"""What faults do to the frames of one connection."""

from typing import Any

import numpy as np
import orjson

from papertape.replay.exchange.active_faults import ActiveFaults
from papertape.replay.exchange.faults import Fault
from papertape.replay.exchange.messages import US

FOREIGN_SYMBOL = "WRONGUSD"
_STAMPS = ("ts", "ts_origin", "ts_publish", "timestamp", "last_updated")
_PRICES = ("o", "h", "l", "c", "p", "open", "high", "low", "close", "price")


class FrameFaults:
    """
    The frames of one connection under the faults that hold.

    number  of the connection; with the faults' seed it decides which frames a share means
    """

    def __init__(self, faults: ActiveFaults, number: int) -> None:
        self._faults = faults
        self._draw = np.random.Generator(np.random.PCG64([faults.seed, number]))
        self._held: bytes | None = None
        self._spiked: set[tuple[Fault, str]] = set()
        self._told: list[Fault] = []  # faults that happen once per connection and have

    @property
    def has_held(self) -> bool:
        """Return whether a frame waits to change places with the next."""
        return self._held is not None

    def frames(self, channel: str, symbol: str, frame: bytes) -> list[bytes]:
        """Return what is sent in place of a frame."""
        sent, before = [frame], self._held
        for fault in self._faults.now:
            if fault.concerns(symbol):
                sent = self._under(fault, channel, sent)
        if sent and before is not None:
            sent.append(before)
            self._held = None
        return sent

    def _under(self, fault: Fault, channel: str, sent: list[bytes]) -> list[bytes]:
        kind, frame = fault.kind, sent[-1] if sent else None
        if kind in ("silence", "blind") or frame is None:
            return []
        if kind == "huge":
            if fault in self._told:
                return sent
            self._told.append(fault)
            padding = "x" * int(fault.amount)
            return [orjson.dumps({"pad": padding, "type": "announcement"}), *sent]
        if kind in ("stamp_spike", "stamp_skew"):
            return [*sent[:-1], self._stamped(fault, channel, frame)]
        if kind in ("seq_gap", "wrong_cs") and channel != "ob_updates":
            return sent
        if kind not in _CHANGES or self._draw.random() >= fault.amount:
            return sent
        if kind == "swap":
            if self._held is not None:
                return sent
            self._held = frame
            return sent[:-1]
        if kind in _READING and not _is_whole(frame):
            return sent  # another fault has cut it: it has no values left to change
        return [*sent[:-1], *_CHANGES[kind](frame, channel)]

    def _stamped(self, fault: Fault, channel: str, frame: bytes) -> bytes:
        """Return a frame with its stamp moved; a spike moves one of each channel."""
        if not _is_whole(frame) or (fault, channel) in self._spiked:
            return frame
        if fault.kind == "stamp_spike":
            self._spiked.add((fault, channel))
        return stamped(frame, fault.amount)


def stamped(frame: bytes, by_ms: float) -> bytes:
    """Return a frame whose time of publication is off."""
    values = orjson.loads(frame)
    moved = {name: values[name] + int(by_ms * US) for name in _STAMPS if name in values}
    return orjson.dumps(values | moved)


def _unknown(frame: bytes, _: str) -> list[bytes]:
    return [orjson.dumps({"sy": "BTCUSD", "type": "something_new", "z": [1, None]}), frame]


def _nan(frame: bytes, _: str) -> list[bytes]:
    values = _changed(frame, dict.fromkeys(_PRICES, "@NaN"))
    return [orjson.dumps(values).replace(b'"@NaN"', b"NaN"), frame]


def _null(frame: bytes, channel: str) -> list[bytes]:
    if not channel.startswith("candlestick_"):
        return [frame]
    return [orjson.dumps(_changed(frame, dict.fromkeys(_PRICES))), frame]


def _spike(frame: bytes, _: str) -> list[bytes]:
    values = orjson.loads(frame)
    highs = ("h", "c", "p", "high", "close", "price")
    raised = {name: _times_ten(values[name]) for name in highs if values.get(name) is not None}
    return [orjson.dumps(values | raised), frame]


def _times_ten(value: Any) -> Any:
    return repr(float(value) * 10.0) if isinstance(value, str) else value * 10


def _foreign(frame: bytes, _: str) -> list[bytes]:
    return [orjson.dumps(_changed(frame, dict.fromkeys(("sy", "symbol"), FOREIGN_SYMBOL))), frame]


def _wrong_sum(frame: bytes, _: str) -> list[bytes]:
    values = orjson.loads(frame)
    return [orjson.dumps(values | {"cs": values["cs"] ^ 1})]


def _changed(frame: bytes, changes: dict[str, Any]) -> dict[str, Any]:
    """Return a frame's values with those changed that it has."""
    values: dict[str, Any] = orjson.loads(frame)
    return {name: changes.get(name, value) for name, value in values.items()}


def _is_whole(frame: bytes) -> bool:
    try:
        orjson.loads(frame)
    except orjson.JSONDecodeError:
        return False
    return True


_READING = ("nan", "null_candle", "spike", "wrong_symbol", "wrong_cs")
_CHANGES = {
    "swap": lambda frame, _: [frame],
    "duplicate": lambda frame, _: [frame, frame],
    "drop": lambda frame, _: [],
    "seq_gap": lambda frame, _: [],
    "truncate": lambda frame, _: [frame[: len(frame) * 2 // 3]],
    "garbage": lambda frame, _: [b"<html>Bad Gateway</html>", frame],
    "unknown_type": _unknown,
    "nan": _nan,
    "null_candle": _null,
    "spike": _spike,
    "wrong_symbol": _foreign,
    "wrong_cs": _wrong_sum,
}
