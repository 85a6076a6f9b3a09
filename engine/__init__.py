"""
The pure core: a candle goes in, a report comes out. No I/O, no wall clock, no unseeded randomness.

    candles errors jit records     what a candle is; exceptions; the compiler; records that leave the engine
    events report state            what may enter and how; what a step says; the arrays between two events
    spec core loop                 what an engine is built from; step, snapshot, restore, digest; the run loop
    check decide batches execute entries   the stages of a step        frames lane   timeframes of a portfolio
    features                       technical signals
    model                          artefacts, the model in force, and how the smallest one learns
    strategies                     the protocol, built-in strategies, an example in Python
    account ledger broker risk     positions, double entry, fills, sizes      funding    of perpetuals
    digest snapshot                equality and restart
    performance                    metric definitions
"""

from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError, InvariantError, PapertapeError
from papertape.engine.loop import run
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision, View

__all__ = [
    "ConfigError",
    "DataError",
    "Decision",
    "Engine",
    "EngineSpec",
    "InvariantError",
    "Market",
    "PapertapeError",
    "Settings",
    "View",
    "run",
]
