"""Market structure as a feature: the columns of a whole batch, and the events of its candles."""

from typing import Any, Final

import numpy as np

from papertape.engine.features.history import CLOSE, HIGH, LOW, OPEN, OPEN_MS
from papertape.engine.features.smc.columns import write_columns
from papertape.engine.features.smc.parameters import set_defaults
from papertape.engine.features.smc.tracker import MARKET_STATE, step_market
from papertape.engine.jit import FloatArray, IntArray, Rows, kernel, record

SMC_STATE: Final[np.dtype[Any]] = record(("market", MARKET_STATE), ("found", "f8", (4,)))


@kernel
def smc(
    history: FloatArray,
    first: int,
    last: int,
    count: int,
    p: FloatArray,
    length_ms: int,
    states: Rows,
    out: FloatArray,
    events: Rows,
    written: IntArray,
) -> None:
    """
    Write every column of market structure, and append the events.

    p        bars of swing and internal pivots, and the age limit of inverse gaps (0 = none)
    states   SMC_STATE, shape (1,)
    events   EVENT; the last row is scratch, so one row means that nobody asked; written: rows before and after
    """
    state = states[0]
    market = state.market
    if market.parameters.is_set == 0:
        set_defaults(market.parameters, length_ms)
        market.parameters.swing_bars = int(p[0])
        market.parameters.internal_bars = int(p[1])
        market.parameters.inverse_age_bars = int(p[2])
    warm_up_bars = max(market.parameters.long_atr_bars, 2 * market.parameters.swing_bars)
    # The buffer is the caller's: how far it is filled must not stay in the state.
    market.log.written = written[0]
    quote = market.quote
    for i in range(first, last):
        quote.open_ms = int(history[OPEN_MS, i])
        quote.open = history[OPEN, i]
        quote.high = history[HIGH, i]
        quote.low = history[LOW, i]
        quote.close = history[CLOSE, i]
        step_market(market, events)
        if count + i - first < warm_up_bars:
            out[:, i - first] = np.nan
        else:
            write_columns(market, state.found, out, i - first)
    written[0] = market.log.written
    market.log.written = 0
