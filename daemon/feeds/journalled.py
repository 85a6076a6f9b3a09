"""
JournalledFeed: between the world and the engine loop; nothing gets past it that is not on the disk.

It takes complete instants from a live feed, and commands, models and settlements from whoever offers them, in the
order in which they arrive; what has times of its own (`papertape.daemon.feeds.candle_schedule`) comes between two instants at its time. Each
is checked, committed, and only then yielded to `papertape.engine.loop.run`, which is the loop of replay too. The engine has taken
event n when the loop asks for event n + 1.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.daemon.feeds.candle_schedule import Calendar
from papertape.daemon.feeds.protocol import Notice, NoticeKind, OnNotice
from papertape.daemon.journal.codec import encode
from papertape.daemon.journal.journal import Journal, Work
from papertape.daemon.journal.tables import Late, write_report
from papertape.daemon.journal.writer import Writer
from papertape.engine.check import refuse_bad
from papertape.engine.core import Engine
from papertape.engine.errors import DataError, InvariantError
from papertape.engine.events import Action, Command, Event, Feed, Halt
from papertape.engine.jit import Rows
from papertape.engine.report import Report

_DURING_WARM_UP: Final = (Action.FLATTEN, Action.SCALE)  # commands that do not end it
_QUEUE_LENGTH: Final = 8  # batches and offers that wait; whoever brings more waits too


class _Offer(NamedTuple):
    """An event and who wants to hear that the engine has taken it; `beside` is done in its transaction."""

    event: Event
    taken: "asyncio.Future[int]"
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
            while (item := await self._queue.get()) is not None:
                if self._is_stopping:
                    _refuse(item)
                    break
                if isinstance(item, _Offer):
                    async for event in self._offered(item):
                        yield event
                elif isinstance(item, np.ndarray):
                    async for event in self._timed(item):
                        yield event
                elif isinstance(item, Halt) and not self._engine.would_change(item):
                    continue  # the account stands so already, perhaps since before a restart
                elif self._refused(item) is None:  # a settlement or halt that the venue announced
                    await self._accept(item)
                    yield item
        finally:
            self._refuse_waiting()

    async def _offered(self, offer: _Offer) -> AsyncIterator[Event]:
        """Yield an offered event and tell its bringer when the engine has taken it, or why it may not."""
        refusal = rehearse(self._engine, offer.event)
        if refusal is None:
            await self._accept(offer.event, offer.beside)
            yield offer.event
        if offer.taken.done():
            return  # nobody waits any more
        if refusal is None:
            offer.taken.set_result(self.sequence)
        else:
            offer.taken.set_exception(refusal)

    async def _timed(self, candles: Rows) -> AsyncIterator[Event]:
        """Yield candles that were checked, and what the calendar has at its times before, between and after them."""
        for event in self._checked(candles):
            if isinstance(event, Command):
                await self._accept(event)
                yield event
                continue
            async for each in self._parted(event):
                yield each

    async def _parted(self, candles: Rows) -> AsyncIterator[Event]:
        """Yield candles up to the calendar's next time, what it has then, and so on to their end."""
        closes = candles["open_ms"] + self._engine.base_ms
        reached_ms, done = self._reached_ms(int(candles["open_ms"][0])), 0
        while not self._is_stopping:
            async for between in self._interlude(reached_ms):
                yield between
            if done == len(candles) or self._is_stopping:
                return
            due = self.calendar.next_ms(reached_ms)
            end = len(candles) if due is None else int(np.searchsorted(closes, due, "right"))
            end = max(
                end, done + len(self._engine.symbols)
            )  # a time off the grid lies before a candle
            await self._accept(candles[done:end])
            yield candles[done:end]
            done, reached_ms = end, int(closes[end - 1])

    def _reached_ms(self, open_ms: int) -> int:
        """Return the newest close, before the first candle its open."""
        engine = self._engine
        if not engine.account[0].instants:
            return open_ms
        return int(engine.last_open_ms[0]) + engine.base_ms

    async def _interlude(self, reached_ms: int) -> AsyncIterator[Event]:
        """Yield what the calendar has before the next candle closes."""
        following_ms = reached_ms + self._engine.base_ms
        while (due := self.calendar.next_ms(reached_ms)) is not None and due < following_ms:
            if self._is_stopping:
                return
            async for act in self.calendar.at(due, may_wait=self._may_wait(reached_ms)):
                await self._accept(act.event, act.beside)
                yield act.event

    def _may_wait(self, reached_ms: int) -> bool:
        """Return whether nothing is lost by waiting after a close: the next candle is too late to act on anyway."""
        following_ms = reached_ms + self._engine.base_ms
        return self._is_virtual or following_ms < self._now_ms() - self._limit_ms

    def _refused(self, event: Event) -> DataError | None:
        """Return why the engine would refuse what the venue sent beside candles; it is told and left out."""
        refusal = rehearse(self._engine, event)
        if refusal is not None:
            self._on_notice(Notice(NoticeKind.REJECTED, self._now_ms(), detail=str(refusal)))
        return refusal

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
            yield Command(Action.RESUME)
            yield candles[history:]

    async def _accept(self, event: Event, beside: Work[Any] | None = None) -> None:
        """Put an event on the disk, with what belongs to it."""
        self.accepted_s = time.perf_counter()
        received_ms, encoded = self._now_ms(), encode(event)
        # An operator who pauses during the warm-up means it to last.
        ends = (
            self.is_warming and isinstance(event, Command) and event.action not in _DURING_WARM_UP
        )

        def work(journal: Journal) -> int:
            sequence = journal.add_input(encoded, received_ms)
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


def _refuse(item: Rows | Event | _Offer | None) -> None:
    if isinstance(item, _Offer) and not item.taken.done():
        item.taken.set_exception(DataError("the daemon is stopping; it was not accepted"))


class Tables:
    """
    The sink that writes what every event led to; its transaction follows the event's own.

    stepped  sequence of the newest event that the engine has taken
    """

    def __init__(self, feed: JournalledFeed, engine: Engine, writer: Writer, limit_ms: int) -> None:
        self._feed, self._symbols, self._writer = feed, engine.symbols, writer
        self._limit_ms = limit_ms
        self.stepped = feed.sequence

    def __call__(self, report: Report) -> None:
        """Take in one report."""
        feed = self._feed
        self.stepped = sequence = feed.sequence
        late = None if feed.is_warming else Late(feed.received_ms, self._limit_ms)
        symbols = self._symbols

        def work(journal: Journal) -> None:
            write_report(journal.connection, report, sequence, symbols, late)

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
