"""
What is not traded, between candles: what the venue says about its markets, and clocks that disagree, as inputs in time.

A halt comes before the first candle that closes after it was known, however late the candle itself arrives: nothing
fills in a candle during which the market stood still at its end. A symbol that is gone is so from the first candle that
opens after that on; skewed clocks count at once, since no time can be told by them. What a venue says of ticks, fees and
margins comes likewise, between two candles.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from papertape.engine.broker.halts import ALL
from papertape.engine.events import Cause, Halt, MarketChange
from papertape.engine.jit import Rows


class Telling(NamedTuple):
    """
    What is known of a market: its figures (`papertape.engine.events.MarketChange`).

    now    that hold as soon as they are known
    later  when others will, in ms
    """

    now: dict[str, Any]
    later: tuple[tuple[int, dict[str, Any]], ...] = ()


class Halts:
    """Halts and changes of markets that no candle has passed yet; what was said already is not said again."""

    def __init__(self, symbols: Sequence[str], length_ms: int) -> None:
        self._index = {symbol: number for number, symbol in enumerate(symbols)}
        self._length_ms = length_ms
        self._said: dict[tuple[Cause, int], bool] = {}
        self._markets: dict[int, Telling] = {}
        self._waiting: list[tuple[int, Halt | MarketChange]] = []  # when it is due, and what

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
            self._forget((Cause.GONE, index))
        elif cause is Cause.CLOCK:
            due_ms = 0
        self._waiting.append((due_ms, Halt(now_ms, index, cause, is_on)))
        return is_on is not bool(was_on)  # that all is well at the start is none

    def tell_market(self, symbol: str, now_ms: int, telling: Telling) -> None:
        """Take what is known of a market now, in place of what was to come; what is due already is for candles yet to be fetched."""
        index = self._index[symbol]
        if self._markets.get(index) == telling:
            return
        self._markets[index] = telling
        self._waiting = [
            each for each in self._waiting if _about(each[1]) != (None, index) or each[0] <= now_ms
        ]
        due = [e.figures for _, e in self._waiting if isinstance(e, MarketChange) and e.symbol == index]
        news = [] if due[-1:] == [telling.now] else [(now_ms, telling.now)]
        self.tell_dated(symbol, [*news, *telling.later])

    def tell_dated(self, symbol: str, rows: Iterable[tuple[int, dict[str, Any]]]) -> None:
        """Take what holds of a market from which times on, in ms, as far as it is known before its venue is heard."""
        index = self._index[symbol]
        self._waiting += [(ms, MarketChange(ms, index, figures)) for ms, figures in rows]

    def _forget(self, about: tuple[Cause | None, int]) -> None:
        self._waiting = [(ms, event) for ms, event in self._waiting if _about(event) != about]

    def is_on(self, cause: Cause, symbol: str) -> bool:
        """Return what was said last."""
        return self._said.get((cause, self._index[symbol] if symbol else ALL), False)

    def between(self, rows: Rows) -> Iterator[Rows | Halt | MarketChange]:
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

    def _due(self, close_ms: int) -> list[Halt | MarketChange]:
        newest: dict[tuple[Cause | None, int], Halt | MarketChange] = {}
        for due_ms, event in self._waiting:
            if due_ms < close_ms:
                newest.pop(_about(event), None)  # in the order of what is told
                newest[_about(event)] = event
        self._waiting = [each for each in self._waiting if each[0] >= close_ms]
        return list(newest.values())


def _about(event: Halt | MarketChange) -> tuple[Cause | None, int]:
    """Return what an event is about, of which only the newest counts."""
    return (event.cause if isinstance(event, Halt) else None, event.symbol)


class WithHalts:
    """A feed of candles, and halts and changes of markets between them; `look` is called when candles have come, and may tell more."""

    def __init__(
        self, feed: AsyncIterable[Rows], halts: Halts, look: Callable[[], None] = lambda: None
    ) -> None:
        self._feed, self._halts, self._look = feed, halts, look

    async def __aiter__(self) -> AsyncIterator[Rows | Halt | MarketChange]:
        """Yield what the feed yields, cut where a halt begins or ends, or a market changes."""
        async for rows in self._feed:
            self._look()
            for event in self._halts.between(rows):
                yield event
