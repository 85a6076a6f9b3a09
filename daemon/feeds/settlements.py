"""
Settlements between candles: each after the candles that have closed by its time, once, also those that nobody heard.

Delta's stream tells a settlement seconds after its time (`papertape.daemon.feeds.delta.funding`), ccxt's streams tell
none. What was not told by the time that a later candle is there (or the daemon was down or cut off, or the last estimate
was stale) is asked of the venue's history before that candle goes on. What the history does not know either is told as a
gap, and the series `funding` is not known from then on; nothing is guessed. So is a rate beyond what a file of rates may
have, wherever it comes from: what was charged live can be replayed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from papertape.daemon.feeds.protocol import Notice, NoticeKind, OnNotice
from papertape.engine.errors import DataError
from papertape.engine.events import Cause, Event, Funding, Halt, SeriesRows
from papertape.engine.jit import Rows
from papertape.engine.records import FUNDING_RATE, SERIES
from papertape.replay.importers.rates import LARGEST_RATE


class ChargedFunding(NamedTuple):
    """Funding that was charged to whoever held a position at `time_ms`; the rate is None when it is not known."""

    symbol: str
    time_ms: int
    rate_fraction: float | None
    price: float  # mark price; 0.0 when not known


class FundingHistory(Protocol):
    """
    A venue's history of settlements.

    `papertape.replay.sources.delta_rest.DeltaRest` and `papertape.daemon.feeds.ccxt.funding.CcxtFunding` have this shape.
    """

    async def funding(self, symbol: str, first_ms: int, last_ms: int, *, interval_s: int) -> Sequence[Any]:
        """Return settlements with their time in ms and their rate as a fraction, both ends included."""

    async def marks(self, symbol: str, first_ms: int, last_ms: int) -> Mapping[int, float]:
        """Return the mark prices at the beginning of each hour, both ends included, as far as they are known."""

    def is_due(self, symbol: str, time_ms: int) -> bool:
        """Return, after `funding` was asked, whether a symbol settled then: not to know its rate is a gap."""


class Perpetual(NamedTuple):
    """A symbol that settles: its number in the engine, and from when on its settlements are not in the journal."""

    number: int
    settled_ms: int | None  # of the newest that is; None: what comes after the first candle is new


class WithSettlements:
    """
    A feed of candles and halts with settlements between them.

    told         what the stream has told, filled by whoever hears it
    interval_s   how often a symbol may settle, as is known now
    """

    def __init__(
        self,
        feed: Any,
        told: "deque[ChargedFunding]",
        perpetuals: Mapping[str, Perpetual],
        history: FundingHistory,
        base_ms: int,
        interval_s: Callable[[str], int],
        on_notice: OnNotice,
        now_ms: Callable[[], int],
    ) -> None:
        self._feed, self._told, self._history, self._base_ms = feed, told, history, base_ms
        self._perpetuals, self._interval_s = dict(perpetuals), interval_s
        self._on_notice, self._now_ms = on_notice, now_ms
        self._settled_ms: dict[str, int | None] = {
            symbol: each.settled_ms for symbol, each in perpetuals.items()
        }
        self._heard: dict[tuple[str, int], ChargedFunding] = {}
        self._closes: dict[int, float] = {}  # newest, by number of the symbol
        self._gone: set[int] = set()  # numbers of symbols that settle no more: nothing is held there

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield candles, cut where a settlement lies between them, and everything else as it comes."""
        async for event in self._feed:
            if not isinstance(event, np.ndarray):
                if isinstance(event, Halt) and event.cause is Cause.GONE:
                    (self._gone.add if event.is_on else self._gone.discard)(event.symbol)
                yield event
                continue
            closes = event["open_ms"] + self._base_ms
            done = 0
            for settlement in await self._due(int(event["open_ms"][0]), int(closes[-1])):
                cut = int(np.searchsorted(closes, settlement.time_ms, "right"))
                if cut > done:
                    self._note(event[done:cut])
                    yield event[done:cut]
                done = max(cut, done)
                yield self._event(settlement)
            self._note(event[done:])
            yield event[done:]

    def _note(self, candles: Rows) -> None:
        for row in candles[-len(set(candles["symbol"].tolist())) :]:
            self._closes[int(row["symbol"])] = float(row["close"])

    async def _due(self, first_open_ms: int, last_close_ms: int) -> list[ChargedFunding]:
        """Return the settlements before the last close that are not out yet, in order."""
        while self._told:
            heard = self._believed(self._told.popleft())
            if heard.symbol in self._perpetuals:
                self._heard[heard.symbol, heard.time_ms] = heard
        due: dict[str, list[int]] = {}
        for symbol, settled_ms in self._settled_ms.items():
            done_ms = first_open_ms if settled_ms is None else settled_ms
            times = self._times(symbol, done_ms, last_close_ms)
            self._settled_ms[symbol] = max([done_ms, *times])
            if self._perpetuals[symbol].number not in self._gone:
                due[symbol] = times
        answers = await asyncio.gather(*(self._answered(*each) for each in due.items()))
        found = [settlement for one in answers for settlement in one]
        return sorted(found, key=lambda each: (each.time_ms, each.symbol))

    def _times(self, symbol: str, done_ms: int, last_close_ms: int) -> list[int]:
        """Return when a symbol may have settled since what is out, before the last close, in order."""
        interval_ms = max(self._interval_s(symbol), 60) * 1000
        first_ms = (done_ms // interval_ms + 1) * interval_ms
        times = set(range(first_ms, last_close_ms, interval_ms))
        times |= {t for s, t in self._heard if s == symbol and done_ms < t < last_close_ms}
        for key in [key for key in self._heard if key[0] == symbol and key[1] <= done_ms]:
            del self._heard[key]
        return sorted(times)

    async def _answered(self, symbol: str, times: list[int]) -> list[ChargedFunding]:
        """Return what was told of these times, and of the others what the history says."""
        heard_of = {t: self._heard.pop((symbol, t), None) for t in times}
        missed = [t for t, heard in heard_of.items() if heard is None or heard.rate_fraction is None]
        asked = await self._ask(symbol, missed) if missed else {}
        answers = [asked.get(t, heard) for t, heard in heard_of.items()]
        return [answer for answer in answers if answer is not None]

    async def _ask(self, symbol: str, times: list[int]) -> dict[int, ChargedFunding]:
        """Return what the history says of settlements that nobody told, unknown where it should know and does not."""
        known: dict[int, ChargedFunding] = {}
        interval_s = max(self._interval_s(symbol), 60)
        try:
            rates = await self._history.funding(symbol, times[0], times[-1], interval_s=interval_s)
            marks = await self._history.marks(symbol, times[0], times[-1]) if rates else {}
            for rate in rates:
                if rate.time_ms in times:
                    price = marks.get(rate.time_ms, 0.0)
                    charged = ChargedFunding(symbol, rate.time_ms, rate.rate, price)
                    known[rate.time_ms] = self._believed(charged)
        except DataError as error:
            self._tell(symbol, f"funding history: {error}")
        for t in times:
            if t not in known and self._history.is_due(symbol, t):
                known[t] = ChargedFunding(symbol, t, None, 0.0)
                self._tell(symbol, f"the funding rate of {t} ms is not known; nothing is charged")
        return known

    def _believed(self, settlement: ChargedFunding) -> ChargedFunding:
        """Return a settlement with its rate not known where it is one that no file of rates may have; that is told."""
        symbol, time_ms, rate, _ = settlement
        if rate is None or abs(rate) <= LARGEST_RATE:
            return settlement
        self._tell(
            symbol, f"the funding rate of {time_ms} ms, {rate:g}, is beyond {LARGEST_RATE:g}; it is not taken"
        )
        return settlement._replace(rate_fraction=None)

    def _event(self, settlement: ChargedFunding) -> Event:
        """Return a settlement as the engine takes it; of an unknown rate only that it is not known."""
        index, time_ms = self._perpetuals[settlement.symbol].number, settlement.time_ms
        rate = settlement.rate_fraction
        price = settlement.price if settlement.price > 0.0 else self._closes.get(index, 0.0)
        if rate is not None and price > 0.0:
            return Funding(time_ms, index, rate, price)
        row = np.zeros(1, SERIES)
        row["known_ms"], row["symbol"], row["kind"] = time_ms + 1, index, FUNDING_RATE
        for name in ("value", "open", "high", "low"):
            row[name] = np.nan
        return SeriesRows(row)

    def _tell(self, symbol: str, detail: str) -> None:
        self._on_notice(Notice(NoticeKind.GAP, self._now_ms(), symbol, detail=detail))
