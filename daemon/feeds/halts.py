"""
What is not traded, between candles: what the venue says about its markets, and clocks that disagree, as inputs in time.

A halt comes before the first candle that closes after it was known, however late the candle itself arrives: nothing
fills in a candle during which the market stood still at its end. A symbol that is gone is so from the first candle that
opens after that on; skewed clocks count at once, since no time can be told by them.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence

from papertape.engine.broker.halts import ALL
from papertape.engine.events import Cause, Halt
from papertape.engine.jit import Rows


class Halts:
    """Halts that no candle has passed yet; what was said already is not said again."""

    def __init__(self, symbols: Sequence[str], length_ms: int) -> None:
        self._index = {symbol: number for number, symbol in enumerate(symbols)}
        self._length_ms = length_ms
        self._said: dict[tuple[Cause, int], bool] = {}
        self._waiting: list[tuple[int, Halt]] = []  # when it is due, and what

    def tell(self, cause: Cause, symbol: str, now_ms: int, *, is_on: bool) -> bool:
        """Take what is known now, and return whether it is news; no symbol: all of them, which only CLOCK means."""
        index = self._index[symbol] if symbol else ALL
        was_on = self._said.get((cause, index))
        if was_on is is_on:
            return False
        self._said[cause, index] = is_on
        due_ms = now_ms
        if cause is Cause.GONE and is_on:
            due_ms = -(-now_ms // self._length_ms) * self._length_ms
            # What no candle has passed yet was no news to anybody, such as that all was well at the start.
            self._waiting = [
                (ms, halt)
                for ms, halt in self._waiting
                if (halt.cause, halt.symbol) != (Cause.GONE, index)
            ]
        elif cause is Cause.CLOCK:
            due_ms = 0
        self._waiting.append((due_ms, Halt(now_ms, index, cause, is_on)))
        return is_on is not bool(was_on)  # that all is well at the start is none

    def is_on(self, cause: Cause, symbol: str) -> bool:
        """Return what was said last."""
        return self._said.get((cause, self._index[symbol] if symbol else ALL), False)

    def between(self, rows: Rows) -> Iterator[Rows | Halt]:
        """Yield complete instants, and before each what is due by its close; of one thing only the newest."""
        n, done = len(self._index), 0
        closes = (rows["open_ms"][::n] + self._length_ms).tolist() if self._waiting else ()
        for number, close_ms in enumerate(closes):
            due = self._due(close_ms)
            if due and number * n > done:
                yield rows[done : number * n]
                done = number * n
            yield from due
        yield rows[done:]

    def _due(self, close_ms: int) -> list[Halt]:
        newest: dict[tuple[Cause, int], Halt] = {}
        rest = []
        for due_ms, halt in self._waiting:
            if due_ms < close_ms:
                newest[halt.cause, halt.symbol] = halt
            else:
                rest.append((due_ms, halt))
        self._waiting = rest
        return list(newest.values())


class WithHalts:
    """A feed of candles, and halts between them; `look` is called when candles have come, and may tell more."""

    def __init__(
        self, feed: AsyncIterable[Rows], halts: Halts, look: Callable[[], None] = lambda: None
    ) -> None:
        self._feed, self._halts, self._look = feed, halts, look

    async def __aiter__(self) -> AsyncIterator[Rows | Halt]:
        """Yield what the feed yields, cut where a halt begins or ends."""
        async for rows in self._feed:
            self._look()
            for event in self._halts.between(rows):
                yield event
