"""The small parts of a feed: trades, merge, backfill, back-off, subscriptions, clocks, funding, freshness, recorder."""

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from papertape.daemon.feeds.backoff import LIMIT_ATTEMPTS, TOO_MANY_S, Backoff
from papertape.daemon.feeds.delta.alarms import Alarms
from papertape.daemon.feeds.delta.fields import time_us
from papertape.daemon.feeds.delta.freshness import Freshness, Remedy
from papertape.daemon.feeds.delta.funding import Fundings
from papertape.daemon.feeds.delta.messages import Ack, Channel, FundingFrame, MarkFrame
from papertape.daemon.feeds.delta.recorder import FrameRecorder
from papertape.daemon.feeds.delta.subscriptions import Subscriptions
from papertape.daemon.feeds.finality.backfill import REACH_BARS, WINDOW_BARS, Backfill, KnownBefore, look_back
from papertape.daemon.feeds.finality.bars import Bar, FinalCandle
from papertape.daemon.feeds.finality.merge import Merge
from papertape.daemon.feeds.finality.trades import TradeCandles
from papertape.daemon.feeds.outbox import Outbox
from papertape.daemon.feeds.protocol import FeedStats, Notice, NoticeKind
from papertape.daemon.feeds.settlements import ChargedFunding
from papertape.daemon.feeds.venue_clock import VenueClock
from papertape.engine.candles import CANDLE, FLAG_ABSENT, FLAG_FILLED
from papertape.engine.jit import Rows
from papertape.replay.config.live import Live
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_profiles import PROFILES, find_profile
from tests.support.virtual_time import VirtualTimeLoop

MINUTE = 60_000
T = 1_795_428_900_000
US = 1_000


def test_trades_make_the_candle_whatever_their_order() -> None:
    candles = TradeCandles(MINUTE, 0.001)
    trades = [(86_000.0, 3.0, 10), (86_010.0, 5.0, 30), (85_990.0, 2.0, 20)]  # the third was matched second

    states = [candles.add(price, size, (T + ms) * US) for price, size, ms in trades]

    assert states[-1] == Bar(T, 86_000.0, 86_010.0, 85_990.0, 86_010.0, 10.0 * 0.001)
    assert candles.add(86_050.0, 1.0, (T + 5) * US).open == 86_050.0


def test_volume_from_trades_has_the_bits_of_one_multiplication() -> None:
    candles = TradeCandles(MINUTE, 0.1)

    bars = [candles.add(100.0, 1.0, (T + i) * US) for i in range(10)]

    assert bars[-1].volume == 10.0 * 0.1
    assert bars[-1].volume != sum([1.0 * 0.1] * 10)  # 0.9999999999999999


def test_trades_of_two_candles_do_not_mix() -> None:
    candles = TradeCandles(MINUTE, 1.0)
    candles.add(100.0, 1.0, (T + 59_999) * US)
    candles.add(101.0, 1.0, (T + 60_000) * US)

    late = candles.add(102.0, 2.0, (T + 59_000) * US)

    assert late == Bar(T, 102.0, 102.0, 100.0, 100.0, 3.0)


def final(symbol: str, minute: int, close: float = 100.0) -> FinalCandle:
    return FinalCandle(symbol, Bar.flat(T + minute * MINUTE, close), 0, "stream", True)


def test_an_instant_is_complete_with_every_symbol_in_order() -> None:
    merge = Merge(["A", "B"])
    for given in (final("B", 0, 2.0), final("A", 0, 1.0), final("A", 1, 1.5)):
        merge.put(given)
    merge.passed("A", T + 2 * MINUTE)
    merge.passed("B", T + MINUTE)

    rows = merge.rows(merge.take())

    assert rows["symbol"].tolist() == [0, 1]
    assert rows["close"].tolist() == [1.0, 2.0]
    assert rows["open_ms"].tolist() == [T, T]
    assert merge.take() == []  # the second one waits for B


def test_instants_before_the_first_price_of_a_symbol_are_dropped() -> None:
    merge = Merge(["A", "B"])
    for given in (final("A", 0), final("A", 1), final("B", 1)):
        merge.put(given)
    merge.passed("A", T + 2 * MINUTE)
    merge.passed("B", T + 2 * MINUTE)

    assert [f.bar.open_ms for f in merge.take()] == [T + MINUTE] * 2
    assert merge.take() == []


def tape(minutes: list[int], close: float = 100.0, volume: float = 1.0) -> Rows:
    rows = np.zeros(len(minutes), CANDLE)
    rows["open_ms"] = T + MINUTE * np.array(minutes)
    for name in ("open", "high", "low", "close"):
        rows[name] = close + np.array(minutes)
    rows["volume"] = volume
    return rows


def test_backfill_declares_absent_what_history_lacks() -> None:
    backfill = Backfill(["A", "B"], MINUTE, T)
    window = backfill.window(T + 3 * MINUTE)
    assert window is not None

    rows = backfill.fill(window, {"A": tape([0, 2]), "B": tape([0, 1, 2], 200.0)})

    assert rows["symbol"].tolist() == [0, 1] * 3
    assert rows["flag_bits"].tolist() == [0, 0, FLAG_ABSENT, 0, 0, 0]
    assert rows["close"].tolist() == [100.0, 200.0, 100.0, 201.0, 102.0, 202.0]
    assert rows["volume"].tolist() == [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    assert backfill.window(T + 4 * MINUTE - 1) is None


def test_a_market_without_any_history_has_not_traded_one_with_a_hole_is_absent() -> None:
    """B traded last two hours ago, C trades in the second minute and then no more: a sparse history shows just that."""
    known = [KnownBefore(), KnownBefore(7.0, T - 120 * MINUTE), KnownBefore(9.0)]
    backfill = Backfill(["A", "B", "C"], MINUTE, T, known)
    window = backfill.window(T + 3 * MINUTE)
    assert window is not None
    rows = backfill.fill(window, {"A": tape([0, 1, 2]), "B": tape([]), "C": tape([1])})

    flags = rows["flag_bits"].reshape(3, 3).T.tolist()
    assert flags == [[0, 0, 0], [FLAG_FILLED] * 3, [FLAG_FILLED, 0, FLAG_ABSENT]]
    assert rows["close"][rows["symbol"] == 1].tolist() == [7.0] * 3
    assert backfill.known == [
        KnownBefore(102.0, T + 2 * MINUTE),
        KnownBefore(7.0, T - 120 * MINUTE),
        KnownBefore(101.0, T + MINUTE),
    ]


@pytest.mark.parametrize(
    ("traded", "known", "n_asked"),
    [
        (1, KnownBefore(99.0, T - MINUTE), 1),
        (240, KnownBefore(100.0 - 240, T - 240 * MINUTE), 1),
        (241, KnownBefore(100.0 - 241, T - 241 * MINUTE), 2),
        (2_000, KnownBefore(100.0 - 2_000, T - 2_000 * MINUTE), 2),
        (2_001, KnownBefore(55.0), 2),
    ],
)
@pytest.mark.asyncio
async def test_the_last_trade_is_looked_for_as_far_as_a_page_goes(
    traded: int, known: KnownBefore, n_asked: int
) -> None:
    asked: list[int] = []

    async def fetch(symbol: str, first_ms: int, last_ms: int) -> Rows:
        asked.append(first_ms)
        assert last_ms == T - MINUTE
        return tape([-traded] if first_ms <= T - traded * MINUTE else [])

    assert await look_back("X", T, MINUTE, fetch, 55.0) == known
    assert len(asked) == n_asked


def test_the_wait_of_an_instant_is_the_last_symbols() -> None:
    waited = Counter[str]()
    merge = Merge(["A", "B", "C"], waited)
    for symbol, ready_ms in (("A", 61_100), ("B", 69_000), ("C", 61_200)):
        merge.put(final(symbol, 0)._replace(ready_ms=T + ready_ms))
        merge.passed(symbol, T + MINUTE)

    assert len(merge.take()) == 3
    assert waited == {"B": 7_800}


def test_backfill_keeps_the_flags_of_history() -> None:
    backfill = Backfill(["A"], MINUTE, T)
    window = backfill.window(T + MINUTE)
    assert window is not None
    rows = tape([0], volume=0.0)
    rows["flag_bits"] = FLAG_FILLED

    assert backfill.fill(window, {"A": rows})["flag_bits"].tolist() == [FLAG_FILLED]


def test_backfill_starts_where_every_symbol_has_a_price() -> None:
    backfill = Backfill(["A", "B"], MINUTE, T)
    window = backfill.window(T + 3 * MINUTE)
    assert window is not None

    rows = backfill.fill(window, {"A": tape([0, 1, 2]), "B": tape([1, 2])})

    assert rows["open_ms"].tolist() == [T + MINUTE] * 2 + [T + 2 * MINUTE] * 2


def test_backfill_knows_the_price_from_before_its_window() -> None:
    backfill = Backfill(["A"], MINUTE, T)
    window = backfill.window(T + MINUTE)
    assert window is not None
    assert window.ask_ms == T - REACH_BARS * MINUTE

    rows = backfill.fill(window, {"A": tape([-7])})

    assert rows["close"].tolist() == [93.0]
    assert rows["flag_bits"].tolist() == [FLAG_ABSENT]


def test_backfill_goes_window_by_window_without_a_hole() -> None:
    n = 4_000
    backfill = Backfill(["A"], MINUTE, T)
    parts = []
    while (window := backfill.window(T + n * MINUTE)) is not None:
        first, last = (window.ask_ms - T) // MINUTE, (window.last_ms - T) // MINUTE
        assert last - first < WINDOW_BARS
        parts.append(backfill.fill(window, {"A": tape(list(range(first, last + 1)))}))

    rows = np.concatenate(parts)
    assert rows["open_ms"].tolist() == [T + i * MINUTE for i in range(n)]
    assert not rows["flag_bits"].any()


def test_pauses_are_jittered_doubled_and_bounded() -> None:
    pauses = []
    for seed in range(200):
        backoff = Backoff(random.Random(seed))
        pauses.append([backoff.pause_s(i * 1_000_000) for i in range(12)])
    columns = list(zip(*pauses, strict=True))

    assert set(columns[0]) == {0.0}
    for number, column in enumerate(columns[1:]):
        bound = min(60.0, 0.5 * 2**number)
        assert 0.9 * bound < max(column) <= bound
        assert min(column) < 0.1 * bound
    assert pauses[3] == [b.pause_s(i * 1_000_000) for b in [Backoff(random.Random(3))] for i in range(12)]


def test_attempts_are_limited_per_window() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(LIMIT_ATTEMPTS):
        backoff.reset()
        assert backoff.pause_s(0) == 0.0
    backoff.reset()

    assert backoff.pause_s(1_000) == 299.0


def test_the_venue_may_ask_for_longer_pauses() -> None:
    assert Backoff(random.Random(1)).pause_s(0, is_refused=True) == TOO_MANY_S
    assert Backoff(random.Random(1)).pause_s(0, in_maintenance=True) == 30.0


def test_subscriptions_are_asked_in_frames_of_a_hundred_symbols() -> None:
    symbols = [f"S{i}" for i in range(250)]
    frames = [json.loads(f) for f in Subscriptions(symbols, "1m", "stream").requests("compact")]

    entries = [entry for frame in frames for entry in frame["payload"]["channels"]]
    for frame in frames:
        assert sum(len(e.get("symbols", ())) for e in frame["payload"]["channels"]) <= 100
    for name, prefix in (("candlestick_1m", ""), ("mark_price", "MARK:"), ("funding_rate", "")):
        found = [s for e in entries if e["name"] == name for s in e["symbols"]]
        assert found == [prefix + symbol for symbol in symbols]
    assert {"name": "system_status"} in entries


@pytest.mark.parametrize(
    ("candles", "protocol", "channel"),
    [
        ("stream", "compact", "candlestick_5m"),
        ("stream", "legacy", "candlestick_5m"),
        ("trades", "compact", "trades"),
        ("trades", "legacy", "all_trades"),
        ("poll", "compact", None),
    ],
)
def test_candles_come_from_their_channel(candles: str, protocol: str, channel: str | None) -> None:
    subscriptions = Subscriptions(["X"], "5m", candles)

    assert subscriptions.candle_channel(protocol) == channel  # type: ignore[arg-type]
    assert (channel in subscriptions.wanted(protocol)) == (channel is not None)  # type: ignore[arg-type]


def test_acknowledgements_are_checked_symbol_by_symbol() -> None:
    subscriptions = Subscriptions(["X", "Y"], "1m", "stream")
    subscriptions.requests("compact")
    subscriptions.acknowledge(Ack((Channel("candlestick_1m", ("X",), ""),)), "compact")
    assert subscriptions.missing("compact") == [("candlestick_1m", "Y")]

    subscriptions.acknowledge(Ack((Channel("candlestick_1m", ("X", "Y"), ""),)), "compact")
    assert subscriptions.missing("compact") == []


def test_a_refused_channel_is_reported_once_and_not_waited_for() -> None:
    subscriptions = Subscriptions(["X"], "1m", "stream")
    subscriptions.requests("compact")
    refusal = Ack((Channel("candlestick_1m", (), "forbidden"), Channel("other", (), "forbidden")))

    assert subscriptions.acknowledge(refusal, "compact") == ["candlestick_1m"]
    assert subscriptions.acknowledge(refusal, "compact") == []
    assert subscriptions.missing("compact") == []


def in_virtual_time(check: object) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(check)  # type: ignore[arg-type]


def test_headers_give_the_venues_time_unless_the_stream_contradicts_them() -> None:
    async def check() -> None:
        clock = Clock(T)
        venue = VenueClock(clock)
        assert venue.now_ms() == T
        venue.header_offset_ms = 400.0
        assert venue.now_ms() == T + 400

        assert venue.sighted((T + 350) * US) == 50.0  # published at 350 by the venue's clock, received at 400
        assert (venue.disagreement_ms, venue.offset_ms) == (0.0, 400.0)

        venue.header_offset_ms = 60_000.0
        assert (venue.disagreement_ms, venue.offset_ms) == (59_650.0, 350.0)

        await clock.sleep(150.0)  # two windows without a stamp: the headers are all there is
        venue.sighted((clock.now_ms() + 100) * US)
        assert venue.stream_offset_ms == 350.0
        await clock.sleep(70.0)
        venue.sighted((clock.now_ms() + 100) * US)
        assert venue.stream_offset_ms == 100.0

    in_virtual_time(check())


# Two readings agree as far as they can be read: our own stamp is a whole millisecond, a header is as sure as half the way
# of its request. With a doubt of 41 ms the stream may be 42 ms ahead.
@pytest.mark.parametrize(
    ("header_ms", "doubt_ms", "stream_us", "disagreement_ms"),
    [
        (0.0, 1.0, 1_000, 0.0),
        (-0.6, 1.0, 900, 0.0),  # both read right to the millisecond: the kind of the 223 notices
        (0.0, 1.0, 2_000, 0.0),
        (0.0, 1.0, 2_100, -2.1),
        (0.0, 41.0, 42_000, 0.0),  # an answer that took 80 ms longer one way than the other
        (0.0, 41.0, 43_000, -43.0),
        (2_000.0, 1.0, 0, 0.0),
        (2_001.0, 1.0, 0, 2_001.0),
    ],
)
@pytest.mark.asyncio
async def test_headers_disagree_only_by_more_than_can_be_read(
    header_ms: float, doubt_ms: float, stream_us: int, disagreement_ms: float
) -> None:
    class StandingClock(Clock):
        def now_ms(self) -> int:
            return T

    venue = VenueClock(StandingClock(T))
    venue.sighted(T * US + stream_us)
    venue.header_offset_ms, venue.header_doubt_ms = header_ms, doubt_ms

    assert venue.disagreement_ms == pytest.approx(disagreement_ms, abs=1e-3)


def test_alarms_are_told_when_they_begin() -> None:
    async def check() -> None:
        clock = Clock(T)
        venue, stats = VenueClock(clock), FeedStats()
        told: list[Notice] = []
        alarms = Alarms(stats, venue, told.append)
        alarms.look(T)
        venue.header_offset_ms = 45_000.0
        stats.messages["candle"] += 30
        stats.bad_messages["not_json"] += 31
        alarms.look(T + 60_000)
        alarms.look(T + 61_000)

        assert [(n.kind, n.detail, n.value) for n in told] == [
            (NoticeKind.CLOCK, "far from the venue's", 45_000.0),
            (NoticeKind.VENUE, "bad messages", 31.0),
        ]
        assert stats.clock_offset_ms == 45_000.0

    in_virtual_time(check())


SETTLES = 1_795_449_600_000  # 2026-11-23 16:00 UTC


def test_a_settlement_charges_the_last_estimate_before_it() -> None:
    fundings = Fundings()
    fundings.mark(MarkFrame("X", 86_500.0, 0))
    for before_ms, rate in ((120_000, 0.0001), (60_000, 0.0002)):
        fundings.estimate(FundingFrame("X", rate, 28_800, SETTLES, (SETTLES - before_ms) * US))
    next_ms = SETTLES + 28_800_000
    fundings.estimate(FundingFrame("X", 0.0009, 28_800, next_ms, (SETTLES + 500) * US))
    assert fundings.settle(SETTLES + 1_999) == []

    assert fundings.settle(SETTLES + 2_000) == [ChargedFunding("X", SETTLES, 0.0002, 86_500.0)]
    assert fundings.settle(SETTLES + 9_000) == []
    assert fundings.rates["X"].rate_fraction == 0.0009


def test_a_stale_estimate_is_not_charged() -> None:
    fundings = Fundings()
    fundings.estimate(FundingFrame("X", 0.0001, 28_800, SETTLES, (SETTLES - 300_001) * US))

    assert fundings.settle(SETTLES + 2_000) == [ChargedFunding("X", SETTLES, None, 0.0)]


def test_lost_candles_lead_to_remedies_one_after_the_other() -> None:
    freshness = Freshness(["X", "Y"])
    assert [freshness.missed("X") for _ in range(4)] == [
        Remedy.NONE,
        Remedy.RENEW,
        Remedy.NONE,
        Remedy.DEGRADE,
    ]
    assert [freshness.missed("Y") for _ in range(3)][-1] is Remedy.RECONNECT

    assert freshness.shown("X")
    assert not freshness.shown("X")
    assert not freshness.shown("Y")


def test_the_outbox_joins_what_has_arrived_and_holds_a_slow_reader_up() -> None:
    async def check() -> None:
        outbox = Outbox(max_rows=3)
        await outbox.put(tape([0, 1]))
        await outbox.put(tape([2]))
        writer = asyncio.create_task(outbox.put(tape([3])))
        await asyncio.sleep(1.0)
        assert not writer.done()

        rows = await outbox.take()
        assert rows is not None
        assert rows["open_ms"].tolist() == [T, T + MINUTE, T + 2 * MINUTE]
        await writer
        await outbox.close()
        assert (await outbox.take()) is not None
        assert await outbox.take() is None

    in_virtual_time(check())


def test_the_recorder_writes_lines_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "frames" / "today.jsonl"
    with FrameRecorder(path, max_bytes=130) as recorder:
        recorder.write(T, "out", b'{"type":"ping"}')
        recorder.write(T + 1, "in", '{"type":"pong"}')
        recorder.write(T + 2, "in", "x" * 100)
        assert (recorder.n_frames, recorder.is_full) == (1, True) or recorder.n_frames == 2

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"time_ms": T, "direction": "out", "text": '{"type":"ping"}'}
    assert path.stat().st_size <= 130


def test_every_profile_has_addresses_and_each_can_be_replaced() -> None:
    for name in PROFILES:
        urls = find_profile(name)
        assert urls.rest_url.startswith("https://")
        assert urls.legacy_url.startswith("wss://")
        assert Live(profile=name)  # type: ignore[arg-type] # every profile can be configured

    urls = find_profile("india", compact_url="ws://127.0.0.1:1")
    assert urls == PROFILES["india"]._replace(compact_url="ws://127.0.0.1:1")


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (1_795_428_900, T * US),
        (T, T * US),
        (T * US, T * US),
        (T * US * 1000, T * US),
        (str(T), T * US),
        (0, 0),
        (None, 0),
        (float("nan"), 0),
        (-5, 0),
    ],
)
def test_times_are_told_by_magnitude(value: object, us: int) -> None:
    assert time_us(value) == us
