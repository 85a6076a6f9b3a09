"""
Where a proof cuts the tape.

A look-ahead shows only at a cut right behind the candle that did it. So candles come first at which something happened:
an output that changed though it rarely does, its largest changes, a decision, a candle that stands out itself.
"""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Rows

_MOST: Final = 200  # candles that one output may propose


def even_cuts(n: int, n_cuts: int, random: np.random.Generator) -> list[int]:
    """Return cut positions: the whole length covered, the last candles included, none regular."""
    even = np.linspace(n // 10 + 1, n - 1, n_cuts).astype(np.int64)
    jitter = random.integers(-(n // (4 * n_cuts)) - 1, n // (4 * n_cuts) + 1, n_cuts)
    return sorted({int(cut) for cut in np.clip(even + jitter, 2, n - 1)} | {n - 1, n - 2})


def telling_cuts(
    candles: Rows, said: Mapping[str, tuple[Any, Any]], step_ms: int, random: np.random.Generator
) -> list[int]:
    """
    Return every cut of a tape, the most telling first: at each the candle before it is the last that is known.

    said  what a subject said of all candles: by name, the times of its statements and their values
    """
    n = len(candles)
    closes = candles["open_ms"] + step_ms
    proposals = [_outstanding(values) for values in _standing_out(candles)]
    for times, values in said.values():
        rows = np.searchsorted(closes, times)
        proposals.append([int(rows[place]) for place in _telling(np.asarray(values), n) if rows[place] < n])
    first = dict.fromkeys(row + 1 for group in zip_longest(*proposals) for row in group if row is not None)
    rest = random.permutation(np.arange(2, n)).tolist()
    return list(dict.fromkeys(cut for cut in (*first, *rest) if 2 <= cut <= n - 1))


def _standing_out(candles: Rows) -> Iterator[FloatArray]:
    """Yield what makes a candle stand out: volume, range, move."""
    yield candles["volume"]
    yield candles["high"] / candles["low"]
    yield np.abs(np.log(candles["close"] / candles["open"]))


def _telling(values: Any, n: int) -> list[int]:
    """Return the places of an output that tell most: rare changes first, otherwise the largest."""
    values = values.astype(np.float64)
    if not len(values):
        return []
    if len(values) < n // 2:
        return _spread(np.arange(len(values)))  # said now and then: each is an event
    before = np.concatenate([values[:1], values[:-1]])
    has_changed = ~((values == before) | (np.isnan(values) & np.isnan(before)))
    changes = np.flatnonzero(has_changed)
    if len(changes) < n // 4:
        return _spread(changes)
    moves = np.nan_to_num(np.abs(values - before), nan=np.inf)
    return _outstanding(moves)[: _MOST // 2] + _outstanding(np.nan_to_num(np.abs(values)))[: _MOST // 2]


def _outstanding(values: FloatArray) -> list[int]:
    """Return the places of the largest values, the largest first."""
    found: list[int] = np.argsort(-values, kind="stable")[:_MOST].tolist()
    return found


def _spread(places: IntArray) -> list[int]:
    """Return places, at most so many and then spread evenly, the middle ones as early as the others."""
    if len(places) > _MOST:
        places = places[np.linspace(0, len(places) - 1, _MOST).astype(np.int64)]
    found: list[int] = places[np.argsort(np.arange(len(places)) % 7, kind="stable")].tolist()
    return found
