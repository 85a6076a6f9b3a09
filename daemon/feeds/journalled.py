"""
JournalledFeed: between the world and the engine loop; nothing gets past it that is not on the disk.

It takes complete instants from a live feed, and commands, models and settlements from whoever offers them, in the
order in which they arrive; what has times of its own (`papertape.daemon.feeds.candle_schedule`) comes between two instants at its time. Each
is checked, committed, and only then yielded to `papertape.engine.loop.run`, which is the loop of replay too. The engine has taken
event n when the loop asks for event n + 1.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.daemon.feeds.candle_schedule import Act, Calendar
from papertape.daemon.feeds.protocol import Notice, NoticeKind, OnNotice
from papertape.daemon.journal.closes import CloseKeeper
from papertape.daemon.journal.codec import encode
from papertape.daemon.journal.journal import Journal, Work
from papertape.daemon.journal.tables import Late, write_report
from papertape.daemon.journal.writer import Writer
from papertape.engine.check import refuse_bad
from papertape.engine.core import Engine
from papertape.engine.errors import DataError, InvariantError
from papertape.engine.events import OF_PAUSES, Action, Command, Event, Feed, Halt, MarketChange, SeriesRows
from papertape.engine.jit import Rows
from papertape.engine.report import Report

_DURING_WARM_UP: Final = (Action.FLATTEN, Action.SCALE)  # commands that do not end it
_QUEUE_LENGTH: Final = 8  # batches and offers that wait; whoever brings more waits too


class _Offer(NamedTuple):
    """An event and who wants to hear that the engine has taken it; `beside` is done in its transaction."""

    event: Event
    taken: "asyncio.Future[int] | None" = None
    beside: Work[Any] | None = None


class JournalledFeed:
    """
    A `papertape.engine.events.Feed` of journalled events.

    sequence     of the newest event that was yielded
    received_ms  when it was accepted, by the feed's clock
    accepted_s, committed_s  the same and when it was on the disk, by the machine's performance counter
    is_warming   history from before the daemon's first start is coming in, and entries are paused
    calendar     what is done at times of the candles' clock
    """

    def __init__(
        self,
        live: Feed,
        engine: Engine,
        writer: Writer,
        journal: Journal,
        now_ms: Callable[[], int],
        limit_ms: int,
        on_notice: OnNotice,
        *,
        is_virtual: bool = False,
    ) -> None:
        """Make it; is_virtual: time waits for whatever is done in it."""
        self._is_virtual = is_virtual
        self._live, self._engine, self._writer = live, engine, writer
        self._now_ms, self._limit_ms, self._on_notice = now_ms, limit_ms, on_notice
        self._queue: asyncio.Queue[Rows | Event | _Offer | None] = asyncio.Queue(_QUEUE_LENGTH)
        self._parts: deque[Rows | Command] = deque()  # what is left of a batch
        self._acts: AsyncIterator[Act] | None = None  # what the calendar has begun
        self._is_stopping = False
        self.sequence = journal.sequence
        self.received_ms = 0
        self.accepted_s = self.committed_s = 0.0
        self.is_warming = journal.meta("first_live") is None
        self.calendar = Calendar([])

    async def pump(self) -> None:
        """Bring the live feed's events until it ends."""
        async for event in self._live:
            await self._queue.put(event)
        await self._queue.put(None)

    async def offer(self, event: Event, beside: Work[Any] | None = None) -> int:
        """
        Let an event in between two instants; return its sequence once the engine has taken it.

        beside  done in the transaction that accepts it

        Raises DataError when the engine would refuse it, or the daemon is stopping; nothing was journalled then.
        """
        taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._is_stopping:
            raise DataError("the daemon is stopping; nothing is accepted any more")
        await self._queue.put(_Offer(event, taken, beside))
        return await taken

    def stop(self) -> None:
        """End after the event that the engine is taking; what waits is fetched or offered again next time."""
        self._is_stopping = True
        self.calendar.stop()
        if self._queue.empty():
            self._queue.put_nowait(None)  # wake the iterator

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield events, each committed before it is yielded."""
        try:
            while (offer := await self._next()) is not None:
                await self._accept(offer.event, offer.beside)
                yield offer.event
                if offer.taken is not None and not offer.taken.done():
                    offer.taken.set_result(self.sequence)
        finally:
            self._refuse_waiting()

    async def _next(self) -> _Offer | None:
        """Return what enters the engine next, None when nothing more does: a calendar's begun work is always finished."""
        while True:
            if self._acts is not None:
                if (act := await anext(self._acts, None)) is not None:
                    return _Offer(act.event, beside=act.beside)
                self._acts = None
            elif self._is_stopping:
                return None
            elif self._parts:
                if (part := self._part(self._parts[0])) is not None:
                    return _Offer(part)
            elif (item := await self._queue.get()) is None or self._is_stopping:
                _refuse(item)
                return None
            elif isinstance(item, np.ndarray):
                self._parts.extend(self._checked(item))
            elif (offer := self._taken_in(item)) is not None:
                return offer

    def _part(self, first: Rows | Command) -> Rows | Command | None:
        """Return candles up to the calendar's next time, or a command; None: they are over, or the calendar comes first."""
        if isinstance(first, Command):
            return self._parts.popleft()
        base_ms, n = self._engine.base_ms, len(first)
        reached_ms = self._reached_ms(first)
        due = self.calendar.next_ms(reached_ms)
        if due is not None and due < reached_ms + base_ms:
            self._acts = self.calendar.at(due, may_wait=self._may_wait(reached_ms))
            return None
        if not n:
            self._parts.popleft()
            return None
        end = n if due is None else int(np.searchsorted(first["open_ms"] + base_ms, due, "right"))
        end = max(end, len(self._engine.symbols))  # a time off the grid lies before a candle
        self._parts[0] = first[end:]
        return first[:end]

    def _taken_in(self, item: Event | _Offer) -> _Offer | None:
        """Return what came beside candles, unless the engine would refuse it, or stands so already."""
        if isinstance(item, _Offer):
            refusal = rehearse(self._engine, item.event)
            if refusal is None:
                return item
            _refuse(item, refusal)
            return None
        try:
            return _Offer(item) if self._is_news(item) else None
        except DataError as refusal:
            self._on_notice(Notice(NoticeKind.REJECTED, self._now_ms(), detail=str(refusal)))
            return None

    def _is_news(self, event: Event) -> bool:
        """
        Return whether what the venue sent beside candles changes anything; raises DataError where the engine would refuse it.

        What comes often is asked for without a copy of the engine, which takes up to a tenth of a second.
        """
        engine = self._engine
        if isinstance(event, MarketChange):
            return engine.would_change(event)
        if isinstance(event, SeriesRows):
            engine.frames.known.refuse_bad(event.rows, engine.symbols)
            return True
        if isinstance(event, Halt) and not engine.would_change(event):
            return False
        if (refusal := rehearse(engine, event)) is not None:
            raise refusal
        return True

    def _reached_ms(self, rows: Rows) -> int:
        """Return the newest close, before the first candle its open."""
        engine = self._engine
        if not engine.account[0].instants:
            return int(rows["open_ms"][0])
        return int(engine.last_open_ms[0]) + engine.base_ms

    def _may_wait(self, reached_ms: int) -> bool:
        """Return whether nothing is lost by waiting after a close: the next candle is too late to act on anyway."""
        following_ms = reached_ms + self._engine.base_ms
        return self._is_virtual or following_ms < self._now_ms() - self._limit_ms

    def _checked(self, candles: Rows) -> Iterator[Rows | Command]:
        """Yield candles, and the command that ends the warm-up before the first that are in time."""
        engine = self._engine
        n = len(engine.symbols)
        try:
            if len(candles) % n:
                raise DataError(f"{len(candles)} candles are no whole instants of {n} symbols")
            refuse_bad(candles, 0, engine.symbols, int(engine.last_open_ms[0]))
        except DataError as error:
            raise InvariantError(f"the feed yielded what must not be traded on: {error}") from error
        if not self.is_warming:
            yield candles
            return
        closes = candles["open_ms"] + engine.base_ms
        history = int(np.count_nonzero(closes < self._now_ms() - self._limit_ms))
        if history:
            yield candles[:history]
        if history < len(candles):
            yield Command(Action.RESUME, OF_PAUSES)
            yield candles[history:]

    async def _accept(self, event: Event, beside: Work[Any] | None = None) -> None:
        """Put an event on the disk, with what belongs to it."""
        self.accepted_s = time.perf_counter()
        received_ms, encoded = self._now_ms(), encode(event)
        # An operator who pauses during the warm-up means it to last.
        ends = self.is_warming and isinstance(event, Command) and event.action not in _DURING_WARM_UP

        def work(journal: Journal) -> int:
            sequence = journal.add_input(encoded, received_ms)
            if isinstance(event, MarketChange):
                journal.tell_market(self._engine.symbols[event.symbol], event.figures)
            if ends:
                journal.set_meta(first_live=sequence)
            if beside is not None:
                beside(journal)
            return sequence

        self.sequence = await self._writer.submit(work)
        self.committed_s = time.perf_counter()
        self.received_ms = received_ms
        if ends:
            self.is_warming = False

    def _refuse_waiting(self) -> None:
        """Tell everybody who still waits that nothing more is accepted."""
        self._is_stopping = True
        while not self._queue.empty():
            _refuse(self._queue.get_nowait())


def _refuse(item: Rows | Event | _Offer | None, why: DataError | None = None) -> None:
    """Tell whoever waits why an event was not accepted."""
    if isinstance(item, _Offer) and item.taken is not None and not item.taken.done():
        item.taken.set_exception(why or DataError("the daemon is stopping; it was not accepted"))


class Tables:
    """
    The sink that writes what every event led to; its transaction follows the event's own.

    stepped  sequence of the newest event that the engine has taken
    """

    def __init__(
        self, feed: JournalledFeed, engine: Engine, writer: Writer, limit_ms: int, closes: CloseKeeper
    ) -> None:
        self._feed, self._symbols, self._writer = feed, engine.symbols, writer
        self._limit_ms, self._closes = limit_ms, closes
        self.stepped = feed.sequence

    def __call__(self, report: Report) -> None:
        """Take in one report."""
        feed = self._feed
        self.stepped = sequence = feed.sequence
        late = None if feed.is_warming else Late(feed.received_ms, self._limit_ms)
        symbols, seen, length_ms = (self._symbols, self._closes.take(report), self._closes.length_ms)

        def work(journal: Journal) -> None:
            write_report(journal.connection, report, sequence, symbols, late, seen, length_ms)

        self._writer.post(work)


def rehearse(engine: Engine, event: Event) -> DataError | None:
    """Return why an engine would refuse an event, None if it would take it, by asking a copy of it."""
    copy = Engine(engine.spec)
    copy.restore(engine.snapshot())
    try:
        copy.step(event)
    except DataError as error:
        return error
    return None
