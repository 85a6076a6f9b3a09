"""A whole daemon at the fake exchange of ccxt, for some minutes of virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import papertape.daemon.feeds.ccxt.feed
import papertape.daemon.venues
from papertape.daemon.app import serve
from papertape.daemon.chapters.opening import Opening
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.venues import opener
from papertape.replay.runtime.clock import Clock
from tests.support.fake_ccxt import FakeExchange
from tests.support.loopback import in_virtual_time

Script = Callable[[FakeExchange, Clock], Awaitable[None]]


async def calm(venue: FakeExchange, clock: Clock) -> None:
    """Change nothing."""


def lived(
    about: Identity,
    start_ms: int,
    minutes: float,
    script: Script = calm,
    *,
    kind: type[FakeExchange] = FakeExchange,
    chapter: Opening | None = None,
) -> RunningDaemon:
    """Run a daemon for so many minutes at a venue that a script changes, and return it."""

    async def main() -> RunningDaemon:
        clock = Clock(start_ms)
        venue = kind(clock, list(about.symbols))

        async def stop(daemon: RunningDaemon) -> None:
            await clock.sleep(minutes * 60.0)
            daemon.stop()
            await asyncio.Event().wait()

        hooks = Hooks()
        hooks.services = (*hooks.services, stop)
        scripted = asyncio.create_task(script(venue, clock))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(papertape.daemon.venues, "WallClock", lambda: clock)
            patch.setattr(papertape.daemon.feeds.ccxt.feed, "make_exchange", lambda *_, **__: venue)
            try:
                return await serve(about, opener(about), hooks, is_virtual=True, chapter=chapter)
            finally:
                scripted.cancel()

    return in_virtual_time(main())
