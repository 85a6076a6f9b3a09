"""Market structure from Python: closed candles in, events out, one at a time or a whole array."""

from typing import Any, Final

import numpy as np

from papertape.engine.candles import CANDLE, timeframe_ms
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.features.smc.events import EVENT
from papertape.engine.features.smc.parameters import LONGEST_PIVOT, PARAMETERS, default_parameters
from papertape.engine.features.smc.tracker import MARKET_STATE, step_market
from papertape.engine.jit import Rows, copy_rows, join_rows, kernel, locked_rows

# One candle says at most what all shelves have left to tell, 7,716 events (`papertape.engine.features.matrix`), and what it begins.
EVENTS_PER_CANDLE: Final = 8_192


@kernel
def step_candles(states: Rows, candles: Rows, first: int, events: Rows, most: int) -> int:
    """Take candles from `first` on until more than `most` events wait; return the number of the next candle."""
    state = states[0]
    state.log.written = 0
    quote = state.quote
    for number in range(first, len(candles)):
        candle = candles[number]
        quote.open_ms = candle.open_ms
        quote.open = candle.open
        quote.high = candle.high
        quote.low = candle.low
        quote.close = candle.close
        step_market(state, events)
        if state.log.written > most:
            return number + 1
    return len(candles)


class SmartMoney:
    """
    Market structure of one symbol on one timeframe.

        sm = SmartMoney(timeframe="15m", swing_bars=50)
        events = sm.update(candles)  # EVENT records of these candles, in the order in which they were said

    Parameters are the fields of PARAMETERS; what is not given has the reference's default.
    """

    def __init__(self, timeframe: str = "15m", **parameters: Any) -> None:
        rows = default_parameters(timeframe_ms(timeframe))
        assert PARAMETERS.names is not None
        for name, value in parameters.items():
            if name not in PARAMETERS.names:
                raise ConfigError(f"smart money: unknown parameter {name!r}")
            rows[0][name] = value
        pivots = ("swing_bars", "internal_bars", "equal_bars", "higher_swing_bars", "higher_internal_bars")
        for name in pivots:
            if not 1 <= rows[0][name] <= LONGEST_PIVOT:
                value = rows[0][name]
                raise ConfigError(f"smart money: {name} {value} is not between 1 and {LONGEST_PIVOT}")
        self._state = np.zeros(1, MARKET_STATE)
        self._state["parameters"] = rows
        self._events = np.zeros(2 * EVENTS_PER_CANDLE, EVENT)

    def update(self, candles: Rows) -> Rows:
        """Take one or more closed candles, in time order, and return what they made known."""
        if candles.dtype != CANDLE:
            raise DataError(f"candles: type {candles.dtype} is not the CANDLE record")
        candles, parts = locked_rows(candles), []
        first = 0
        while first < len(candles):
            first = step_candles(
                self._state, candles, first, self._events, len(self._events) - EVENTS_PER_CANDLE - 1
            )
            assert self._state[0].log.written < len(self._events) - 1
            parts.append(copy_rows(self._events[: self._state[0].log.written]))
        return join_rows(parts) if parts else copy_rows(self._events[:0])

    def save(self) -> bytes:
        """Return the whole state."""
        return self._state.tobytes()

    def load(self, saved: bytes) -> None:
        """Take over what `save` returned."""
        if len(saved) != self._state.nbytes:
            raise DataError(f"smart money: {len(saved)} bytes are not a state of {self._state.nbytes}")
        self._state.view(np.uint8)[:] = np.frombuffer(saved, np.uint8)

    @property
    def n_dropped(self) -> int:
        """Return how many zones and levels were dropped, oldest first, because their shelf was full."""
        state = self.state
        holders = [state.strong_gaps, state.liquidity, state.flips]
        for structure in (state.main, state.higher):
            holders += [structure.gaps, structure.swing_blocks, structure.internal_blocks]
        return sum(int(holder.n_dropped) for holder in holders)

    @property
    def state(self) -> Any:
        """Return the MARKET_STATE record, to be read."""
        return self._state[0]
