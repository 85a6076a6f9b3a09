"""DeltaFeed against a scripted venue on the loopback, in virtual time: whatever happens, the candles are the venue's."""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.feeds.delta.feed import DeltaFeed
from papertape.daemon.feeds.finality.bars import Bar
from papertape.daemon.feeds.protocol import FeedStart, Notice, NoticeKind
from papertape.daemon.feeds.settlements import ChargedFunding
from papertape.engine.candles import FLAG_ABSENT, FLAG_FILLED
from papertape.engine.errors import ConfigError
from papertape.engine.jit import Rows
from papertape.replay.config.live import Live
from papertape.replay.runtime.clock import Clock
from tests.support.feed_market import LENGTH_MS, START_MS, Market, Switches
from tests.support.feed_venue import Product, ScriptedHistory, ScriptedVenue, serving, subscribed
from tests.support.virtual_time import VirtualTimeLoop

N_BARS = 8  # of the markets; most tests need only the first
SECOND = 1_000
Script = Callable[["Stage"], Awaitable[None]]


class Stage:
    """A venue, its history and a feed that follows it; what the feed said and gave."""

    def __init__(self, switches: Switches, begin_s: float = -20.0) -> None:
        self.clock = Clock(START_MS + int(begin_s * SECOND))
        self.markets = [
            Market("BTCUSD", seed=3, trades_per_bar=14.0, n_bars=N_BARS),
            Market("THINUSD", seed=5, trades_per_bar=0.8, n_bars=N_BARS),
        ]
        self.venue = ScriptedVenue(self.markets, self.clock, switches)
        self.history = ScriptedHistory(self.markets, self.clock, switches)
        self.n_bars = N_BARS
        self.notices: list[Notice] = []
        self.batches: list[Rows] = []
        self.feed: DeltaFeed

    @property
    def rows(self) -> Rows:
        return np.concatenate(self.batches)

    def kinds(self) -> list[NoticeKind]:
        return [notice.kind for notice in self.notices]

    def told(self, kind: NoticeKind) -> list[tuple[str, str]]:
        return [(n.symbol, n.detail) for n in self.notices if n.kind is kind]

    def bars(self, symbol: int) -> list[Bar]:
        rows = self.rows[self.rows["symbol"] == symbol]
        names = ("open_ms", "open", "high", "low", "close", "volume")
        return [Bar(*values) for values in rows[list(names)].tolist()]

    def assert_whole(self, first_bar: int = 0) -> None:
        """Hold the feed to its promise: the venue's own candles, each once, instants complete and in order."""
        for index, market in enumerate(self.markets):
            assert self.bars(index) == market.truth()[first_bar : self.n_bars], market.symbol
        stamps = self.rows["open_ms"]
        assert (np.diff(stamps) >= 0).all()
        assert self.rows["symbol"].tolist() == [0, 1] * (len(stamps) // 2)

    async def at(self, after_s: float) -> None:
        """Wait until so many seconds after the start."""
        await self.clock.sleep_until(START_MS + int(after_s * SECOND))


async def play(
    script: Script | None,
    switches: Switches,
    live: dict[str, Any],
    after_ms: int | None,
    n_bars: int,
    begin_s: float,
) -> Stage:
    stage = Stage(switches, begin_s)
    stage.n_bars = n_bars
    stage.venue.has_trades = live.get("candles") == "trades"
    async with serving(stage.venue) as url:
        urls = {"compact_url": url, "legacy_url": url, "rest_url": "http://127.0.0.1:1"}
        settings = Live(**{"history_bars": 0, **urls, **live})
        stage.feed = DeltaFeed(
            settings,
            FeedStart(tuple(m.symbol for m in stage.markets), after_ms, stage.notices.append),
            stage.clock,
            stage.history,
            seed=1,
        )
        actor = asyncio.create_task(script(stage)) if script is not None else None
        last_ms = START_MS + (n_bars - 1) * LENGTH_MS
        async with stage.clock.timeout(3_000.0), contextlib.aclosing(aiter(stage.feed)) as candles:
            async for rows in candles:
                stage.batches.append(rows)
                if rows["open_ms"][-1] >= last_ms:
                    break
        if actor is not None:
            await actor
    assert not [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    return stage


def run(
    script: Script | None = None,
    switches: Switches = Switches(),  # noqa: B008 # a value
    *,
    after_ms: int | None = START_MS - LENGTH_MS,
    n_bars: int = 4,
    begin_s: float = -20.0,
    **live: Any,
) -> Stage:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(play(script, switches, live, after_ms, n_bars, begin_s))


@pytest.mark.parametrize("candles", ["stream", "trades", "poll"])
@pytest.mark.parametrize(
    "switches",
    [
        Switches(),
        Switches(has_start=False, final="late", no_trade="flat"),
        Switches(final="missing", lag_ms=1_500),
    ],
    ids=str,
)
def test_candles_are_the_venues_from_every_source(candles: str, switches: Switches) -> None:
    stage = run(switches=switches, candles=candles)

    stage.assert_whole()
    filled = stage.rows[stage.rows["volume"] == 0.0]["flag_bits"]
    assert len(filled)
    assert set(filled.tolist()) == {FLAG_FILLED}


@pytest.mark.parametrize("numbers", ["strings", "ints"])
@pytest.mark.parametrize("is_legacy", [False, True])
def test_both_generations_and_every_way_to_write_numbers(numbers: Any, is_legacy: bool) -> None:
    stage = run(
        switches=Switches(numbers=numbers, is_legacy=is_legacy), protocol="legacy" if is_legacy else "compact"
    )

    stage.assert_whole()
    assert stage.feed.stats.candles["BTCUSD", "stream"] > 0


def test_the_upgrade_introduces_itself_and_asks_for_everything() -> None:
    stage = run(n_bars=1)

    assert stage.venue.user_agents == ["papertape/0.1"]
    assert stage.venue.received[0] == {"type": "enable_heartbeat"}
    assert subscribed(stage.venue) == [
        "candlestick_1m",
        "mark_price",
        "funding_rate",
        "system_status",
        "product_updates",
    ]


def test_history_comes_first_then_live() -> None:
    # Four and a half minutes in, the last three closed candles are numbers 1 to 3.
    stage = run(after_ms=None, history_bars=3, begin_s=270.0, n_bars=6)

    stage.assert_whole(first_bar=1)
    assert len(stage.batches[0]) == 3 * 2
    assert stage.feed.stats.candles["BTCUSD", "backfill"] >= 3


def test_without_history_the_first_candle_is_the_forming_one() -> None:
    stage = run(after_ms=None, begin_s=130.0)

    stage.assert_whole(first_bar=2)


def test_what_was_missed_is_backfilled_before_live() -> None:
    stage = run(after_ms=START_MS, begin_s=200.0, n_bars=5)

    stage.assert_whole(first_bar=1)
    assert next((n.open_ms, n.value) for n in stage.notices if n.kind is NoticeKind.GAP) == (
        START_MS + LENGTH_MS,
        2.0,  # numbers 1 and 2
    )


def test_a_cut_connection_loses_nothing() -> None:
    async def cut(stage: Stage) -> None:
        for after_s in (30, 119, 121, 200):
            await stage.at(after_s)
            stage.venue.abort()

    stage = run(cut, n_bars=N_BARS)

    stage.assert_whole()
    assert stage.told(NoticeKind.DISCONNECTED) == [("", "closed")] * 4
    assert stage.feed.stats.reconnects["closed"] == 4
    assert len(stage.told(NoticeKind.CONNECTED)) == 5


def test_an_outage_of_stream_and_history_ends_as_if_it_had_not_been() -> None:
    async def outage(stage: Stage) -> None:
        await stage.at(70)
        stage.venue.refusal, stage.history.fails = 503, True
        stage.venue.abort()
        await stage.at(290)
        stage.venue.refusal, stage.history.fails = None, False

    stage = run(outage, n_bars=N_BARS)

    stage.assert_whole()
    assert NoticeKind.ABSENT not in stage.kinds()
    assert NoticeKind.GAP in stage.kinds()


def test_a_start_without_history_waits_for_it_and_says_so() -> None:
    async def fail(stage: Stage) -> None:
        stage.history.fails = True
        await stage.at(80)
        stage.history.fails = False

    stage = run(fail)

    stage.assert_whole()
    assert stage.told(NoticeKind.VENUE) == [("", "history: history: HTTP 503")]


def test_trades_from_another_time_make_no_candle() -> None:
    async def send(stage: Stage) -> None:
        await stage.at(10)
        for shift_s in (-120, 120):
            us = (START_MS + (10 + shift_s) * SECOND) * 1000
            await stage.venue.send(
                {"p": "1.0", "s": 9.0, "sy": "BTCUSD", "t": us, "ts": us, "type": "trades"}
            )

    stage = run(send, candles="trades", n_bars=2)

    stage.assert_whole()
    assert stage.feed.stats.bad_messages["stale_trade"] == 2


def test_a_frozen_venue_is_noticed_by_its_missing_pong() -> None:
    async def freeze(stage: Stage) -> None:
        await stage.at(65)
        stage.venue.is_frozen = True
        await stage.at(115)
        stage.venue.is_frozen = False

    stage = run(freeze, n_bars=N_BARS)

    stage.assert_whole()
    assert stage.feed.stats.reconnects["timeout"] >= 1


def test_a_venue_that_never_acknowledges_is_left_and_tried_again() -> None:
    async def mute(stage: Stage) -> None:
        stage.venue.acknowledges = False
        await stage.at(40)
        stage.venue.acknowledges = True

    stage = run(mute)

    stage.assert_whole()
    assert stage.feed.stats.reconnects["timeout"] >= 2


def test_an_acknowledged_and_silent_subscription_is_renewed_then_polled_then_restored() -> None:
    async def silence(stage: Stage) -> None:
        await stage.at(1)
        stage.venue.silent.add("BTCUSD")
        await stage.at(330)
        stage.venue.silent.clear()

    stage = run(silence, n_bars=N_BARS)

    stage.assert_whole()
    assert "unsubscribe" in [message["type"] for message in stage.venue.received]
    assert stage.told(NoticeKind.DEGRADED) == [("BTCUSD", "silent subscription")]
    assert stage.told(NoticeKind.RESTORED) == [("BTCUSD", "")]


def test_another_host_is_tried_when_one_does_not_know_our_channels() -> None:
    async def refuse(stage: Stage) -> None:
        stage.venue.knows_channels = False
        await stage.at(3)
        stage.venue.knows_channels = True

    stage = run(refuse)

    stage.assert_whole()
    assert [d for _, d in stage.told(NoticeKind.CONNECTED)] in (["legacy"], ["compact"])
    assert any("does not know our channels" in d for _, d in stage.told(NoticeKind.VENUE))


def test_a_refused_candle_channel_is_told_and_candles_are_polled() -> None:
    async def refuse(stage: Stage) -> None:
        stage.venue.refused_channels["candlestick_1m"] = "subscription forbidden"
        stage.venue.silent |= {"BTCUSD", "THINUSD"}

    stage = run(refuse)

    stage.assert_whole()
    assert stage.told(NoticeKind.VENUE) == [("", "candlestick_1m refused: subscription forbidden")]
    assert stage.told(NoticeKind.DEGRADED) == [("", "candlestick_1m refused")]
    assert stage.venue.n_upgrades == 1


def test_http_429_at_the_upgrade_is_waited_out() -> None:
    async def refuse(stage: Stage) -> None:
        stage.venue.refusal = 429
        await stage.at(100)
        stage.venue.refusal = None

    stage = run(refuse, n_bars=N_BARS)

    stage.assert_whole()
    assert stage.venue.n_upgrades == 2  # the second one five minutes after the first


def spoiler(seed: int) -> Callable[[bytes], list[bytes]]:
    """Return something that drops, doubles, swaps, cuts and invents frames."""
    chance = random.Random(seed)
    held: list[bytes] = []

    def spoil(data: bytes) -> list[bytes]:
        what = chance.random()
        if what < 0.1:
            return []
        if what < 0.2:
            return [data, data]
        if what < 0.3:
            held.append(data)
            return []
        if what < 0.4 and held:
            return [data, held.pop()]
        if what < 0.5:
            return [data[: len(data) // 2], b'{"type":"novelty"}', b"\xff\x00{", data]
        if what < 0.55:
            message = json.loads(data)
            message |= {key: "NaN" for key in ("h", "p") if key in message}
            return [json.dumps(message).encode(), data]
        if what < 0.6:
            return [json.dumps({**json.loads(data), "sy": "OTHERUSD"}).encode(), data]
        return [data]

    return spoil


@pytest.mark.parametrize("candles", ["stream", "trades"])
@pytest.mark.parametrize("seed", range(3))
def test_spoilt_frames_spoil_no_candle(candles: str, seed: int) -> None:
    async def spoil(stage: Stage) -> None:
        stage.venue.spoil = spoiler(seed)

    stage = run(spoil, candles=candles)

    stage.assert_whole()
    bad = stage.feed.stats.bad_messages
    assert bad["not_json"] > 0
    assert bad["bad_price"] > 0
    assert bad["wrong_symbol"] > 0
    assert stage.feed.stats.messages["unknown"] > 0


def test_history_that_fails_leaves_the_streams_candles_marked() -> None:
    async def fail(stage: Stage) -> None:
        await stage.at(2)
        stage.history.fails = True

    stage = run(fail, n_bars=3)
    busy = stage.bars(0)

    assert busy == stage.markets[0].truth()[:3]
    assert stage.told(NoticeKind.UNCONFIRMED).count(("BTCUSD", "")) == 3
    thin = stage.rows[stage.rows["symbol"] == 1]
    quiet = [bar.volume == 0.0 for bar in stage.markets[1].truth()[:3]]
    assert (thin["flag_bits"] == FLAG_ABSENT).tolist() == quiet


def test_an_unknown_symbol_is_refused_at_the_start() -> None:
    async def follow() -> None:
        stage = Stage(Switches())
        del stage.history.listed["THINUSD"]
        async for _ in DeltaFeed(Live(), FeedStart(("BTCUSD", "THINUSD")), stage.clock, stage.history):
            pass

    with (
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
        pytest.raises(ConfigError, match=r"live\.symbols: 'THINUSD' is not listed: .*BTCUSD"),
    ):
        runner.run(follow())


def test_prices_funding_and_halts_are_followed() -> None:
    async def events(stage: Stage) -> None:
        await stage.at(10)
        send = stage.venue.send
        now_us = (START_MS + 10 * SECOND) * 1000
        settles_us = (START_MS + 60 * SECOND) * 1000
        await send({"p": "86418.2", "sy": "MARK:BTCUSD", "ts": now_us, "type": "mark_price"})
        await send(
            {"fi": 28800, "fr": 0.01, "nfr": settles_us, "sy": "BTCUSD", "ts": now_us, "type": "funding_rate"}
        )
        await send({"event": "maintenance_started", "status": "maintenance", "type": "system_status"})
        await send(
            {
                "event": "start_auction",
                "type": "product_updates",
                "product": {"symbol": "BTCUSD", "trading_status": "disrupted_post_only"},
            }
        )
        stage.history.listed["BTCUSD"] = Product(tick_size=0.1)
        await stage.at(15)
        assert stage.feed.in_maintenance
        assert stage.feed.halted == {"BTCUSD": "disrupted_post_only"}
        assert stage.feed.fundings.marks["BTCUSD"].price == 86418.2
        await send({"event": "maintenance_finished", "status": "live", "type": "system_status"})
        await send(
            {
                "event": "finish_auction",
                "type": "product_updates",
                "product": {"symbol": "BTCUSD", "trading_status": "operational"},
            }
        )
        await stage.at(20)
        assert not stage.feed.in_maintenance
        assert stage.feed.halted == {}

    stage = run(events, n_bars=2)

    (settlement,) = stage.feed.settlements
    assert settlement == ChargedFunding("BTCUSD", START_MS + 60 * SECOND, 0.0001, 86418.2)
    assert stage.told(NoticeKind.VENUE) == [
        ("", "maintenance_started: maintenance"),
        ("BTCUSD", "start_auction: disrupted_post_only"),
        ("BTCUSD", "tick_size 0.5 → 0.1"),
        ("", "maintenance_finished: live"),
        ("BTCUSD", "finish_auction: operational"),
    ]


def test_leaving_says_goodbye_within_two_seconds() -> None:
    stage = run(n_bars=1)

    assert stage.venue.received[-1]["type"] == "unsubscribe"
    assert stage.venue.close_codes == [1000]


def test_counters_tell_what_happened() -> None:
    stage = run()
    stats = stage.feed.stats

    assert stats.messages["candle"] > 40
    assert stats.messages["heartbeat"] > 10
    assert stats.last_close_ms == dict.fromkeys(("BTCUSD", "THINUSD"), START_MS + 4 * LENGTH_MS)
    n_candles = sum(n for (symbol, _), n in stats.candles.items() if symbol == "BTCUSD")
    assert n_candles == 4
    assert len(stats.arrival_delay_ms) == 2 * 4
    assert 1_000.0 <= min(stats.arrival_delay_ms) <= max(stats.arrival_delay_ms) <= 8_200.0


def test_raw_frames_are_recorded_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"

    async def record(stage: Stage) -> None:
        await stage.at(5)
        stage.feed.record(path)
        await stage.at(40)
        stage.feed.record(None)

    run(record, n_bars=1)
    lines = [json.loads(line) for line in path.read_text().splitlines()]

    assert {line["direction"] for line in lines} == {"in", "out"}
    assert all(START_MS + 5 * SECOND <= line["time_ms"] <= START_MS + 40 * SECOND for line in lines)
    assert any(json.loads(line["text"])["type"] == "candlestick_1m" for line in lines)
