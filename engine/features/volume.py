"""
Volume: on-balance volume, money flow, session VWAP, volume z-score.

Sources: J. Granville (1963), started with the first volume as TA-Lib; G. Quong and A. Soudack, Technical Analysis of
Stocks & Commodities (1989). Volume is in base units.
"""

from typing import Final

import numpy as np

from papertape.engine.features.history import (
    CLOSE,
    OPEN_MS,
    SHRUNK,
    VOLUME,
    deviation_of,
    mean_of,
    slide_squares,
    typical,
)
from papertape.engine.jit import FloatArray, Row, kernel, record

OBV: Final = record(("total", "f8"))
MFI: Final = record(("inflow", "f8"), ("outflow", "f8"), ("inflow_largest", "f8"), ("outflow_largest", "f8"))
VWAP: Final = record(("day", "f8"), ("value", "f8"), ("volume", "f8"))

_DAY_MS: Final = 86_400_000.0


@kernel
def obv(history: FloatArray, first: int, last: int, count: int, state: Row, out: FloatArray) -> None:
    """
    Write on-balance volume (Granville 1963) in base units: the sum of volumes, signed by the direction of the close. Its
    level depends on where the tape begins; only its changes mean something.
    """
    for i in range(first, last):
        if count + i - first == 0:
            state.total = history[VOLUME, i]
        elif history[CLOSE, i] > history[CLOSE, i - 1]:
            state.total += history[VOLUME, i]
        elif history[CLOSE, i] < history[CLOSE, i - 1]:
            state.total -= history[VOLUME, i]
        out[i - first] = state.total


@kernel
def money_flow(history: FloatArray, i: int) -> float:
    """
    Return typical price × volume, signed by the direction of the typical price.

    Sums of decimal prices differ in their last bits where the prices say "unchanged"; that is no direction.
    """
    now, before = typical(history, i), typical(history, i - 1)
    if abs(now - before) <= 1e-13 * now:
        return 0.0
    return now * history[VOLUME, i] if now > before else -now * history[VOLUME, i]  # type: ignore[no-any-return]


@kernel
def mfi(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, state: Row, out: FloatArray
) -> None:
    """
    Write the money flow index, 0 … 100; 50 when nothing flowed.

    TA-Lib says 0 when less than 1 quote has flowed in the window; here the ratio is taken of any flow.
    """
    period = int(p[0])
    for i in range(first, last):
        t = count + i - first
        out[i - first] = np.nan
        if t == 0:
            continue
        if t <= period or t % period == 0 or not slide_flows(history, i, period, state):
            state.inflow = 0.0
            state.outflow = 0.0
            for j in range(i - min(period, t) + 1, i + 1):
                flow = money_flow(history, j)
                state.inflow += max(flow, 0.0)
                state.outflow += max(-flow, 0.0)
            state.inflow_largest = state.inflow
            state.outflow_largest = state.outflow
        if t >= period:
            total = state.inflow + state.outflow
            out[i - first] = 100.0 * state.inflow / total if total > 0.0 else 50.0


@kernel
def slide_flows(history: FloatArray, i: int, period: int, state: Row) -> bool:
    """Add the newest money flow, take away the one that leaves, and return whether the sums still mean something."""
    flow, gone = money_flow(history, i), money_flow(history, i - period)
    state.inflow += max(flow, 0.0) - max(gone, 0.0)
    state.outflow += max(-flow, 0.0) - max(-gone, 0.0)
    state.inflow_largest = max(state.inflow_largest, state.inflow)
    state.outflow_largest = max(state.outflow_largest, state.outflow)
    is_inflow_kept = state.inflow >= SHRUNK * state.inflow_largest
    is_outflow_kept = state.outflow >= SHRUNK * state.outflow_largest
    return is_inflow_kept and is_outflow_kept  # type: ignore[no-any-return]


@kernel
def vwap(history: FloatArray, first: int, last: int, count: int, state: Row, out: FloatArray) -> None:
    """
    Write the volume-weighted typical price since 00:00 UTC; the typical price while nothing was traded.

    The session begins by the clock, at the first candle that opens on a new UTC day.
    """
    for i in range(first, last):
        day = np.floor(history[OPEN_MS, i] / _DAY_MS)
        if count + i - first == 0 or day != state.day:
            state.day = day
            state.value = 0.0
            state.volume = 0.0
        state.value += typical(history, i) * history[VOLUME, i]
        state.volume += history[VOLUME, i]
        out[i - first] = state.value / state.volume if state.volume > 0.0 else typical(history, i)


@kernel
def volume_z(
    history: FloatArray,
    first: int,
    last: int,
    count: int,
    p: FloatArray,
    moments: FloatArray,
    out: FloatArray,
) -> None:
    """
    Write how many population deviations the volume is above its mean over `period` candles, this one included; 0 when
    all are equal. The first `period` − 1 candles have none.
    """
    period, row = int(p[0]), history[VOLUME]
    for i in range(first, last):
        t = count + i - first
        slide_squares(moments, row, i, t, period)
        out[i - first] = np.nan
        if t >= period - 1:
            deviation = deviation_of(moments, period)
            distance = row[i] - mean_of(moments, period)
            out[i - first] = distance / deviation if deviation > 0.0 else 0.0
