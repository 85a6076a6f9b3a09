"""
Retraining while trading: when an attempt is due, who makes it, and what becomes of its model.

    due ──── training, beside the trading ──── effective: the model takes over, if it was promoted

Both times are closes. An attempt is in the journal before it is made and its end is in the transaction of the model that
it brings, so a kill at any instant leaves it pending, and it is made again from the same rows. When the model's time has
come and training is not over, nobody waits while candles come in time: the model takes over as soon as it is there. Where
nothing is lost by waiting (an outage is being caught up with, or time is the local exchange's) it takes over at its time,
so an outage over a retrain ends in the state that there would have been without it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from papertape.daemon.feeds.candle_schedule import Act
from papertape.daemon.feeds.journalled import JournalledFeed, rehearse
from papertape.daemon.journal import Journal, Writer
from papertape.daemon.journal.attempts import PENDING, AttemptRow, begin_attempt, end_attempt
from papertape.daemon.journal.crash_points import passes
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.learning.trainer import Trainer, TrainingRequest
from papertape.engine.errors import DataError
from papertape.engine.events import NewModel
from papertape.replay.config.cadence import Cadence
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.policy import Shown

if TYPE_CHECKING:
    from papertape.engine.core import Engine

SCHEDULE: Final = "schedule"
CATCH_UP: Final = "catch_up"
MANUAL: Final = "manual"
DRIFT: Final = "drift"
_NO_MODEL: Final = -1  # what the store is to be told of a demotion


class News(NamedTuple):
    """
    What is told of an attempt: when it begins, and when it has ended.

    number   in the journal; version: of its model in the store, 0 for none; times are the machine's, ms
    attempt  None while it runs
    """

    number: int
    trigger: str
    started_ms: int
    attempt: Attempt | None = None
    version: int = 0
    ended_ms: int = 0


@dataclass(slots=True)
class _Pending:
    """An attempt whose end is not known; `is_overdue`: its model takes over as soon as it is there."""

    request: TrainingRequest
    started_ms: int
    done: "asyncio.Future[Attempt]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    is_overdue: bool = False


class Retraining:
    """
    The retraining of one account: an interlude of its calendar, and a service that does the work.

    cadence  due times; None: only on request
    delay_ms from the due time until a model takes over
    waiting  entered while the feed waits for a model: holds up a clock that is not the machine's
    on_trouble  called with what went wrong, in a sentence, where nothing but the store is affected
    """

    def __init__(
        self,
        journal: Journal,
        feed: JournalledFeed,
        engine: "Engine",
        writer: Writer,
        store: ModelStore,
        trainer: Trainer,
        cadence: Cadence | None,
        delay_ms: int,
        now_ms: Callable[[], int],
        on_news: Callable[[News], None] = lambda _: None,
        on_trouble: Callable[[str], None] = lambda _: None,
        waiting: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._feed, self._engine, self._writer = feed, engine, writer
        self._store, self._trainer = store, trainer
        self._cadence, self._delay_ms = cadence, delay_ms
        self._now_ms, self._waiting = now_ms, waiting
        self._listeners, self._on_trouble = [on_news], on_trouble
        self._stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue: asyncio.Queue[_Pending] = asyncio.Queue(1)
        self._pending: _Pending | None = None
        self._asked: str | None = None  # trigger of an attempt that is due at the next opportunity
        self._chosen: NewModel | None = None  # what the store has as champion and the engine not
        self._schedule_ms: int | None = None
        self._last: Shown | None = None
        self._recall(journal)

    def _recall(self, journal: Journal) -> None:
        """Take up what the journal knows: a pending attempt, the schedule, and a champion promoted by hand."""
        newest = AttemptRow.newest(journal)
        self._last = self._newest_trained(journal)
        if newest is not None and newest.outcome == PENDING:
            self._enqueue(_Pending(self._request_of(newest), newest.started_ms))
        anchor_ms = newest.due_ms if newest else _first_open(journal)
        if anchor_ms is not None:
            self._schedule_ms = self._after(anchor_ms)
        # After history was fetched there is something to learn from at once.
        is_first = newest is None and journal.meta("first_live") != "1"
        self._is_first = is_first and self._cadence is not None
        self._match_store(journal)

    def _newest_trained(self, journal: Journal) -> Shown | None:
        """Return the newest model that was trained, if the store still has it."""
        row = AttemptRow.newest(journal, "version > 0")
        if row is None:
            return None
        try:
            data = self._store.read(row.version)
        except DataError as error:
            self._on_trouble(f"the rows since the newest model are not judged: {error}")
            return None
        return Shown(row.due_ms, data, json.loads(row.gate).get("recipe", {}))

    def _match_store(self, journal: Journal) -> None:
        """Finish a promotion that a kill cut off, and let in what an operator has promoted while the daemon was down."""
        known, promoting = (int(journal.meta(key) or 0) for key in ("champion", "promoting"))
        if promoting:
            if promoting == _NO_MODEL and self._store.champion():
                self._store.retire()
            elif promoting != _NO_MODEL and self._store.champion() != promoting:
                self._store.promote(promoting)
            self._writer.post(_is_promoted)
        champion = self._store.champion_event()
        if champion is not None and champion.version != known:
            self._chosen = champion

    def _after(self, time_ms: int) -> int | None:
        return self._cadence.after(time_ms) if self._cadence is not None else None

    def tell(self, listener: Callable[[News], None]) -> None:
        """Tell somebody else of every attempt from now on."""
        self._listeners.append(listener)

    def _on_news(self, news: News) -> None:
        for listener in self._listeners:
            listener(news)

    def ask(self, trigger: str) -> str:
        """
        Let an attempt begin before the next candle, and say when.

        Raises DataError while another one is under way, or before there is a candle.
        """
        if self._pending is not None or self._asked is not None:
            raise DataError("an attempt is under way; ask again when it is over")
        if self._feed.is_warming or not self._engine.account[0].instants:
            raise DataError("history is still coming in; ask again when the daemon is ready")
        self._asked = trigger
        return "it begins before the next candle"

    def read(self, version: int) -> bytes:
        """Return the artefact of a version of the store; raises DataError when it is not there."""
        return self._store.read(version)

    def ask_soon(self, trigger: str) -> bool:
        """Let an attempt begin before the next candle, unless one is under way or about to be; return whether it does."""
        if self._pending is not None or self._asked is not None:
            return False
        self._asked = trigger
        return True

    def stop(self) -> None:
        """End a wait."""
        if not self._stopping.done():
            self._stopping.set_result(None)

    def next_ms(self, reached_ms: int) -> int | None:
        """Return the next close at which something is due."""
        if self._chosen is not None:
            return reached_ms
        if self._feed.is_warming:
            return None
        if self._is_first or self._asked is not None:
            return reached_ms
        if self._schedule_ms is None:
            self._schedule_ms = self._after(reached_ms)
        times = [self._schedule_ms] if self._schedule_ms is not None else []
        if self._pending is not None and not self._pending.is_overdue:
            times.append(self._pending.request.effective_ms)
        return min(times, default=None)

    async def at(self, time_ms: int, *, may_wait: bool) -> AsyncIterator[Act]:
        """Let a model take over whose time has come, and begin what is due."""
        chosen, self._chosen = self._chosen, None
        if chosen is not None and (refusal := rehearse(self._engine, chosen)) is None:
            yield Act(chosen, partial(_is_champion, chosen.version))
        elif chosen is not None:
            self._on_trouble(f"the store's champion is not used: {refusal}")
        pending = self._pending
        if pending is not None and pending.request.effective_ms <= time_ms:
            async for act in self._in_time(pending, may_wait=may_wait):
                yield act
        if not self._feed.is_warming:
            await self._begin_what_is_due(time_ms)

    async def _in_time(self, pending: _Pending, *, may_wait: bool) -> AsyncIterator[Act]:
        """Wait for an attempt where that costs nothing; otherwise let it come when it is over."""
        if may_wait and not pending.done.done():
            with self._waiting():
                either: list[asyncio.Future[Any]] = [pending.done, self._stopping]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if pending.done.done():
            async for act in self._ended(pending):
                yield act
        else:
            pending.is_overdue = True

    async def _begin_what_is_due(self, time_ms: int) -> None:
        """Begin an attempt if one is due; while another one is under way it is passed over."""
        (trigger, self._asked), due_ms = (self._asked, None), time_ms
        if self._is_first:
            trigger, self._is_first = CATCH_UP, False
            self._schedule_ms = self._after(time_ms)
        while self._schedule_ms is not None and self._schedule_ms <= time_ms:
            # Those that were missed altogether are made up for by one.
            trigger = SCHEDULE if self._schedule_ms == time_ms else CATCH_UP
            self._schedule_ms = self._after(self._schedule_ms)
        if trigger is None or self._pending is not None:
            return
        effective_ms, started_ms = due_ms + self._delay_ms, self._now_ms()
        version = int(self._engine.account[0].model_version)
        begin = begin_attempt(due_ms, effective_ms, trigger, version, started_ms)
        number = await self._writer.submit(begin)
        passes("attempt.begun")
        request = TrainingRequest(
            number, due_ms, effective_ms, trigger, self._champion(), version, self._last
        )
        self._enqueue(_Pending(request, started_ms))

    def _champion(self) -> bytes:
        """Return the model in force, empty for none."""
        return self._engine.model.save()["model_artefact"].tobytes()

    def _request_of(self, row: AttemptRow) -> TrainingRequest:
        """Return what a trainer is asked once more: the model in force is still the one to beat."""
        version = int(self._engine.account[0].model_version)
        return TrainingRequest(
            row.id, row.due_ms, row.effective_ms, row.cause, self._champion(), version, self._last
        )

    def _enqueue(self, pending: _Pending) -> None:
        self._pending = pending
        self._queue.put_nowait(pending)
        self._on_news(News(pending.request.number, pending.request.trigger, pending.started_ms))

    async def run(self) -> None:
        """Have attempts made, one at a time, until cancelled: a service of the daemon."""
        while True:
            pending = await self._queue.get()
            pending.done.set_result(await self._trainer.attempt(pending.request))
            if pending.is_overdue:
                await self._offer(pending)

    async def _offer(self, pending: _Pending) -> None:
        """Bring in a model whose time has passed, between whatever two instants come next."""
        try:
            async for act in self._ended(pending):
                await self._feed.offer(act.event, act.beside)
        except DataError:
            # The daemon is stopping: the attempt stays pending and is taken up at the next start.
            return

    async def _ended(self, pending: _Pending) -> AsyncIterator[Act]:
        """Write down how an attempt ended, with the model that it brings, if any."""
        attempt, request = pending.done.result(), pending.request
        attempt, version, event = await self._stored(attempt)
        ended_ms = self._now_ms()
        end = end_attempt(request.number, attempt, version, ended_ms)
        if event is None:
            await self._writer.submit(end)
        else:
            in_force = event.version

            def work(journal: Journal) -> None:
                end(journal)
                _is_champion(in_force, journal)
                journal.set_meta(promoting=in_force or _NO_MODEL)

            yield Act(event, work)
            await self._promote(in_force)
        self._pending = None
        if version:
            self._last = Shown.of(attempt)
        news = News(request.number, request.trigger, pending.started_ms, attempt, version, ended_ms)
        self._on_news(news)

    async def _stored(self, attempt: Attempt) -> tuple[Attempt, int, NewModel | None]:
        """Keep an attempt's model; return the attempt, its model's version, and the event when it takes over."""
        if not attempt.artefact:
            return attempt, 0, None
        version = 0
        try:
            version = await asyncio.to_thread(self._store.add_once, attempt.artefact)
            passes("model.stored")
            if attempt.is_demoting:
                return attempt, version, NewModel(0, b"")
            if not attempt.is_promoted:
                return attempt, version, None
            event = NewModel(version, await asyncio.to_thread(self._store.read, version))
            refusal = rehearse(self._engine, event)
            if refusal is not None:
                raise refusal
        except DataError as error:
            return replace(attempt, outcome="failed", reason=str(error)), version, None
        return attempt, version, event

    async def _promote(self, version: int) -> None:
        """Tell the store which model is in force, 0 for none; when it cannot be written to, the next start does it."""
        try:
            if version:
                await asyncio.to_thread(self._store.promote, version)
            else:
                await asyncio.to_thread(self._store.retire)
            passes("model.promoted")
        except DataError as error:
            self._on_trouble(str(error))
        else:
            self._writer.post(_is_promoted)


def _is_champion(version: int, journal: Journal) -> None:
    """Note which champion of the store the engine was given: another one there is an operator's choice."""
    journal.set_meta(champion=version)


def _is_promoted(journal: Journal) -> None:
    """Note that the store knows of the newest promotion."""
    journal.set_meta(promoting=0)


def _first_open(journal: Journal) -> int | None:
    """Return the open of the first candle, or, when that is archived, the close of the first mark that was kept."""
    found = None
    if journal.first_sequence == 1:
        found = journal.one("SELECT min(first_ms) FROM inputs WHERE kind = 'candles'")[0]
    if found is None:
        found = journal.one("SELECT min(time_ms) FROM equity")[0]
    return None if found is None else int(found)


__all__ = ["CATCH_UP", "DRIFT", "MANUAL", "SCHEDULE", "News", "Retraining"]
