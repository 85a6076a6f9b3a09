"""CcxtFeed over the library's own Binance classes and real sockets, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from papertape.daemon.feeds.ccxt.feed import CcxtFeed
from papertape.daemon.feeds.protocol import FeedStart, FeedStats, Notice
from papertape.replay.config.live import Live
from papertape.replay.runtime.clock import Clock
from tests.support.binance_server import MINUTE_MS, BinanceServer, bar_of
from tests.support.loopback import in_virtual_time, serving

START_MS = 1_795_428_931_000  # 2026-11-23 10:15:31 UTC
OPEN_MS = START_MS // MINUTE_MS * MINUTE_MS
SYMBOLS = ["BTCUSDT", "ETHUSDT"]
Script = Callable[[BinanceServer, Clock], Awaitable[None]]


def follow(minutes: float, script: Script) -> tuple[list[Any], FeedStats, BinanceServer]:
    rows: list[Any] = []
    stats = FeedStats()
    notices: list[Notice] = []

    async def main() -> BinanceServer:
        clock = Clock(START_MS)
        server = BinanceServer(clock, SYMBOLS)
        async with serving(server.handle) as url, asyncio.TaskGroup() as tasks:
            live = Live(venue="binance", rest_url=url, history_bars=2)
            feed = CcxtFeed(live, FeedStart(tuple(SYMBOLS), None, notices.append, stats), clock, seed=1)
            scripted = tasks.create_task(script(server, clock))
            try:
                async with clock.timeout(minutes * 60.0), aclosing(aiter(feed)) as candles:
                    async for batch in candles:
                        names = ["open_ms", "symbol", "open", "high", "low", "close", "volume"]
                        rows.extend(batch[names].tolist())
            except TimeoutError:
                pass
            scripted.cancel()
        return server

    return (
        rows,
        stats,
        in_virtual_time(main(), settle_s=0.001),
    )  # ccxt paces its requests by the wall's clock


def truth(first_ms: int, last_ms: int) -> list[tuple[Any, ...]]:
    return [
        (t, index, *bar_of(t))
        for t in range(first_ms, last_ms + 1, MINUTE_MS)
        for index in range(len(SYMBOLS))
    ]


async def calm(server: BinanceServer, clock: Clock) -> None:
    """Change nothing."""


async def closes(server: BinanceServer, clock: Clock) -> None:
    await clock.sleep(100)
    await server.hang_up(1001)


async def cuts(server: BinanceServer, clock: Clock) -> None:
    await clock.sleep(100)
    await server.hang_up(None)


async def mute(server: BinanceServer, clock: Clock) -> None:
    """Silent until after the next candle has begun: this market's candles are whole from their first frame on."""
    await clock.sleep(100)
    server.is_mute = True
    await clock.sleep(120)
    server.is_mute = False


@pytest.mark.parametrize(
    ("script", "sockets", "reason"),
    [(calm, 1, {}), (closes, 2, {"closed": 1}), (cuts, 2, {"closed": 1}), (mute, 2, {"timeout": 1})],
)
def test_candles_come_once_and_true_over_the_real_library(
    script: Script, sockets: int, reason: dict[str, int]
) -> None:
    rows, stats, server = follow(6, script)

    # 10:21:31 at the end: the last candle that can be out opened at 10:20
    assert rows == truth(OPEN_MS - 2 * MINUTE_MS, OPEN_MS + 5 * MINUTE_MS)
    assert stats.reconnects == reason
    assert server.n_sockets == sockets
    assert stats.candles["BTCUSDT", "stream"] >= 4
