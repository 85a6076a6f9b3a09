"""Series of a venue of ccxt's: the library's own Binance against a loopback server, in virtual time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from papertape.daemon.feeds.ccxt.markets import CcxtMarkets
from papertape.daemon.feeds.ccxt.series import ASKED_EVERY_S, CcxtSeries
from papertape.daemon.feeds.protocol import Notice
from papertape.daemon.feeds.series import LiveSeries
from papertape.engine.jit import Rows
from papertape.engine.records import INDEX_PRICE, LONG_SHORT_RATIO, MARK_PRICE, OPEN_INTEREST
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_history import CcxtHistory
from papertape.replay.sources.ccxt_markets import make_exchange
from tests.support.binance_server import MINUTE_MS, BinanceServer
from tests.support.loopback import in_virtual_time, serving

SYMBOL = "BTCUSDT"
START_MS = 1_795_392_000_000  # 2026-11-23
NEVER = -(1 << 62)
ALL = (MARK_PRICE, INDEX_PRICE, OPEN_INTEREST)


class Futures(BinanceServer):
    """Marks of 100 and a thousandth per second, index one less, open interest of a thousand and one per second."""

    late_ms = 0
    refuses = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        stamp_ms = self.clock.now_ms() - self.late_ms
        seconds = (stamp_ms - START_MS) // 1000
        if request.path == "/fapi/v1/premiumIndex":
            self.requests.append((request.path, dict(request.query)))
            mark, index = f"{100 + seconds / 1000:.3f}", f"{99 + seconds / 1000:.3f}"
            rate = {"lastFundingRate": "0.0001", "nextFundingTime": START_MS, "interestRate": "0"}
            return web.json_response(
                {"symbol": SYMBOL, "markPrice": mark, "indexPrice": index, "time": stamp_ms, **rate}
            )
        if request.path == "/fapi/v1/openInterest":
            self.requests.append((request.path, dict(request.query)))
            if self.refuses:
                return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
            return web.json_response(
                {"symbol": SYMBOL, "openInterest": str(1000 + seconds), "time": stamp_ms}
            )
        return await super().handle(request)


def followed(
    minutes: int, *kinds: int, change: Callable[[Futures, Any], None] = lambda *_: None
) -> tuple[Rows, Futures, list[Notice]]:
    """Return what is told at the close of the last of so many minutes, who was asked, and what was said."""
    notices: list[Notice] = []

    async def main() -> tuple[Rows, Futures, list[Notice]]:
        clock = Clock(START_MS)
        server = Futures(clock, [])
        server.perpetuals = [SYMBOL]
        async with serving(server.handle) as url:
            exchange: Any = make_exchange("binance", base_url=url)
            exchange.enableRateLimit = False  # its pauses go by the wall's clock, not by this one
            change(server, exchange)
            try:
                history = CcxtHistory(exchange, clock, retries=1, jitter=lambda: 1.0)
                await history.start()
                markets = CcxtMarkets([SYMBOL], [SYMBOL], [])
                markets.read(exchange, clock.now_ms())
                asked = {(SYMBOL, kind): NEVER for kind in kinds}
                series = LiveSeries([SYMBOL], asked, MINUTE_MS, notices.append, fresh_ms=120_000)
                asking = CcxtSeries(lambda: history, markets, series, clock, notices.append)
                task = asyncio.create_task(asking.run())
                close_ms = START_MS + minutes * MINUTE_MS
                await clock.sleep_until(close_ms + 500)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                return series.until([close_ms], clock.now_ms()), server, notices
            finally:
                await exchange.close()

    return in_virtual_time(main())


def test_marks_index_and_open_interest_are_asked_for_twice_a_minute_and_known_when_they_came() -> None:
    rows, server, notices = followed(3, *ALL)

    assert rows["kind"].tolist() == list(ALL)
    asked = [path for path, _ in server.requests if "premiumIndex" in path or "openInterest" in path]
    assert len(asked) == 2 * (3 * MINUTE_MS // int(ASKED_EVERY_S * 1000) + 1)
    for row in rows:
        assert START_MS + 2 * MINUTE_MS < row["known_ms"] < START_MS + 3 * MINUTE_MS
        seconds = (row["known_ms"] - START_MS) // 1000
        value = {
            MARK_PRICE: 100 + seconds / 1000,
            INDEX_PRICE: 99 + seconds / 1000,
            OPEN_INTEREST: 1000 + seconds,
        }
        assert row["value"] == pytest.approx(value[int(row["kind"])], abs=2e-3)
        assert row["open"] == row["high"] == row["low"] == row["value"]  # nobody knows its range
    assert notices == []


def test_only_what_is_asked_for_is_asked_of_the_venue() -> None:
    _, server, _ = followed(1, OPEN_INTEREST)

    assert not [path for path, _ in server.requests if "premiumIndex" in path]


def test_what_a_venue_does_not_offer_or_refuses_is_told_once_and_is_a_gap() -> None:
    def without(server: Futures, exchange: Any) -> None:
        exchange.has["fetchFundingRate"], server.refuses = False, True

    rows, server, notices = followed(3, *ALL, LONG_SHORT_RATIO, change=without)

    assert len(rows) == 0
    assert [n.detail.partition(";")[0] for n in notices[:2]] == [
        "series: long_short_ratio: it is not followed live",
        "series: fetch_funding_rate: binance does not offer it",
    ]
    assert "series: fetch_open_interest: " in notices[2].detail
    assert len([path for path, _ in server.requests if "openInterest" in path]) == 1
    assert ["nothing fresh has come" in n.detail for n in notices[3:]] == [True] * 4


def test_an_old_answer_is_no_value() -> None:
    def late(server: Futures, exchange: Any) -> None:
        server.late_ms = 10 * MINUTE_MS

    rows, _, notices = followed(2, OPEN_INTEREST, change=late)

    assert len(rows) == 0
    assert "open_interest: nothing fresh has come" in notices[0].detail


@pytest.mark.parametrize(
    "strange",
    [None, "busy", [], {"timestamp": "soon"}, {"timestamp": float("nan")}, {"timestamp": [1]}],
    ids=str,
)
def test_what_is_no_answer_is_told_once_and_asked_again(strange: Any) -> None:
    """Nonsense for the first minute, open interest after it."""
    asked: list[int] = []

    def nonsense(server: Futures, exchange: Any) -> None:
        fetch = exchange.fetch_open_interest

        async def answer(symbol: str) -> Any:
            asked.append(server.clock.now_ms())
            return strange if asked[-1] < START_MS + MINUTE_MS else await fetch(symbol)

        exchange.fetch_open_interest = answer

    rows, _, notices = followed(2, OPEN_INTEREST, change=nonsense)

    assert len(asked) >= 4
    assert rows["kind"].tolist() == [OPEN_INTEREST]
    (notice,) = notices
    assert notice.detail.startswith("series: fetch_open_interest: ")


def test_a_number_that_is_too_large_is_no_value() -> None:
    def huge(server: Futures, exchange: Any) -> None:
        async def answer(symbol: str) -> Any:
            return {"openInterestAmount": 10**400}

        exchange.fetch_open_interest = answer

    rows, _, notices = followed(1, OPEN_INTEREST, change=huge)

    assert len(rows) == 0
    assert "open_interest: nothing fresh has come" in notices[0].detail
