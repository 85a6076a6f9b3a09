"""
Merge: final candles of single symbols become complete instants, one candle per symbol in symbol order.

Finality decides every candle of every symbol in order, absent ones included, so a complete instant needs no clock here.
An instant that some symbol has passed without a candle never becomes complete and is dropped: that is only before the
symbol's first price, where replay begins as well.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from papertape.daemon.feeds.finality.bars import Bar, FinalCandle
from papertape.engine.candles import CANDLE
from papertape.engine.jit import Rows


class Merge:
    """
    Final candles waiting for the other symbols of their instant.

    waited_ms  gets, by symbol, how long complete instants waited for its candle when every other one was there
    """

    def __init__(self, symbols: Sequence[str], waited_ms: Counter[str] | None = None) -> None:
        self._waited_ms = Counter[str]() if waited_ms is None else waited_ms
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._waiting: dict[int, dict[str, FinalCandle]] = {}
        self._next_ms = dict.fromkeys(symbols, 0)

    def put(self, final: FinalCandle) -> None:
        """Take one final candle."""
        self._waiting.setdefault(final.bar.open_ms, {})[final.symbol] = final

    def passed(self, symbol: str, next_ms: int) -> None:
        """Take note that a symbol has no further candle before `next_ms`."""
        self._next_ms[symbol] = next_ms

    def take(self) -> list[FinalCandle]:
        """Return the candles of the instants that are complete, in order."""
        complete: list[FinalCandle] = []
        reached_ms = min(self._next_ms.values())
        for open_ms in sorted(ms for ms in self._waiting if ms < reached_ms):
            finals = self._waiting.pop(open_ms)
            if len(finals) == len(self._index):
                self._count_wait(list(finals.values()))
                complete += (finals[symbol] for symbol in self._index)
        return complete

    def _count_wait(self, finals: list[FinalCandle]) -> None:
        if len(finals) > 1:
            *_, before, last = sorted(finals, key=lambda final: final.ready_ms)
            self._waited_ms[last.symbol] += last.ready_ms - before.ready_ms

    def rows(self, finals: Sequence[FinalCandle]) -> Rows:
        """Return final candles as CANDLE rows."""
        rows = np.zeros(len(finals), CANDLE)
        rows["symbol"] = [self._index[final.symbol] for final in finals]
        rows["flag_bits"] = [final.flag_bits for final in finals]
        for name in Bar._fields:
            rows[name] = [getattr(final.bar, name) for final in finals]
        return rows
