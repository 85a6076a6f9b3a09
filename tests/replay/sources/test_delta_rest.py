"""Delta's REST history against a small venue written from the reference alone, in virtual time."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from papertape.engine.candles import FLAG_FILLED, HOUR_MS, MINUTE_MS
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.jit import Rows
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_http import BODY_BYTES, Budget, ClockOffset
from papertape.replay.sources.delta_rest import DeltaRest
from papertape.replay.sources.errors import RestRefused, RestUnavailable
from tests.support.delta_server import DeltaServer, bar
from tests.support.loopback import in_virtual_time, serving

NOW_MS = 1_795_428_931_000  # 2026-11-23 10:15:31 UTC
MINUTE_S = 60


def with_venue(
    body: Callable[[DeltaServer, DeltaRest], Awaitable[Any]], *, first_s: int = 0, **options: Any
) -> Any:
    """Run a test's body against a venue."""

    async def main() -> Any:
        clock = Clock(NOW_MS)
        venue = DeltaServer(clock, first_s, **options)
        async with serving(venue.handle) as url, DeltaRest(url, clock, jitter=lambda: 1.0) as rest:
            return await body(venue, rest)

    return in_virtual_time(main())


def opens_s(rows: Rows) -> list[int]:
    return (rows["open_ms"] // 1000).tolist()


def test_history_longer_than_any_cap_comes_whole_and_in_order() -> None:
    last_ms = NOW_MS // MINUTE_MS * MINUTE_MS - MINUTE_MS
    first_ms = last_ms - 6_999 * MINUTE_MS

    async def body(venue: DeltaServer, rest: DeltaRest) -> Rows:
        return await rest.candles("BTCUSD", "1m", first_ms, last_ms, volume_scale=0.001)

    for cap in (1999, 700, 4000):  # 1999: 2000 bars for an aligned end, the documented cap
        rows = with_venue(body, first_s=0, cap=cap)
        assert opens_s(rows) == list(range(first_ms // 1000, last_ms // 1000 + 1, MINUTE_S))
        assert set(rows["volume"].tolist()) == {0.005}


def test_paging_stops_where_history_begins() -> None:
    first_s = NOW_MS // 1000 // 60 * 60 - 3_000 * 60

    async def body(venue: DeltaServer, rest: DeltaRest) -> tuple[Rows, int]:
        return await rest.candles("BTCUSD", "1m", 0, NOW_MS), len(venue.requests)

    rows, requests = with_venue(body, first_s=first_s)

    assert opens_s(rows)[0] == first_s
    assert len(rows) == 3_000
    assert requests == 2 + 3  # two windows with candles, three empty ones in a row


def test_a_thin_market_without_a_trade_for_a_whole_window_does_not_end_its_history() -> None:
    period_s = 5_000 * 60

    async def body(venue: DeltaServer, rest: DeltaRest) -> list[int]:
        venue.thin_s = period_s
        return opens_s(await rest.candles("THINUSD", "1m", NOW_MS - 12_000 * MINUTE_MS, NOW_MS))

    stamps = with_venue(body)

    assert {t for t in stamps if t % period_s == 0} == {
        t for t in range(NOW_MS // 1000 - 12_000 * 60, NOW_MS // 1000) if t % period_s == 0
    }


def test_neither_the_forming_candle_nor_the_future_comes_unless_asked_for() -> None:
    open_s = NOW_MS // 1000 // 60 * 60

    async def body(venue: DeltaServer, rest: DeltaRest) -> tuple[list[int], list[int]]:
        far_ms = NOW_MS + HOUR_MS
        final = await rest.candles("BTCUSD", "1m", NOW_MS - 3 * MINUTE_MS, far_ms)
        forming = await rest.candles("BTCUSD", "1m", NOW_MS - 3 * MINUTE_MS, far_ms, include_forming=True)
        assert all(int(asked["end"]) <= venue.now_s() for asked in venue.requests)
        return opens_s(final), opens_s(forming)

    final, forming = with_venue(body)

    assert final == [open_s - 120, open_s - 60]
    assert forming == [open_s - 120, open_s - 60, open_s]


def test_a_candle_that_was_not_over_for_the_venue_is_not_final_for_us() -> None:
    """Our clock is a minute ahead: the bar that is over for us is still forming there."""
    open_s = NOW_MS // 1000 // 60 * 60

    async def body(venue: DeltaServer, rest: DeltaRest) -> tuple[list[int], float | None, int]:
        rows = await rest.candles("BTCUSD", "1m", NOW_MS - 4 * MINUTE_MS, NOW_MS)
        return opens_s(rows), rest.clock_offset_ms, rest.counts["forming"]

    stamps, offset_ms, forming = with_venue(body, ahead_ms=-60_000)

    assert stamps == [open_s - 180, open_s - 120]
    assert offset_ms == pytest.approx(-60_000, abs=2)
    assert forming == 1


def test_what_breaks_a_rule_is_dropped_and_counted() -> None:
    open_s = NOW_MS // 1000 // 60 * 60
    bad = [
        {**bar(open_s - 60), "open": None},
        {**bar(open_s - 60), "high": "abc"},
        bar(open_s - 119),
        {**bar(open_s - 60), "low": 101.0},
        {**bar(open_s - 60), "low": -1.0},
        bar(open_s - 60, volume=-1.0),
        {"open": 1.0},
        "bar",
        bar(open_s - 900),
    ]

    async def body(venue: DeltaServer, rest: DeltaRest) -> tuple[Rows, Counter[str]]:
        venue.extra = bad
        rows = await rest.candles("BTCUSD", "1m", NOW_MS - 5 * MINUTE_MS, NOW_MS)
        return rows, rest.counts

    rows, counts = with_venue(body)

    assert opens_s(rows) == [open_s - 240, open_s - 180, open_s - 120, open_s - 60]
    assert {name: n for name, n in counts.items() if n} == {
        "null": 2,
        "misaligned": 1,
        "invalid": 3,
        "malformed": 2,
        "outside": 1,
    }


def test_a_stamp_twice_counts_once_and_numbers_may_be_text() -> None:
    open_s = NOW_MS // 1000 // 60 * 60 - 60
    text = {name: str(value) for name, value in bar(open_s, 101.5, 7.0).items()}

    async def body(venue: DeltaServer, rest: DeltaRest) -> tuple[Rows, int]:
        venue.extra = [text]
        rows = await rest.candles("BTCUSD", "1m", open_s * 1000, open_s * 1000)
        return rows, rest.counts["duplicate"]

    rows, duplicates = with_venue(body)

    assert rows[["close", "volume"]].tolist() == [(101.5, 7.0)]
    assert duplicates == 1


def test_padding_is_flagged_on_trades_and_cannot_be_told_on_a_mark_series() -> None:
    async def body(venue: DeltaServer, rest: DeltaRest) -> list[list[int]]:
        venue.thin_s = 180
        span = (NOW_MS - 4 * MINUTE_MS, NOW_MS)
        return [
            (await rest.candles(symbol, "1m", *span))["flag_bits"].tolist()
            for symbol in ("BTCUSD", "MARK:BTCUSD")
        ]

    traded, mark = with_venue(body)

    # 10:12 had trades, 10:13 and 10:14 had none; 10:11 comes before the first trade in the window.
    assert traded == [0, FLAG_FILLED, FLAG_FILLED]
    assert mark == [0, 0, 0]


def test_a_range_that_is_empty_is_never_asked_for() -> None:
    async def body(venue: DeltaServer, rest: DeltaRest) -> int:
        assert len(await rest.candles("BTCUSD", "1m", NOW_MS, NOW_MS - HOUR_MS)) == 0
        assert len(await rest.candles("BTCUSD", "1m", NOW_MS + HOUR_MS, NOW_MS + 2 * HOUR_MS)) == 0
        return len(venue.requests)

    assert with_venue(body) == 0


def test_an_unknown_timeframe_is_refused_with_the_known_ones() -> None:
    async def body(venue: DeltaServer, rest: DeltaRest) -> None:
        with pytest.raises(DataError, match="Delta has no 12h candles: choose one of 1m, 3m"):
            await rest.candles("BTCUSD", "12h", 0, NOW_MS)

    with_venue(body)


def plain(status: int, text: str = "", **headers: str) -> Callable[[], Awaitable[web.Response]]:
    async def answer() -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return answer


async def ask(rest: DeltaRest) -> Rows:
    return await rest.candles("BTCUSD", "1m", NOW_MS - 3 * MINUTE_MS, NOW_MS)


def test_overload_nonsense_and_silence_are_asked_again() -> None:
    async def hang() -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async def body(venue: DeltaServer, rest: DeltaRest) -> tuple[int, Counter[str], int]:
        venue.script = [
            plain(503, "<html>busy</html>"),
            plain(200, '{"success": true, "resul'),
            plain(500, '{"success": false, "error": {"code": "internal"}}'),
            hang,
            plain(502),
        ]
        before_ms = rest.venue_now_ms()
        rows = await ask(rest)
        return len(rows), rest.stats, rest.venue_now_ms() - before_ms

    n, stats, waited_ms = with_venue(body)

    assert n == 2
    assert stats == {"503": 1, "200": 2, "bad_body": 1, "500": 1, "timeout": 1, "502": 1}
    # pauses of 1, 2, 4, 8, 16 s with the jitter at its upper end, and 15 s of waiting for the silent answer
    assert waited_ms == pytest.approx(1000 * (1 + 2 + 4 + 8 + 16 + 15), abs=1_500)


def test_after_five_retries_the_last_reason_is_told_with_at_most_500_bytes_of_it() -> None:
    async def body(venue: DeltaServer, rest: DeltaRest) -> tuple[RestUnavailable, int]:
        venue.script = [plain(503, "x" * 9_000)] * 9
        with pytest.raises(RestUnavailable, match=r"answered 503: x{500}$") as caught:
            await ask(rest)
        return caught.value, len(venue.requests)

    error, requests = with_venue(body)

    assert requests == 6
    assert error.status == 503
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (
            400,
            json.dumps(
                {
                    "success": False,
                    "error": {
                        "code": "bad_schema",
                        "context": {"schema_errors": [{"message": "start is required", "param": "start"}]},
                    },
                }
            ),
            "bad_schema: start is required",
        ),
        (401, '{"success": false, "error": "unauthorized"}', "unauthorized"),
        (403, "<html>Request blocked</html>", "answered 403: <html>Request blocked"),
        (404, "Not Found", "answered 404: Not Found"),
        (302, "", "answered 302"),
    ],
)
def test_a_refusal_is_never_asked_again(status: int, text: str, told: str) -> None:
    async def body(venue: DeltaServer, rest: DeltaRest) -> int:
        venue.script = [plain(status, text)]
        with pytest.raises(RestRefused, match=told):
            await ask(rest)
        return len(venue.requests)

    assert with_venue(body) == 1


def test_too_many_requests_wait_as_long_as_the_venue_says() -> None:
    async def body(venue: DeltaServer, rest: DeltaRest) -> int:
        venue.script = [plain(429, "", **{"X-RATE-LIMIT-RESET": "65826"})]
        before_ms = rest.venue_now_ms()
        await ask(rest)
        return rest.venue_now_ms() - before_ms

    assert with_venue(body) == pytest.approx(65_826, abs=500)


def test_a_cached_answer_tells_nothing_about_the_clock_and_is_as_old_as_it_says() -> None:
    """A bar that was forming 90 s ago, when the cache took the answer, is not final now."""
    open_s = NOW_MS // 1000 // 60 * 60

    async def body(venue: DeltaServer, rest: DeltaRest) -> tuple[list[int], float | None]:
        async def cached() -> web.Response:
            answer = venue.answer([bar(open_s - 60), bar(open_s - 120), bar(open_s - 180)])
            answer.headers["Age"] = "90"
            answer.headers["Request-In-Time"] = "1"
            return answer

        venue.script = [cached]
        rows = await rest.candles("BTCUSD", "1m", (open_s - 180) * 1000, NOW_MS)
        return opens_s(rows), rest.clock_offset_ms

    stamps, offset_ms = with_venue(body)

    assert stamps == [open_s - 180, open_s - 120]  # at 10:14:01 10:13 was over, 10:14 was not
    assert offset_ms is None


def test_an_endless_body_is_cut() -> None:
    async def body(venue: DeltaServer, rest: DeltaRest) -> None:
        venue.script = [plain(200, "[" + " " * (BODY_BYTES + 1))]
        with pytest.raises(RestRefused, match="longer than 16,777,216 bytes"):
            await ask(rest)

    with_venue(body)


def test_another_server_at_that_address_is_recognised() -> None:
    async def body(venue: DeltaServer, rest: DeltaRest) -> None:
        venue.script = [plain(200, '{"symbols": []}')]
        with pytest.raises(RestUnavailable, match="is this address Delta's"):
            await ask(rest)

    with_venue(body)


def test_an_address_must_be_one() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match=r"rest_url: 'api.example' is not an http"):
            DeltaRest("api.example", Clock())

    in_virtual_time(main())


def test_the_budget_never_passes_the_quota_in_any_window() -> None:
    """As many requests as the bucket lets through, summed over every window of five minutes."""

    async def main() -> list[float]:
        budget = Budget(Clock(NOW_MS), quota=1_000)
        times = []
        for _ in range(500):
            await budget.take()
            times.append(asyncio.get_running_loop().time())
        return times

    times = in_virtual_time(main())
    used = [3 * sum(1 for t in times if start <= t < start + 300.0) for start in range(0, 400, 20)]

    assert max(used) <= 1_000 * 0.9 + 3
    assert max(used) >= 800  # and it is not needlessly slow
    assert times[59] == 0.0  # a burst goes at once


def test_the_clock_offset_is_the_quickest_measurement_until_a_clock_jumps() -> None:
    offset = ClockOffset()
    assert offset.offset_ms is None

    offset.measure(1_000, 1_400, 3_350_000e-3, 3_350_000e-3)  # ± 201: 2150
    offset.measure(2_000, 2_020, 4_012_000e-3, 4_012_000e-3)  # ± 11: 2002
    offset.measure(3_000, 3_300, 5_100_000e-3, 5_120_000e-3)  # ± 141: 1960
    assert (offset.offset_ms, offset.doubt_ms) == (2_002.0, 11.0)

    offset.measure(9_000, 9_100, 9_050_000e-3, 9_050_000e-3)  # ± 51: 0
    assert offset.offset_ms == 0.0


PRODUCT = {
    "id": 27, "symbol": "BTCUSD", "contract_type": "perpetual_futures", "state": "live",
    "trading_status": "operational", "notional_type": "vanilla", "contract_value": "0.001000000000000000",
    "tick_size": "0.500000000000000000", "initial_margin": "0.500000000000000000",
    "maintenance_margin": "0.250000000000000000", "initial_margin_scaling_factor": "0.000002500000000000",
    "max_leverage_notional": "100000", "position_size_limit": 125000,
    "taker_commission_rate": "0.000500000000000000", "maker_commission_rate": "0.000200000000000000",
    "price_band": "5.000000000000000000", "product_specs": {"rate_exchange_interval": 14400, "x": None},
    "underlying_asset": {"symbol": "BTC"}, "quoting_asset": {"symbol": "USD"}, "unheard_of": [1],
}  # fmt: skip


def test_products_are_read_page_by_page_with_defaults_for_what_is_missing() -> None:
    async def body(venue: DeltaServer, rest: DeltaRest) -> tuple[dict[str, Any], list[str | None]]:
        async def first() -> web.Response:
            return venue.answer([PRODUCT, None, {"id": 3}], meta={"after": "g3QAA=="})

        async def second() -> web.Response:
            bare = {"symbol": "XUSD", "contract_value": "", "notional_type": "inverse", "state": None}
            return venue.answer([bare], meta={"after": None})

        venue.script = [first, second]
        found = await rest.products()
        return found, [asked.get("after") for asked in venue.requests]

    found, cursors = with_venue(body)
    bitcoin, bare = found["BTCUSD"], found["XUSD"]

    assert cursors == [None, "g3QAA=="]
    assert (bitcoin.contract_value, bitcoin.tick_size, bitcoin.base) == (0.001, 0.5, "BTC")
    assert bitcoin.initial_margin_rate == pytest.approx(0.005)
    assert bitcoin.maximum_leverage == pytest.approx(200.0)
    assert bitcoin.initial_margin_slope == pytest.approx(2.5e-8)
    assert (bitcoin.taker_fee_rate, bitcoin.funding_interval_s) == (0.0005, 14_400)
    assert (bitcoin.is_live, bitcoin.trading_status) == (True, "operational")
    assert (bare.contract_value, bare.is_inverse, bare.funding_interval_s) == (1.0, True, 28_800)
    assert bare.is_live


def test_pages_of_products_that_do_not_end_are_refused() -> None:
    async def body(venue: DeltaServer, rest: DeltaRest) -> None:
        async def again() -> web.Response:
            return venue.answer([PRODUCT], meta={"after": "same"})

        venue.script = [again] * 5
        with pytest.raises(DataError, match="its pages do not end"):
            await rest.products()

    with_venue(body)


def test_a_ticker_is_read_and_an_unknown_symbol_has_none() -> None:
    values = {
        "symbol": "BTCUSD",
        "close": 86420.5,
        "mark_price": "86418.22150731",
        "spot_price": "",
        "funding_rate": "0.0073",
        "timestamp": 1_795_428_900_412_345,
        "tick_size": "0.5",
    }

    async def body(venue: DeltaServer, rest: DeltaRest) -> Any:
        async def known() -> web.Response:
            return venue.answer(values)

        async def unknown() -> web.Response:
            return venue.answer(None)

        venue.script = [known, unknown]
        return await rest.ticker("BTCUSD"), await rest.ticker("NOUSD")

    ticker, nothing = with_venue(body)

    assert nothing is None
    assert (ticker.close, ticker.tick_size) == (86420.5, 0.5)
    assert ticker.funding_rate == pytest.approx(0.000073)
    assert ticker.index_price != ticker.index_price
    assert ticker.time_ms == 1_795_428_900_412


def test_funding_is_the_rate_of_the_bar_that_holds_the_settlement() -> None:
    day_s = 1_795_392_000  # 2026-11-23 00:00 UTC
    rates = {0: -0.01, 8: 0.0073, 9: 0.02, 10: 0.02}  # percent, by hour; 16:00 is in the future

    async def body(venue: DeltaServer, rest: DeltaRest) -> Any:
        async def candles() -> web.Response:
            bars = [
                {"time": day_s + hour * 3600, "volume": None}
                | dict.fromkeys(("open", "high", "low", "close"), rate)
                for hour, rate in rates.items()
            ]
            return venue.answer(bars[::-1])

        venue.script = [candles]
        found = await rest.funding("BTCUSD", day_s * 1000, (day_s + 86_400) * 1000)
        return found, venue.requests[0]["symbol"]

    found, symbol = with_venue(body)

    assert symbol == "FUNDING:BTCUSD"
    assert [s.time_ms // 1000 - day_s for s in found] == [0, 8 * 3600]
    assert [s.rate for s in found] == pytest.approx([-0.0001, 0.000073])
