"""Settlements at a venue of ccxt's: the library's own Binance against a loopback server, in virtual time."""

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from papertape.daemon.feeds.ccxt.funding import CcxtFunding
from papertape.daemon.feeds.ccxt.markets import CcxtMarkets
from papertape.daemon.feeds.protocol import Notice
from papertape.daemon.feeds.settlements import Perpetual, WithSettlements
from papertape.engine.events import Event, Funding, SeriesRows
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_history import CcxtHistory
from papertape.replay.sources.ccxt_markets import make_exchange
from tests.support.binance_server import HOUR_MS, MINUTE_MS, BinanceServer, bar_of
from tests.support.helpers import make_candles
from tests.support.loopback import in_virtual_time, serving

SYMBOL = "BTCUSDT"
DAY_MS = 24 * HOUR_MS
MIDNIGHT_MS = 1_795_392_000_000  # 2026-11-23
EIGHT_MS = MIDNIGHT_MS + 8 * HOUR_MS
PRICE = 100.0


def rates_of(
    first_ms: int, last_ms: int, hours: int = 8, rate: str = "0.0001", late_ms: int = 3
) -> dict[int, str]:
    """Return rates by stamps that are some milliseconds late, as Binance has them."""
    return {t + late_ms: rate for t in range(first_ms, last_ms + 1, hours * HOUR_MS)}


def charged(
    minutes: int,
    rates: dict[int, str],
    first_ms: int = EIGHT_MS - 2 * MINUTE_MS,
    *,
    settled_ms: int | None = None,
    late_ms: int = 0,
    has: dict[str, bool] | None = None,
    listed: bool = True,
) -> tuple[list[Event], list[Notice]]:
    """Return settlements and notices while so many minutes are followed, each a second after its close."""
    notices: list[Notice] = []

    async def main() -> list[Event]:
        clock = Clock(first_ms)
        server = BinanceServer(clock, [])
        server.perpetuals = [SYMBOL] if listed else ["ETHUSDT"]
        server.rates, server.rates_late_ms = rates, late_ms
        async with serving(server.handle) as url:
            exchange: Any = make_exchange("binance", base_url=url)
            exchange.enableRateLimit = False  # its pauses go by the wall's clock, not by this one
            exchange.has.update(has or {})
            try:
                history = CcxtHistory(exchange, clock, jitter=lambda: 1.0)
                await history.start()
                markets = CcxtMarkets([SYMBOL], [SYMBOL], [])
                markets.read(exchange, clock.now_ms())
                return await follow(history, markets, clock)
            finally:
                await exchange.close()

    async def follow(history: CcxtHistory, markets: CcxtMarkets, clock: Clock) -> list[Event]:
        class Candles:
            async def __aiter__(self) -> AsyncIterator[Event]:
                for i in range(minutes):
                    tape = make_candles([(PRICE,) * 4])
                    tape["open_ms"] = first_ms + i * MINUTE_MS
                    end_ms = int(tape["open_ms"][0]) + MINUTE_MS
                    await clock.sleep_until(end_ms + 1_000)
                    yield tape

        funding = CcxtFunding(lambda: history, markets, clock, notices.append)
        events = WithSettlements(
            Candles(),
            deque(),
            {SYMBOL: Perpetual(0, settled_ms)},
            funding,
            MINUTE_MS,
            funding.interval_s,
            notices.append,
            clock.now_ms,
        )
        return [event async for event in events if not isinstance(event, np.ndarray)]

    return in_virtual_time(main()), notices


def mark_of(time_ms: int) -> float:
    return 2.0 * bar_of(time_ms)[0]


def test_every_settlement_is_charged_at_its_mark_and_an_hour_without_one_is_none() -> None:
    rates = rates_of(MIDNIGHT_MS - DAY_MS, EIGHT_MS) | {EIGHT_MS + 8 * HOUR_MS: "-0.00025"}

    events, notices = charged(12 * 60, rates)

    assert events == [
        Funding(EIGHT_MS, 0, 0.0001, mark_of(EIGHT_MS)),
        Funding(EIGHT_MS + 8 * HOUR_MS, 0, -0.00025, mark_of(EIGHT_MS + 8 * HOUR_MS)),
    ]
    assert notices == []


def test_what_settled_while_the_daemon_was_down_is_fetched_page_by_page() -> None:
    days = 60  # 1,440 hourly settlements
    rates = rates_of(EIGHT_MS - days * DAY_MS, EIGHT_MS, hours=1)

    events, _ = charged(3, rates, settled_ms=EIGHT_MS - days * DAY_MS, has={"fetchMarkOHLCV": False})

    times = range(EIGHT_MS - days * DAY_MS + HOUR_MS, EIGHT_MS + 1, HOUR_MS)
    # Without marks the price is the last close, and there is none before the first candle.
    known = [event for event in events if isinstance(event, Funding)]
    assert len(events) == len(times)
    assert known == [Funding(EIGHT_MS, 0, 0.0001, PRICE)]


def test_an_interval_that_becomes_shorter_overnight_is_charged_at_once() -> None:
    rates = rates_of(MIDNIGHT_MS - DAY_MS, EIGHT_MS) | rates_of(
        EIGHT_MS + 4 * HOUR_MS, EIGHT_MS + 8 * HOUR_MS, hours=4
    )

    events, notices = charged(10 * 60, rates)

    assert [event.time_ms for event in events if isinstance(event, Funding)] == [
        EIGHT_MS + hours * HOUR_MS for hours in (0, 4, 8)
    ]
    assert notices == []


def test_a_rate_that_is_listed_late_is_waited_for() -> None:
    rates = rates_of(MIDNIGHT_MS - DAY_MS, EIGHT_MS)

    events, notices = charged(5, rates, late_ms=75_000)  # asked first 61 s after the settlement

    assert events == [Funding(EIGHT_MS, 0, 0.0001, mark_of(EIGHT_MS))]
    assert notices == []


@pytest.mark.parametrize("rate", [None, "", "NaN", "0.4"])
def test_a_settlement_without_a_rate_is_a_gap_and_is_not_charged(rate: str | None) -> None:
    rates: dict[int, Any] = rates_of(MIDNIGHT_MS - DAY_MS, MIDNIGHT_MS)
    if rate is not None:
        rates[EIGHT_MS] = rate

    events, notices = charged(5, rates)

    (gap,) = events
    assert isinstance(gap, SeriesRows)
    assert np.isnan(gap.rows["value"]).all()
    told = ", 0.4, is beyond 0.2; it is not taken" if rate == "0.4" else " is not known; nothing is charged"
    assert [notice.detail for notice in notices] == [f"the funding rate of {EIGHT_MS} ms{told}"]


@pytest.mark.parametrize(
    ("has", "listed", "why"),
    [
        ({"fetchFundingRateHistory": False}, True, "binance has no history of rates"),
        ({}, True, "the venue's history of rates is empty"),
        ({}, False, "the venue does not list it"),  # any more: the account knows it from before
    ],
)
def test_a_venue_that_tells_no_rates_is_said_once(has: dict[str, bool], listed: bool, why: str) -> None:
    events, notices = charged(3 * 60, {}, has=has, listed=listed)

    assert events == []
    assert [notice.detail for notice in notices] == [f"funding: {why}; none is charged"]
    assert notices[0].symbol == SYMBOL
