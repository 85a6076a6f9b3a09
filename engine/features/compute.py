"""
Perceive: every feature of one lane for all new candles: one call, and one more for market structure.

A program has one row per feature. Features are the outer loop, so that each runs over its candles without a branch on
what it is; the dispatch is by number and calls by name, because kernels that take kernels cannot be cached.
"""

from papertape.engine.features.codes import (
    ADX_LINES,
    AROON,
    ATR,
    BOLLINGER,
    CANDLE_LINE,
    CANDLE_SHAPE,
    CCI,
    CLOCK,
    DONCHIAN,
    EMA,
    KELTNER_LINES,
    LOG_RETURN,
    MACD_LINES,
    MFI_LINE,
    OBV_LINE,
    ROC,
    RSI_LINE,
    SERIES_LINE,
    SLOPE,
    SMA,
    SMC,
    STOCHASTIC,
    UNTIL,
    VOLATILITY_CLOSE,
    VOLATILITY_PARKINSON,
    VOLUME_Z,
    VWAP_LINE,
    WILLIAMS_R,
    WMA,
)
from papertape.engine.features.derivatives import follow_series
from papertape.engine.features.history import WINDOW
from papertape.engine.features.momentum import RSI, cci, roc, rsi, stochastic, williams_r
from papertape.engine.features.shape import candle_shape, clock, log_return, until
from papertape.engine.features.smc.feature import SMC_STATE, smc
from papertape.engine.features.table import FeaturePlan
from papertape.engine.features.trend import ADX, AVERAGE, MACD, adx, aroon, ema, macd, slope, sma, wma
from papertape.engine.features.volatility import (
    WILDER,
    atr,
    bollinger,
    donchian,
    keltner,
    volatility_close,
    volatility_parkinson,
)
from papertape.engine.features.volume import MFI, OBV, VWAP, mfi, obv, volume_z, vwap
from papertape.engine.jit import FloatArray, IntArray, Rows, kernel


def perceive(
    history: FloatArray,
    first: int,
    last: int,
    count: int,
    plan: FeaturePlan,
    slab: FloatArray,
    out: FloatArray,
    events: Rows,
    written: IntArray,
) -> None:
    """
    Compute every feature of a plan for the candles in columns `first` … `last - 1` of the history.

    count    number of candles seen before column `first`
    slab     the states of all features as words, changed in place
    out      shape (n_columns, >= last - first); NaN while a feature warms up
    events   EVENT, buffer for what became known, whose last row is scratch; written: shape (1,), how far it is filled
    """
    measure_all(history, first, last, count, plan.program, slab, out)
    perceive_structure(history, first, last, count, plan, slab, out, events, written)


def perceive_structure(
    history: FloatArray,
    first: int,
    last: int,
    count: int,
    plan: FeaturePlan,
    slab: FloatArray,
    out: FloatArray,
    events: Rows,
    written: IntArray,
) -> None:
    """
    Compute market structure where a plan asks for it; the first request of several tells its events.

    A call of its own, so that whoever does not ask for structure does not wait for its kernels to be compiled.
    """
    for number, row in enumerate(plan.structure):
        buffer = events if number == 0 else events[len(events) - 1 :]
        states = slab[row.words].view(SMC_STATE)
        lines = out[row.lines]
        smc(history, first, last, count, row.parameters, row.length_ms, states, lines, buffer, written)


@kernel
def measure_all(
    history: FloatArray, first: int, last: int, count: int, program: Rows, slab: FloatArray, out: FloatArray
) -> None:
    """Compute every technical feature of a program; arguments as for `perceive`."""
    for number in range(len(program)):
        row = program[number]
        p = row.parameters
        cells = slab[row.state : row.state + row.state_length]
        lines = out[row.column : row.column + row.outputs]
        if row.code < 20:
            follow_price(row.code, history, first, last, count, p, cells, lines)
        elif row.code != SMC:
            measure(row.code, history, first, last, count, p, cells, lines)


@kernel
def follow_price(
    code: int,
    history: FloatArray,
    first: int,
    last: int,
    count: int,
    p: FloatArray,
    cells: FloatArray,
    lines: FloatArray,
) -> None:
    """Compute one feature of the trend and momentum families."""
    if code == EMA:
        ema(history, first, last, count, p, cells.view(AVERAGE)[0], lines[0])
    elif code == SMA:
        sma(history, first, last, count, p, cells.view(WINDOW)[0], lines[0])
    elif code == WMA:
        wma(history, first, last, count, p, cells.view(WINDOW)[0], lines[0])
    elif code == MACD_LINES:
        macd(history, first, last, count, p, cells.view(MACD)[0], lines)
    elif code == ADX_LINES:
        adx(history, first, last, count, p, cells.view(ADX)[0], lines)
    elif code == AROON:
        aroon(history, first, last, count, p, cells, lines)
    elif code == SLOPE:
        slope(history, first, last, count, p, cells.view(WINDOW)[0], lines[0])
    elif code == RSI_LINE:
        rsi(history, first, last, count, p, cells.view(RSI)[0], lines[0])
    elif code == STOCHASTIC:
        stochastic(history, first, last, count, p, cells, lines)
    elif code == CCI:
        cci(history, first, last, count, p, lines[0])
    elif code == ROC:
        roc(history, first, last, count, p, lines[0])
    elif code == WILLIAMS_R:
        williams_r(history, first, last, count, p, cells, lines[0])


@kernel
def measure(
    code: int,
    history: FloatArray,
    first: int,
    last: int,
    count: int,
    p: FloatArray,
    cells: FloatArray,
    lines: FloatArray,
) -> None:
    """Compute one feature of the volatility, volume and shape families."""
    if code == ATR:
        atr(history, first, last, count, p, cells.view(WILDER)[0], lines[0])
    elif code == BOLLINGER:
        bollinger(history, first, last, count, p, cells, lines)
    elif code == KELTNER_LINES:
        keltner(history, first, last, count, p, cells, lines)
    elif code == DONCHIAN:
        donchian(history, first, last, count, p, cells, lines)
    elif code == VOLATILITY_CLOSE:
        volatility_close(history, first, last, count, p, cells, lines[0])
    elif code == VOLATILITY_PARKINSON:
        volatility_parkinson(history, first, last, count, p, cells, lines[0])
    elif code == OBV_LINE:
        obv(history, first, last, count, cells.view(OBV)[0], lines[0])
    elif code == MFI_LINE:
        mfi(history, first, last, count, p, cells.view(MFI)[0], lines[0])
    elif code == VWAP_LINE:
        vwap(history, first, last, count, cells.view(VWAP)[0], lines[0])
    elif code == VOLUME_Z:
        volume_z(history, first, last, count, p, cells, lines[0])
    elif code == LOG_RETURN:
        log_return(history, first, last, count, p, lines[0])
    elif code == CANDLE_SHAPE:
        candle_shape(history, first, last, lines)
    elif code == CLOCK:
        clock(history, first, last, lines)
    elif code == UNTIL:
        until(history, first, last, p, lines[0])
    elif code > SERIES_LINE:
        follow_series(code, history, first, last, count, p, lines[0])
    elif code > CANDLE_LINE:
        for i in range(first, last):
            lines[0, i - first] = history[code - CANDLE_LINE, i]
