"""The faults that hold right now, and what frames and answers need to know of them."""

from typing import Final

import orjson

from papertape.replay.exchange.faults import Fault
from papertape.replay.exchange.messages import US
from papertape.replay.exchange.quirks import FinalFrame

MAINTENANCE: Final = ("maintenance", "maintenance_gap")
_FRAME_KINDS: Final = frozenset(
    (
        "silence", "blind", "duplicate", "swap", "drop", "truncate", "garbage", "unknown_type", "nan",
        "null_candle", "spike", "wrong_symbol", "huge", "seq_gap", "wrong_cs", "stamp_spike", "stamp_skew",
    )
)  # fmt: skip
_FINAL_KINDS: Final[dict[str, FinalFrame]] = {"late_final": "late", "missing_final": "missing"}


class ActiveFaults:
    """
    The faults of an exchange as they stand.

    seed              of the draws which decide what a share of the frames means
    status            of the system, as its channel says it
    has_frame_faults  whether frames have to be looked at, one by one
    """

    def __init__(self, seed: int, final_frame: FinalFrame) -> None:
        self.seed = seed
        self.now: list[Fault] = []
        self.status = "live"
        self.has_frame_faults = False
        self._final_frame = final_frame
        self._finals: list[Fault] = []

    def plan(self, fault: Fault) -> None:
        """Remember a fault that concerns the final frames of candles, whenever it begins."""
        if fault.kind in _FINAL_KINDS:
            self._finals.append(fault)

    def begin(self, fault: Fault) -> None:
        """Let a fault hold; one without a duration is over at once."""
        if fault.duration_ms:
            self.now.append(fault)
        self.has_frame_faults = any(known.kind in _FRAME_KINDS for known in self.now)

    def end(self, fault: Fault) -> None:
        """Let a fault hold no longer."""
        self.now.remove(fault)
        self.has_frame_faults = any(known.kind in _FRAME_KINDS for known in self.now)

    def on(self, *kinds: str, symbol: str = "") -> Fault | None:
        """Return a fault of these kinds that holds now and concerns the symbol."""
        for fault in self.now:
            if fault.kind in kinds and (not symbol or fault.concerns(symbol)):
                return fault
        return None

    def final_frame(self, symbol: str, end_ms: int) -> FinalFrame:
        """Return what happens to the final frame of the candle that ends then."""
        for fault in self._finals:
            if fault.time_ms <= end_ms <= fault.end_ms and fault.concerns(symbol):
                return _FINAL_KINDS[fault.kind]
        return self._final_frame

    def status_frame(self, event: str, now_ms: int) -> bytes:
        """Return the system's status as a frame."""
        fault = self.on(*MAINTENANCE)
        return orjson.dumps(
            {
                "event": event,
                "maintenance_announcement_time": None,
                "maintenance_finish_time": fault.end_ms * US if fault else None,
                "maintenance_start_time": fault.time_ms * US if fault else None,
                "status": self.status,
                "timestamp": now_ms * US,
                "type": "system_status",
            }
        )
