"""A CcxtFeed that follows the fake exchange for some minutes of virtual time, and the truth to hold it against."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from papertape.daemon.feeds.ccxt.feed import CcxtFeed
from papertape.daemon.feeds.halts import WithHalts
from papertape.daemon.feeds.protocol import FeedStart, FeedStats, Notice, NoticeKind
from papertape.engine.events import Halt
from papertape.replay.config.live import Live
from papertape.replay.runtime.clock import Clock
from tests.support.fake_ccxt import MINUTE_MS, FakeExchange, candle_of
from tests.support.loopback import in_virtual_time

START_MS = 1_795_428_931_000  # 2026-11-23 10:15:31 UTC
OPEN_MS = START_MS // MINUTE_MS * MINUTE_MS
SYMBOLS = ["BTC/USDT", "ETH/USDT"]
Script = Callable[[FakeExchange, Clock], Awaitable[None]]


class Run:
    """What a feed did in a while."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.flags: list[int] = []
        self.halts: list[tuple[int, Halt]] = []  # each with the open time of the instant after it
        self.notices: list[Notice] = []
        self.stats = FeedStats()
        self.venue: Any = None

    def kinds(self) -> set[NoticeKind]:
        return {notice.kind for notice in self.notices}

    def told(self, kind: NoticeKind) -> list[Notice]:
        return [notice for notice in self.notices if notice.kind is kind]


async def read(run: Run, feed: CcxtFeed, clock: Clock, minutes: float) -> None:
    """Read a feed for so many minutes of its clock."""
    try:
        events = aiter(WithHalts(feed, feed.halts))
        async with clock.timeout(minutes * 60.0), aclosing(events) as candles:
            told: list[Halt] = []
            async for rows in candles:
                if isinstance(rows, Halt):
                    told.append(rows)
                    continue
                run.halts += [(int(rows["open_ms"][0]), halt) for halt in told]
                told.clear()
                names = ["open_ms", "symbol", "open", "high", "low", "close", "volume"]
                run.rows += rows[names].tolist()
                run.flags += rows["flag_bits"].tolist()
    except TimeoutError:
        pass


def follow(
    minutes: float,
    script: Script | None = None,
    *,
    symbols: list[str] | None = None,
    has_stream: bool = True,
    after_ms: int | None = None,
    closes: Sequence[float] = (),
    dropped: Sequence[str] = (),
    prepare: Callable[[FakeExchange], None] = lambda venue: None,
    **settings: Any,
) -> Run:
    """Follow a fake venue for some minutes while a script changes it."""
    run = Run()
    names = symbols or SYMBOLS

    async def main() -> None:
        clock = Clock(START_MS)
        run.venue = FakeExchange(clock, names, has_stream=has_stream)
        prepare(run.venue)
        live = Live(venue="binance", **{"history_bars": 3, **settings})
        feed = CcxtFeed(
            live,
            FeedStart(tuple(names), after_ms, run.notices.append, run.stats, tuple(closes), tuple(dropped)),
            clock,
            seed=1,
            exchange=run.venue,
        )
        async with asyncio.TaskGroup() as tasks:
            scripted = tasks.create_task(script(run.venue, clock)) if script else None
            await read(run, feed, clock, minutes)
            if scripted is not None:
                scripted.cancel()

    in_virtual_time(main())
    return run


def truth(first_ms: int, last_ms: int, symbols: list[str] | None = None) -> list[tuple[Any, ...]]:
    """Return the true candles in the order of a feed."""
    return [
        (t, index, *candle_of(symbol, t)[1:])
        for t in range(first_ms, last_ms + 1, MINUTE_MS)
        for index, symbol in enumerate(symbols or SYMBOLS)
    ]


def last_ms(minutes: float) -> int:
    """Return the open time of the last candle that must have come after so many minutes."""
    end_ms = START_MS + round(minutes * MINUTE_MS) - 5_000
    return end_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS
