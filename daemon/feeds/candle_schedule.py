"""
What is done between two instants at set times of the candles' clock: a retrain, a look at drift.

The clock is the close of the newest instant, so what is done, and before which candle, is the same live, after an outage,
and at any speed of the local exchange. The journalled feed asks before every batch and cuts it where something is due.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, Protocol

from papertape.daemon.journal import Work
from papertape.engine.events import Command, NewModel


class Act(NamedTuple):
    """
    An event that enters the engine, and what belongs to it.

    beside  done in the transaction that accepts the event
    """

    event: Command | NewModel
    beside: Work[Any]


class Interlude(Protocol):
    """Something that has times of its own."""

    def next_ms(self, reached_ms: int) -> int | None:
        """
        Return the next close at which it wants to be asked; None: not for now.

        reached_ms  the newest close that the engine has taken; before the first candle, its open
        """

    def at(self, time_ms: int, *, may_wait: bool) -> AsyncIterator[Act]:
        """
        Do what is due by this close, and yield what enters the engine; each act is in force when the next is asked for.

        may_wait  nothing is lost by waiting: no decision that could still be acted on comes next

        Afterwards `next_ms` is another, or `stop` was called.
        """

    def stop(self) -> None:
        """End a wait: the daemon is stopping."""


class Calendar:
    """Several of them, asked in order at each time."""

    def __init__(self, parts: Sequence[Interlude]) -> None:
        self._parts = parts
        self._is_stopping = False

    def next_ms(self, reached_ms: int) -> int | None:
        """Return the earliest time of all."""
        times = [part.next_ms(reached_ms) for part in self._parts]
        return min((time_ms for time_ms in times if time_ms is not None), default=None)

    async def at(self, time_ms: int, *, may_wait: bool) -> AsyncIterator[Act]:
        """Ask those whose time has come, each until it has nothing more."""
        for part in self._parts:
            while (due := part.next_ms(time_ms)) is not None and due <= time_ms:
                if self._is_stopping:
                    return
                async for act in part.at(time_ms, may_wait=may_wait):
                    yield act

    def stop(self) -> None:
        """End every wait."""
        self._is_stopping = True
        for part in self._parts:
            part.stop()


__all__ = ["Act", "Calendar", "Interlude"]
