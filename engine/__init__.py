"""
The pure core: a candle goes in, a report comes out. No I/O, no wall clock, no unseeded randomness.

    candles check     what a candle is, and what may be stepped     errors    exceptions and exit codes
    options           fields of dataclasses with their meanings and bounds
    events report     what may enter, and what a step says          records   rows that leave the engine
    jit               the compiler of kernels, and its cache
    user_code         what code of users may raise, and keep where no snapshot finds it
    features          technical signals and market structure, on every timeframe
    broker            account, orders, fills, sizes, funding, halts: the stages of an instant
    model             models, their training, the gate, drift
    strategies        the protocol and the built-in strategies
    spec state        what an engine is built from; its arrays between two events
    decisions         those that ask a strategy, and what its faults come to
    lanes             one account over all candles of a reading in one call
    chapters          an account that goes on under another spec
    core loop         step, snapshot, restore; the run loop
    snapshot          restart and equality
    performance       definitions of metrics

A kernel calls the candle that it is at `i`, a close of the batch `k`, and `at[k]` is the instant at which that close is known.

Each name here is loaded when it is asked for: an exception is no reason to load the compiler.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from papertape.engine.core import Engine
    from papertape.engine.errors import ConfigError, DataError, InvariantError, PapertapeError
    from papertape.engine.loop import run
    from papertape.engine.spec import EngineSpec, Market, Settings
    from papertape.engine.strategies import Decision, View
    from papertape.engine.strategies.instructions import ClosedTrade, Fill, WorkingOrder

__all__ = [
    "ClosedTrade",
    "ConfigError",
    "DataError",
    "Decision",
    "Engine",
    "EngineSpec",
    "Fill",
    "InvariantError",
    "Market",
    "PapertapeError",
    "Settings",
    "View",
    "WorkingOrder",
    "run",
]

_FROM = {
    "ClosedTrade": "strategies.instructions",
    "ConfigError": "errors",
    "DataError": "errors",
    "Decision": "strategies",
    "Engine": "core",
    "EngineSpec": "spec",
    "Fill": "strategies.instructions",
    "InvariantError": "errors",
    "Market": "spec",
    "PapertapeError": "errors",
    "Settings": "spec",
    "View": "strategies",
    "WorkingOrder": "strategies.instructions",
    "run": "loop",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
