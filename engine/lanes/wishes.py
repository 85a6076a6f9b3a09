"""
What a strategy in a kernel wants at every close of a reading, told where it changes.

Such a strategy looks at no account, and most of its answers are the one before again. An account acts on a change of sides and
on nothing else (`is_change`): of answers that everything is to stay as it is, and of those to hold nothing, the first says what
the others do, unless they differ while something is held still (`is_even`).
"""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.broker.orders import mute_absent
from papertape.engine.core import Engine
from papertape.engine.features.reading import ReadFeatures
from papertape.engine.jit import IntArray, Rows
from papertape.engine.lanes.stretches import gather
from papertape.engine.records import DECISION
from papertape.engine.strategies.protocol import KernelStrategy, TellsChanges

_WORDS: Final = DECISION.itemsize // 8


class Wishes(NamedTuple):
    """
    Closes in a row at which the same is wanted; the next are written over them.

    starts   the instant at which each begins, ascending
    rows     DECISION, shape (1, n): what is wanted at the first close of each
    is_even  0 where others of a stretch differ in what is not looked at when nothing is held
    state    what the strategy keeps after the last close, shape (1,)
    """

    starts: IntArray
    rows: Rows
    is_even: IntArray
    state: Rows


class WishRoom:
    """Where the wishes of one strategy after the other are written, with room for as many closes as any of them is asked at."""

    def __init__(self, most: int) -> None:
        self.starts: IntArray = np.empty(most, np.int64)
        self.is_even: IntArray = np.empty(most, np.int64)
        self.rows = np.zeros(most, DECISION)


def wishes_of(engine: Engine, strategy: KernelStrategy, room: WishRoom) -> Wishes:
    """Return what a strategy wants at every close that an engine of one symbol, before its first candle, reads."""
    assert isinstance(engine.frames, ReadFeatures)
    closes = engine.frames.reading.closes(engine.spec.timeframe)
    state = np.zeros(1, strategy.state_dtype)
    if isinstance(strategy, TellsChanges) and not engine.frames.has_absent:
        columns = engine.frames.whole(0)
        count = strategy.tell(columns, closes.at, state, room.starts, room.rows)
        room.is_even[:count] = 1
    else:
        count = _asked(engine, strategy, state, room)
    return Wishes(room.starts[:count], room.rows[:count].reshape(1, -1), room.is_even[:count], state)


def _asked(engine: Engine, strategy: KernelStrategy, state: Rows, room: WishRoom) -> int:
    """Ask a strategy about every close, block by block, and write stretches; return how many there are."""
    frames, count = engine.frames, 0
    assert isinstance(frames, ReadFeatures)
    wishes, candles = np.zeros(frames.most, DECISION), frames.reading.candles
    words, row_words = (each.view(np.int64).reshape(-1, _WORDS) for each in (wishes, room.rows))
    for first in range(0, len(candles), frames.block):
        part = candles[first : first + frames.block]
        closed, at = frames.advance(part, len(part))
        matrix, bars = engine.signals(0, closed, at), frames.main[0].closed
        strategy.decide_batch(matrix, bars, closed, state, wishes)
        if frames.has_absent:
            mute_absent(bars, closed, wishes)
        known = at[:closed] + first
        count = gather(wishes, words, known, room.starts, room.rows, row_words, room.is_even, count)
    return count
