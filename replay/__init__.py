"""
Recorded data: tapes in, trustworthy backtests out.

    tape tape_file quality cleaning importers resample synthetic sample   candles on disk, and how they get there
    sources download delta_rest ccxt_…  history from venues
    config config_live markets          one configuration; market data
    front                               what `import papertape` offers: backtest, windows, study, prove, fetch
    feed sinks backtest summary         one engine over one tape
    training                            from a tape to a model, and models as events of a replay
    result tables report                what is found, as files and as a page
    market_events columns study         market structure over a tape, as files, and what followed each event
    venue clock                         the local exchange, and the clocks that it goes by
    parent                              child processes: who started them, and why they ended
    prove verify                        look-ahead and repaint proof; run again and compare
    honesty                             the whole learning pipeline on markets whose truth is known
    gate_study drift_study planted      how often gate and drift watch err, measured on rows of a known law
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from papertape.replay.backtesting.result import Result
    from papertape.replay.config import Config, load_config
    from papertape.replay.front.backtest import backtest
    from papertape.replay.tapes.store import Store, Tape, read_tape

__all__ = ["Config", "Result", "Store", "Tape", "backtest", "load_config", "read_tape"]

_FROM = {
    "Config": "config",
    "Result": "result",
    "Store": "tape",
    "Tape": "tape",
    "backtest": "front.backtest",
    "load_config": "config",
    "read_tape": "tape",
}


class _Room(ModuleType):
    """
    The room, whose public names are loaded when they are asked for.

    A daemon needs candles, clocks and clients of this room and none of its tables and reports, for which pandas is loaded:
    70 MB. `backtest` is the function and not the module of that name, which importing it would put here.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _FROM:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{self.__name__}.{_FROM[name]}"), name)

    @property
    def backtest(self) -> Any:
        """Return the function."""
        return import_module(f"{self.__name__}.front.backtest").backtest

    @backtest.setter
    def backtest(self, module: Any) -> None:
        """Leave the place to the function when the module is imported."""


sys.modules[__name__].__class__ = _Room
