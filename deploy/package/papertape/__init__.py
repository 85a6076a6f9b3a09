"""
Papertape: the backtest is what runs.

    backtest            recorded candles through the engine that trades on paper: a Result
    sweep               many configurations of it, each as its own replay would be: a SweepResult
    optimize            the best of them searched for, with optuna: an OptimizeResult
    montecarlo          what a result could have been
    learn_study         recipes for models compared on many tapes: a StudyFound
    walkforward         parameters chosen window by window, in one account that goes on: a WalkResult
    hold_out            candles locked for all of these, to be read once
    train windows       models through the gate; how many days of the past they should learn from
    prove study         look-ahead and repaint proof; what followed every kind of market event
    fetch Store Tape    history from a venue; candles on disk, and as a value
    Config ModelStore   one configuration for replay and live; models on disk
    Decision LONG SHORT FLAT   what a strategy answers; parameter: what can be set of it
    table_feature kernel_feature kernel   a feature of your own, as a function of a table of candles or in a kernel; a strategy compiled

Each name is loaded when it is asked for. `papertape.engine` decides, `papertape.replay` knows recorded data,
`papertape.daemon` the world.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from papertape.daemon.learning.model_store import ModelStore
    from papertape.daemon.learning.train import train
    from papertape.engine.features.own.kernels import kernel_feature
    from papertape.engine.jit import kernel
    from papertape.engine.records import FLAT, LONG, SHORT
    from papertape.engine.strategies.parameters import parameter
    from papertape.engine.strategies.protocol import Decision
    from papertape.replay.config import Config
    from papertape.replay.front.backtest import backtest
    from papertape.replay.front.holdout import hold_out
    from papertape.replay.front.learn_study import learn_study
    from papertape.replay.front.montecarlo import montecarlo
    from papertape.replay.front.optimize import optimize
    from papertape.replay.front.research import fetch, prove, study, windows
    from papertape.replay.front.sweep import sweep
    from papertape.replay.front.walkforward import walkforward
    from papertape.replay.tapes.own_features import table_feature
    from papertape.replay.tapes.store import Store
    from papertape.replay.tapes.tape import Tape

    __version__: str

__all__ = [
    "FLAT",
    "LONG",
    "SHORT",
    "Config",
    "Decision",
    "ModelStore",
    "Store",
    "Tape",
    "backtest",
    "fetch",
    "hold_out",
    "kernel",
    "kernel_feature",
    "learn_study",
    "montecarlo",
    "optimize",
    "parameter",
    "prove",
    "study",
    "sweep",
    "table_feature",
    "train",
    "walkforward",
    "windows",
]

_FROM = {
    "FLAT": "engine.records",
    "LONG": "engine.records",
    "SHORT": "engine.records",
    "Config": "replay.config",
    "Decision": "engine.strategies.protocol",
    "ModelStore": "daemon.learning.model_store",
    "Store": "replay.tapes.store",
    "Tape": "replay.tapes.tape",
    "backtest": "replay.front.backtest",
    "fetch": "replay.front.research",
    "hold_out": "replay.front.holdout",
    "kernel": "engine.jit",
    "kernel_feature": "engine.features.own.kernels",
    "learn_study": "replay.front.learn_study",
    "montecarlo": "replay.front.montecarlo",
    "optimize": "replay.front.optimize",
    "parameter": "engine.strategies.parameters",
    "prove": "replay.front.research",
    "study": "replay.front.research",
    "sweep": "replay.front.sweep",
    "table_feature": "replay.tapes.own_features",
    "train": "daemon.learning.train",
    "walkforward": "replay.front.walkforward",
    "windows": "replay.front.research",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name == "__version__":
        return version("papertape")
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__, "__version__"})
