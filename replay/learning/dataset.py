"""From candles to the rows that models learn from, through the lanes that an engine has: what it knew at each close."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from papertape.engine.candles import FLAG_ABSENT, timeframe_ms
from papertape.engine.check import begun
from papertape.engine.features import columns_of
from papertape.engine.features.matrix import FeatureMatrix
from papertape.engine.features.own.base import OwnFeature
from papertape.engine.features.own.definition import definitions_of
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.inference.current import MODEL_ATR
from papertape.engine.records import SERIES
from papertape.engine.spec import EngineSpec
from papertape.engine.strategies.own_signals import OwnSignals, can_short_of
from papertape.replay.feed import Gaps, ReplayFeed

_PRICES = ("open", "high", "low", "close")
_NO_ROWS: Rows = np.zeros(0, SERIES)


def dataset_of(
    symbols: Sequence[str],
    candles: Sequence[Rows],
    base_timeframe: str,
    timeframe: str,
    features: Sequence[str],
    gaps: Gaps = "absent",
    on_progress: Callable[[int, int], None] | None = None,
    traded: Sequence[str] | None = None,
    own: Mapping[str, OwnFeature] = MappingProxyType({}),
    series: Rows = _NO_ROWS,
    asker: EngineSpec | None = None,
) -> Dataset:
    """
    Return a row for every close of `timeframe` that an engine on these candles would see.

    symbols, candles  in the engine's order; features: requests on `timeframe`, with @timeframe or of another symbol
    traded            those that there are rows of; default: all
    own               features of somebody's own, by name; a value of theirs that is none is NaN
    series            SERIES, what was known when beside the candles
    asker             whose strategy's own signals are told beside the rows; None: nobody's

    In a candle that was absent as a whole everything is NaN: no model reads it, and nothing fills in it.
    """
    base_ms = timeframe_ms(base_timeframe)
    n_symbols = len(symbols)
    taken = [symbols.index(symbol) for symbol in traded or symbols]
    columns = tuple(dict.fromkeys(name for request in features for name in columns_of(request)))
    requests = (*features, *(asker.requests if asker else ()), MODEL_ATR)
    frames = FeatureMatrix(symbols, base_timeframe, timeframe, requests, own=own)
    if len(series):
        frames.known.add(series, symbols)
    picked = [frames.columns.index(name) for name in (*columns, MODEL_ATR)]
    signals = _own_signals(asker, [symbols[symbol] for symbol in taken], frames.columns)
    feed = ReplayFeed(
        candles, base_ms, gaps=gaps, batch_rows=frames.block * n_symbols, on_progress=on_progress
    )
    times: list[IntArray] = []
    values: list[list[FloatArray]] = [[] for _ in taken]
    prices: list[list[FloatArray]] = [[] for _ in taken]
    sides: list[list[FloatArray]] = [[] for _ in taken]
    unlisted: IntArray = np.zeros(n_symbols, np.int64)
    for batch, listed in (part for rows in feed.batches() for part in begun(rows, unlisted)):
        for symbol in listed:
            frames.restart(symbol)
            if signals is not None and symbol in taken:
                signals.restart(taken.index(symbol))
        closed, at = frames.advance(batch, len(batch) // n_symbols)
        frames.faults.waiting.clear()
        times.append(batch["open_ms"][at[:closed] * n_symbols] + base_ms)
        for place, symbol in enumerate(taken):
            bars = frames.main[symbol].closed[:closed]
            matrix = frames.matrix(symbol, closed, at)
            if signals is not None:
                sides[place].append(signals.of(place, matrix, bars, closed, times[-1]))
            values[place].append(_present(bars, matrix[picked, :closed].T))
            prices[place].append(_present(bars, np.stack([bars[name] for name in _PRICES], axis=1)))
    x, candle = _stacked(values), _stacked(prices)
    return Dataset(
        symbols=tuple(symbols[symbol] for symbol in taken),
        columns=columns,
        timeframe=timeframe,
        time_ms=_ascending(np.concatenate(times)),
        x=np.ascontiguousarray(x[:, :, :-1]),
        atr=np.ascontiguousarray(x[:, :, -1]),
        definitions=definitions_of(features, own),
        side=_stacked(sides) if signals else None,
        **{n: np.ascontiguousarray(candle[:, :, i]) for i, n in enumerate(_PRICES)},
    )


def _own_signals(
    asker: EngineSpec | None, symbols: Sequence[str], columns: Sequence[str]
) -> OwnSignals | None:
    """Return who tells a strategy's own signals, short ones where a short position can be held at all; None for nobody."""
    if asker is None:
        return None
    can_short = can_short_of(asker.markets, asker.settings.allow_short)
    return OwnSignals(asker.every_turn, symbols, columns, [can_short.get(s, False) for s in symbols])


def _present(bars: Rows, rows: FloatArray) -> FloatArray:
    """Return rows, one a candle, with NaN where the candle was absent; they are changed in place."""
    rows[bars["flag_bits"] & FLAG_ABSENT != 0] = np.nan
    return rows


def _stacked(parts: Sequence[Sequence[FloatArray]]) -> FloatArray:
    """Return the parts of each symbol in one, symbols first."""
    return np.stack([np.concatenate(own) for own in parts])


def _ascending(times: IntArray) -> IntArray:
    """Return the instants at which candles became known; after a gap two do at once, and the second one counts as later."""
    steps: IntArray = np.arange(len(times))
    ascending: IntArray = np.maximum.accumulate(times - steps) + steps
    return ascending
