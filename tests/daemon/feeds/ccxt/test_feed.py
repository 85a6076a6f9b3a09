"""CcxtFeed: whatever the library and the venue do, every candle comes once, in order, and true."""

import asyncio
import json
import zlib
from contextlib import aclosing
from typing import Any

import aiohttp
import ccxt
import numpy as np
import pytest

from papertape.daemon.feeds.ccxt.feed import CcxtFeed
from papertape.daemon.feeds.protocol import FeedStart, NoticeKind
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.errors import ConfigError
from papertape.engine.jit import Rows
from papertape.replay.config.live import Live
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.errors import RestRefused
from tests.support.ccxt_runs import OPEN_MS, START_MS, SYMBOLS, follow, last_ms, truth
from tests.support.fake_ccxt import MINUTE_MS, TICK_MS, FakeExchange, candle_of, is_thin_minute
from tests.support.loopback import in_virtual_time


def test_history_then_the_stream_without_a_seam() -> None:
    run = follow(10)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(10))
    assert run.kinds() == {NoticeKind.CONNECTED}
    assert run.stats.candles["BTC/USDT", "backfill"] == 3
    assert run.stats.candles["BTC/USDT", "stream"] == len(run.rows) // 2 - 3
    assert max(run.stats.arrival_delay_ms) < 2_000
    assert run.stats.last_close_ms["ETH/USDT"] == last_ms(10) + MINUTE_MS


def test_every_call_for_history_says_until_when() -> None:
    run = follow(3)

    assert run.venue.fetches
    assert all("until" in fetch for fetch in run.venue.fetches)


@pytest.mark.parametrize(
    "error",
    [
        ccxt.NetworkError("Connection closed by remote server, closing code 1001"),
        ccxt.NetworkError("Connection closed by remote server, closing code 1006"),
        ccxt.RequestTimeout("ping-pong keepalive missing on time"),
        ccxt.BadResponse("binance {"),
        ConnectionResetError("Cannot write to closing transport"),
        ccxt.ExchangeError("binance {"),
        ccxt.BadRequest("binance Invalid request"),
        ccxt.AuthenticationError("binance 401"),
        aiohttp.ClientPayloadError("Response payload is not completed"),
        TimeoutError(),
        json.JSONDecodeError("Expecting value", "<html>", 0),
        KeyError("result"),
        TypeError("'NoneType' object is not subscriptable"),
        zlib.error("Error -3 while decompressing data"),
        RuntimeError("Session is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_lost_connections_are_watched_again(error: Exception) -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        for _ in range(6):
            await clock.sleep(77)
            venue.fail(error)

    run = follow(9, script)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(9))
    assert run.venue.n_closed == 1  # at the end only
    assert sum(run.stats.reconnects.values()) == 6
    assert len(run.told(NoticeKind.DISCONNECTED)) == 6
    assert len(run.told(NoticeKind.CONNECTED)) == 7


def test_a_watch_that_the_library_cancels_itself_is_watched_again() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(77)
        venue.drop()

    run = follow(9, script)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(9))
    assert run.stats.is_connected
    assert len(run.told(NoticeKind.CONNECTED)) == 2


@pytest.mark.parametrize(
    "error",
    [
        ccxt.ExchangeError("binance {"),
        ccxt.BadRequest("binance Illegal characters found"),
        aiohttp.ClientConnectionError("Connection lost"),
        ValueError("could not convert string to float: 'x'"),
        KeyError("data"),
        IndexError("list index out of range"),
        RuntimeError("Session is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_strange_answers_of_the_history_are_asked_again(error: Exception) -> None:
    """At the start, where a candle is confirmed, and when the clock is measured."""

    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.rest_errors = [error] * 5
        await clock.sleep(200)
        venue.rest_errors = [error] * 3

    run = follow(9, script)

    assert run.rows == truth(run.rows[0][0], last_ms(9))
    assert run.rows[0][0] in {OPEN_MS - 3 * MINUTE_MS, OPEN_MS - 2 * MINUTE_MS}
    assert run.stats.rest_requests[type(error).__name__] == 8


def test_a_stream_that_falls_silent_without_an_error_is_restarted() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(100)
        venue.muted = set(SYMBOLS)

    run = follow(8, script)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(8))
    assert run.venue.n_closed == 2
    assert run.stats.reconnects == {"timeout": 1}
    (notice,) = run.told(NoticeKind.DISCONNECTED)
    assert notice.detail == "timeout"
    assert 130_000 <= notice.time_ms - START_MS <= 136_000  # half a minute after the last word


def test_restarts_that_bring_nothing_become_rarer() -> None:
    """Silent for good, and no history that would say whether anything was missed."""

    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(10)
        venue.stays_mute = True
        venue.muted = set(SYMBOLS)
        venue.is_rest_down = True

    run = follow(12, script)

    times_s = [(notice.time_ms - START_MS) / 1000 for notice in run.told(NoticeKind.DISCONNECTED)]
    pauses_s = np.diff(times_s)
    # 30 s after the last word, then patience of 60, 120, 240 s, each with a look every 5 s and a jittered pause
    assert 40 <= times_s[0] <= 46
    assert len(times_s) == 4
    assert all(60 * 2**i <= pause <= 60 * 2**i + 10 for i, pause in enumerate(pauses_s))


def test_thin_markets_alone_are_silent_without_a_restart() -> None:
    """Both trade in every fifth minute only, which the history confirms: nobody has missed anything."""

    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.thin = set(SYMBOLS)

    run = follow(25, script)

    assert run.venue.n_closed == 1  # at the end
    assert run.stats.reconnects == {}
    assert run.told(NoticeKind.DISCONNECTED) == []
    traded = [row for row in run.rows if row[0] > OPEN_MS and is_thin_minute(row[0])]
    expected = truth(OPEN_MS + MINUTE_MS, run.rows[-1][0])
    assert traded == [row for row in expected if is_thin_minute(row[0])]


def test_a_thin_market_of_a_sparse_history_holds_the_other_up_only_until_the_last_look() -> None:
    """ETH trades in every fifth minute; once its stream has spoken, silence is known for what it is after 8 s."""

    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.thin = {"ETH/USDT"}

    run = follow(16, script)

    absent = [row[0] for row, flag in zip(run.rows, run.flags, strict=True) if flag & FLAG_ABSENT]
    stamps = sorted({row[0] for row in run.rows if row[0] > OPEN_MS})
    assert [ms for ms in absent if ms > OPEN_MS] == [ms for ms in stamps if not is_thin_minute(ms)]
    spoken = next(ms for ms in stamps if is_thin_minute(ms)) + MINUTE_MS
    n_later = sum(2 for ms in stamps if ms > spoken)
    assert n_later >= 16
    assert max(run.stats.arrival_delay_ms[-n_later:]) <= 8_200
    assert run.stats.waited_ms["ETH/USDT"] > run.stats.waited_ms["BTC/USDT"]


def test_thin_markets_whose_stream_has_died_are_found_out_by_the_history() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.thin = set(SYMBOLS)
        venue.stays_mute = True
        await clock.sleep(100)
        venue.muted = set(SYMBOLS)
        await clock.sleep(400)
        venue.stays_mute = False

    run = follow(25, script)

    assert run.stats.reconnects["timeout"] >= 1
    assert run.stats.is_connected
    traded = [row for row in run.rows if row[0] > OPEN_MS and is_thin_minute(row[0])]
    expected = truth(OPEN_MS + MINUTE_MS, run.rows[-1][0])
    assert traded == [row for row in expected if is_thin_minute(row[0])]


def test_one_silent_stream_is_told_when_nothing_shows_whether_it_traded() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(40)
        venue.is_rest_down = True
        venue.muted = {"ETH/USDT"}
        await clock.sleep(150)
        venue.muted = set()

    run = follow(5, script)

    (degraded,), (restored,) = run.told(NoticeKind.DEGRADED), run.told(NoticeKind.RESTORED)
    assert (degraded.symbol, restored.symbol) == ("ETH/USDT", "ETH/USDT")
    assert 130_000 <= degraded.time_ms - START_MS <= 136_000
    assert 190_000 <= restored.time_ms - START_MS <= 193_000
    assert run.venue.n_closed == 1


def test_one_silent_stream_is_found_out_by_what_the_history_shows() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(40)
        venue.muted = {"ETH/USDT"}

    run = follow(10, script)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(10))
    assert run.venue.n_closed == 2
    assert run.stats.candles["ETH/USDT", "stream"] > 4


def test_what_the_stream_leaves_out_comes_from_the_history() -> None:
    """The last ten seconds of every candle are never shown."""

    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.skip = lambda _symbol, ms: ms % MINUTE_MS >= 50_000

    run = follow(8, script)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(8))


@pytest.mark.parametrize("lag_ms", [1_500, 5_000, 9_000])
def test_a_history_that_is_behind_never_overrules_what_was_seen(lag_ms: int) -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.lag_ms = lag_ms

    run = follow(8, script)

    expected = truth(OPEN_MS - 3 * MINUTE_MS, last_ms(8))
    assert run.rows == expected[: len(run.rows)]
    assert len(run.rows) >= len(expected) - 2


def test_without_a_history_candles_come_unconfirmed_at_the_deadline() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(60)
        venue.is_rest_down = True
        await clock.sleep(300)
        venue.is_rest_down = False

    run = follow(9, script)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(9))
    assert NoticeKind.UNCONFIRMED in run.kinds()
    assert NoticeKind.CORRECTION not in run.kinds()
    assert run.stats.rest_requests["ExchangeNotAvailable"] > 0


def test_an_outage_of_everything_is_filled_to_what_an_uninterrupted_feed_gives() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(130)
        venue.is_down = True
        venue.fail(ccxt.NetworkError("Connection closed by remote server, closing code 1006"))
        await clock.sleep(25 * 60)
        venue.is_down = False

    run = follow(34, script)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(34))
    assert not any(flag & FLAG_ABSENT for flag in run.flags)


def test_a_venue_without_streams_is_polled() -> None:
    run = follow(6, has_stream=False)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(6))
    assert run.stats.candles["BTC/USDT", "poll"] == len(run.rows) // 2 - 3
    assert run.stats.messages == {}


def test_polling_can_be_asked_for() -> None:
    assert follow(3, candles="poll").stats.messages == {}


@pytest.mark.parametrize("error", [ccxt.BadSymbol("no such"), ccxt.NotSupported("no candles")])
def test_a_feed_without_any_stream_is_connected_while_its_history_answers(error: Exception) -> None:
    """What is polled, from the start or because every stream was refused, is ready all the same."""

    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(100)
        venue.fail(error)

    for run in (follow(6, script), follow(6, has_stream=False)):
        assert run.stats.is_connected
        assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(6))


def test_a_polled_feed_tells_when_its_history_is_away_and_back() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(100)
        venue.is_down = True
        await clock.sleep(200)
        venue.is_down = False

    run = follow(10, script, has_stream=False)

    assert [n.kind for n in run.notices if n.kind in {NoticeKind.CONNECTED, NoticeKind.DISCONNECTED}] == [
        NoticeKind.CONNECTED,
        NoticeKind.DISCONNECTED,
        NoticeKind.CONNECTED,
    ]
    assert run.stats.is_connected


def test_a_throttled_history_confirms_before_the_deadline() -> None:
    """
    Four symbols at one call a second, as on kraken, and no later trade that would prove a candle at once.

    Asked a second after the close, the calls leave 1, 2, 3 and 4 s after it; counted from the asking, each would need
    two more looks, and the last of them would leave after the deadline of 10 s.
    """
    symbols = [f"{name}/USDT" for name in ("BTC", "ETH", "SOL", "XRP")]

    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.thin = set(symbols)
        venue.throttle_s = 1.0

    run = follow(23, script, symbols=symbols)

    traded = [row for row in run.rows if row[0] > OPEN_MS and is_thin_minute(row[0])]
    expected = truth(OPEN_MS + MINUTE_MS, run.rows[-1][0], symbols)
    assert traded == [row for row in expected if is_thin_minute(row[0])]
    assert run.told(NoticeKind.UNCONFIRMED) == []


def test_a_stream_that_counts_volume_otherwise_than_the_history_gives_way_to_it() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.in_quote = {"ETH/USDT"}

    run = follow(10, script)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(10))
    (notice,) = run.told(NoticeKind.DEGRADED)
    assert notice.symbol == "ETH/USDT"
    assert "counts volume otherwise than its history" in notice.detail
    assert notice.time_ms - START_MS <= 5 * MINUTE_MS
    assert run.stats.is_connected


def test_a_refused_stream_stops_and_its_candles_come_from_the_history() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.no_stream = {"ETH/USDT"}

    run = follow(6, script)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(6))
    (notice,) = run.told(NoticeKind.DEGRADED)
    assert notice.symbol == "ETH/USDT"
    assert "does not have market symbol" in notice.detail


def test_a_delisted_symbol_becomes_absent_and_the_others_go_on() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        await clock.sleep(95)  # 10:17:06
        venue.refused = {"ETH/USDT"}
        venue.fail(ccxt.NetworkError("Connection closed by remote server, closing code 1000"))

    run = follow(8, script)
    bitcoin = [row for row in run.rows if row[1] == 0]
    absent = [row[0] for row, flag in zip(run.rows, run.flags, strict=True) if flag & FLAG_ABSENT]

    assert bitcoin == [r for r in truth(OPEN_MS - 3 * MINUTE_MS, last_ms(8)) if r[1] == 0][: len(bitcoin)]
    assert len(bitcoin) >= 3 + 6
    assert absent[0] >= OPEN_MS + 2 * MINUTE_MS
    assert absent == list(range(absent[0], bitcoin[-1][0] + 1, MINUTE_MS))
    assert {row[1] for row, flag in zip(run.rows, run.flags, strict=True) if flag & FLAG_ABSENT} == {1}


def test_a_restart_goes_on_after_the_last_instant_that_is_known() -> None:
    after_ms = OPEN_MS - 90 * MINUTE_MS

    run = follow(3, after_ms=after_ms)

    assert run.rows == truth(after_ms + MINUTE_MS, last_ms(3))
    (gap,) = run.told(NoticeKind.GAP)
    assert (gap.open_ms, gap.value, gap.detail) == (after_ms + MINUTE_MS, 89, "restart")


def test_a_venue_that_is_down_at_the_start_is_waited_for() -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.is_down = True
        await clock.sleep(200)
        venue.is_down = False

    run = follow(9, script)

    # up at 10:18:51, and asked again within a minute of that
    assert run.rows[0][0] in {OPEN_MS, OPEN_MS + MINUTE_MS}
    assert run.rows == truth(run.rows[0][0], last_ms(9))
    assert NoticeKind.DISCONNECTED in run.kinds()


@pytest.mark.parametrize(
    "broken", [None, float("nan"), float("inf"), "x", -1.0], ids=["none", "nan", "inf", "text", "negative"]
)
def test_nonsense_of_the_stream_is_counted_and_never_becomes_a_candle(broken: Any) -> None:
    async def script(venue: FakeExchange, clock: Clock) -> None:
        venue.mangle = lambda row: [*row[:3], broken, *row[4:]] if row[5] % 5 == 0 else row

    run = follow(5, script)

    assert run.rows == truth(OPEN_MS - 3 * MINUTE_MS, last_ms(5))
    assert run.stats.bad_messages["bad_ohlc"] > 0


def test_candles_kept_by_the_reader_never_change() -> None:
    """The library goes on writing into rows that it has handed out."""
    kept: list[tuple[Rows, bytes]] = []

    async def main() -> None:
        clock = Clock(START_MS)
        venue = FakeExchange(clock, SYMBOLS)
        feed = CcxtFeed(
            Live(venue="binance", history_bars=0), FeedStart(tuple(SYMBOLS)), clock, exchange=venue
        )
        async with asyncio.timeout(300), aclosing(aiter(feed)) as candles:
            async for rows in candles:
                kept.append((rows, rows.tobytes()))
                if len(kept) == 3:
                    break

    in_virtual_time(main())

    assert len(kept) == 3
    assert all(rows.tobytes() == before for rows, before in kept)


def test_leaving_the_feed_closes_the_exchange_and_leaves_no_task() -> None:
    async def main() -> tuple[int, set[Any]]:
        clock = Clock(START_MS)
        venue = FakeExchange(clock, SYMBOLS)
        feed = CcxtFeed(Live(venue="binance"), FeedStart(tuple(SYMBOLS)), clock, exchange=venue)
        async with aclosing(aiter(feed)) as candles:
            await anext(candles)
        return venue.n_closed, asyncio.all_tasks() - {asyncio.current_task()}

    assert in_virtual_time(main()) == (1, set())


def test_a_slow_reader_gets_everything_in_one_batch() -> None:
    async def main() -> list[int]:
        clock = Clock(START_MS)
        venue = FakeExchange(clock, SYMBOLS)
        feed = CcxtFeed(
            Live(venue="binance", history_bars=2), FeedStart(tuple(SYMBOLS)), clock, exchange=venue
        )
        sizes = []
        async with aclosing(aiter(feed)) as candles:
            sizes.append(len(await anext(candles)))
            await clock.sleep(300)
            sizes.append(len(await anext(candles)))
        return sizes

    assert in_virtual_time(main()) == [4, 10]


def test_an_unknown_symbol_is_refused() -> None:
    async def main() -> None:
        clock = Clock(START_MS)
        venue = FakeExchange(clock, SYMBOLS)
        feed = CcxtFeed(Live(venue="binance"), FeedStart(("BTCUSDC",)), clock, exchange=venue)
        with pytest.raises(RestRefused, match="did you mean 'BTCUSDT'"):
            async for _ in feed:
                pass
        assert venue.n_closed == 1

    in_virtual_time(main())


def test_candles_from_trades_are_refused_before_anything_is_asked() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="trades is not offered for binance"):
            CcxtFeed(Live(venue="binance", candles="trades"), FeedStart(tuple(SYMBOLS)), Clock(START_MS))

    in_virtual_time(main())


def test_the_fake_market_is_what_its_formula_says() -> None:
    """Thirty trades a minute, each counted once."""
    row = candle_of("BTC/USDT", OPEN_MS)
    k = OPEN_MS // TICK_MS + sum(map(ord, "BTC/USDT"))

    assert row[5] == sum(1 + (k + i) % 3 for i in range(30))
    assert row[2] == np.max([100.0 + ((k + i) * 7_919 % 97) / 8.0 for i in range(30)])


@pytest.mark.parametrize(
    "seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 40))]
)
def test_any_mixture_of_troubles_ends_in_the_true_candles(seed: int) -> None:
    """Cuts, silence, a history that is behind, everything down: twelve times in half an hour."""
    random = np.random.default_rng(seed)
    ends_s = 30 * 60

    async def script(venue: FakeExchange, clock: Clock) -> None:
        for start_s in sorted(random.uniform(5, ends_s - 300, 12)):
            await clock.sleep_until(START_MS + round(start_s * 1000))
            match int(random.integers(9)):
                case 0:
                    code = random.choice([1000, 1001, 1006, 1012])
                    venue.fail(ccxt.NetworkError(f"closed by remote server, closing code {code}"))
                case 1:
                    venue.muted = {SYMBOLS[int(random.integers(2))]}
                case 2:
                    venue.muted = set(SYMBOLS)
                case 3:
                    venue.lag_ms = int(random.uniform(0, 6_000))
                case 4:
                    venue.fail(ccxt.ExchangeError("binance {"), [SYMBOLS[int(random.integers(2))]])
                case 5:
                    venue.fail(ValueError("could not convert string to float"))
                case 6:
                    venue.rest_errors = [KeyError("data")] * int(random.integers(1, 6))
                case 7:
                    venue.throttle_s = float(random.uniform(0, 1.5))
                case _:
                    venue.is_down = True
                    venue.fail(ccxt.RequestTimeout("ping-pong keepalive missing on time"))
                    await clock.sleep(random.uniform(1, 200))
                    venue.is_down = False

    run = follow(31, script)

    expected = truth(OPEN_MS - 3 * MINUTE_MS, last_ms(31))
    assert run.rows == expected[: len(run.rows)], f"seed {seed}"
    assert len(run.rows) >= len(expected) - 2
    assert not any(flag & FLAG_ABSENT for flag in run.flags)
