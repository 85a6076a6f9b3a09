"""
The definitions of the batch package `smartmoneyconcepts` 0.0.27, told honestly: for parity, not for trading.

Fed one candle at a time, each tracker says a thing once, when it is known, and can at any candle be folded into the
columns that the package prints, which are stamped at rows that could not know them. Both come from one state, so the
fold proves that nothing was changed but the time at which it is told. Memory grows with the tape: columns are whole.

    series        the candles so far; rounding to float32
    gaps          fair value gaps, joined or not
    swings        swing highs and lows: NEW, MOVE, FINAL
    structure     BOS and CHoCH from four swings and a break
    blocks        order blocks, one machine and two schedules
    liquidity     pools (view only)
    retracements  (view only)
    levels        previous high and low of a period
    sessions      fixed hours in UTC
    events        kinds of the statements
    batch         the trackers that depend on each other, in order
"""

from tests.oracles.smc_batch.batch import SmcBatch
from tests.oracles.smc_batch.events import KIND_NAMES
from tests.oracles.smc_batch.levels import PreviousLevels
from tests.oracles.smc_batch.sessions import SESSIONS, Session

__all__ = ["KIND_NAMES", "SESSIONS", "PreviousLevels", "Session", "SmcBatch"]
