"""
Recorded data: tapes in, trustworthy backtests out.

    runtime       clocks, event loops, files, child processes, compilation ahead
    feed          recorded candles as the engine wants them, in batches
    tapes         candles as a value and on disk; quality, cleaning, resampling, synthetic markets
    importers     the formats that users already have, and the embedded sample
    config        one configuration for replay and live; market data
    sources       history from venues
    events        market structure over a tape, and what followed each event
    learning      retraining on the clock of the candles
    backtesting   one engine over recorded tapes, its result, and its verification
    report        what is found, as a page
    research      sweeps over configurations; look-ahead proof, training windows, how often gate and drift watch err
    honesty       the whole learning pipeline on markets whose truth is known
    exchange      a local exchange that streams tapes as if live
    front         what `import papertape` offers: backtest, sweep, windows, study, prove, fetch
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from papertape.replay.backtesting.result import Result
    from papertape.replay.config import Config, load_config
    from papertape.replay.front.backtest import backtest
    from papertape.replay.tapes.store import Store
    from papertape.replay.tapes.tape import Tape, read_tape

__all__ = ["Config", "Result", "Store", "Tape", "backtest", "load_config", "read_tape"]

_FROM = {
    "Config": "config",
    "Result": "backtesting.result",
    "Store": "tapes.store",
    "Tape": "tapes.tape",
    "backtest": "front.backtest",
    "load_config": "config",
    "read_tape": "tapes.tape",
}


def __getattr__(name: str) -> Any:
    """
    Load a public name when it is asked for.

    A daemon needs candles, clocks and clients of this room and none of its tables and reports, for which pandas is loaded:
    70 MB.
    """
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
