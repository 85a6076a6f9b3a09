"""What a feed counts and tells: cumulative counters become increments, measurements are drained, strangers become `other`."""

import pytest
from prometheus_client import CollectorRegistry

from papertape.daemon.feeds.protocol import FeedStats, Notice, NoticeKind
from papertape.daemon.metrics import PREFIX, Metrics, Restored, Scope
from tests.support.metric_values import value

SCOPE = Scope(
    symbols=("BTCUSD", "ETHUSD"),
    base_timeframe="1m",
    timeframe="15m",
    currency="USD",
    feeds=("delta",),
    jobs=("audit",),
)
START_S = 1_700_000_000.0


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(SCOPE, START_S)


def timeless(registry: CollectorRegistry) -> dict[object, float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


def test_only_what_is_new_is_added(metrics: Metrics) -> None:
    stats = FeedStats(is_connected=True)
    stats.messages.update({"candle": 10, "heartbeat": 3})
    stats.candles[("BTCUSD", "stream")] = 4
    stats.reconnects["closed"] = 1
    stats.bad_messages["not_json"] = 2
    stats.rest_requests["429"] = 5
    metrics.on_feed(stats, "delta")
    stats.messages["candle"] += 7
    metrics.on_feed(stats, "delta")
    metrics.on_feed(stats, "delta")

    assert value(metrics, "feed_messages_total", feed="delta", kind="candle") == 17.0
    assert value(metrics, "feed_messages_total", feed="delta", kind="heartbeat") == 3.0
    source = {"symbol": "BTCUSD", "timeframe": "1m", "source": "stream"}
    assert value(metrics, "candles_total", **source) == 4.0
    assert value(metrics, "feed_reconnects_total", feed="delta", reason="closed") == 1.0
    assert value(metrics, "feed_bad_messages_total", feed="delta", reason="not_json") == 2.0
    assert value(metrics, "feed_rest_requests_total", feed="delta", status="429") == 5.0
    assert value(metrics, "feed_connected", feed="delta") == 1.0


def test_a_gap_of_all_symbols_is_counted_for_each(metrics: Metrics) -> None:
    metrics.on_notice(Notice(NoticeKind.GAP, 0, "", 60_000, 7.0, "restart"), "delta")
    metrics.on_notice(Notice(NoticeKind.GAP, 0, "ETHUSD", 60_000, 2.0), "delta")

    gaps = {s: value(metrics, "candle_gaps_total", symbol=s, timeframe="1m") for s in SCOPE.symbols}
    assert gaps == {"BTCUSD": 7.0, "ETHUSD": 9.0}


def test_waits_are_told_by_symbol(metrics: Metrics) -> None:
    stats = FeedStats(waiting_ms={"ETHUSD": 12_500})
    stats.waited_ms.update({"BTCUSD": 2_000, "DOGE": 9_000})
    metrics.on_feed(stats, "delta")
    stats.waited_ms["BTCUSD"] += 500
    metrics.on_feed(stats, "delta")

    btc, eth = ({"symbol": symbol, "timeframe": "1m"} for symbol in ("BTCUSD", "ETHUSD"))
    assert value(metrics, "candle_wait_seconds_total", **btc) == 2.5
    assert value(metrics, "candle_wait_seconds_total", **eth) == 0.0
    assert value(metrics, "candle_waiting_seconds", **eth) == 12.5

    stats.waiting_ms = {}
    metrics.on_feed(stats, "delta")
    assert value(metrics, "candle_waiting_seconds", **eth) == 0.0


def test_the_counters_of_a_new_feed_are_counted_from_zero(metrics: Metrics) -> None:
    old, new = FeedStats(), FeedStats()
    old.messages["candle"] = 10
    new.messages["candle"] = 4

    metrics.on_feed(old, "delta")
    metrics.on_feed(new, "delta")

    assert value(metrics, "feed_messages_total", feed="delta", kind="candle") == 14.0


def test_strange_kinds_are_other_and_strange_symbols_nothing(metrics: Metrics) -> None:
    stats = FeedStats(last_message_ms={"DOGE": 1}, last_close_ms={"DOGE": 1})
    stats.messages.update({"surprise": 2, "another": 3})
    stats.candles.update({("DOGE", "stream"): 5, ("BTCUSD", "rumour"): 1})

    metrics.on_feed(stats, "delta")

    assert value(metrics, "feed_messages_total", feed="delta", kind="other") == 5.0
    source = {"symbol": "BTCUSD", "timeframe": "1m", "source": "other"}
    assert value(metrics, "candles_total", **source) == 1.0
    assert b"DOGE" not in str(timeless(metrics.registry)).encode()


def test_times_are_seconds_and_begin_at_the_start(metrics: Metrics) -> None:
    stats = FeedStats(
        last_message_ms={"BTCUSD": 1_700_000_060_500},
        last_close_ms={"BTCUSD": 1_700_000_040_000},
        clock_offset_ms=-120.0,
    )

    metrics.on_feed(stats, "delta")

    message, close = "feed_last_message_timestamp_seconds", "candle_last_close_timestamp_seconds"
    assert value(metrics, message, feed="delta", symbol="BTCUSD") == 1_700_000_060.5
    assert value(metrics, message, feed="delta", symbol="ETHUSD") == START_S
    assert value(metrics, close, symbol="BTCUSD", timeframe="1m") == 1_700_000_040.0
    assert value(metrics, close, symbol="ETHUSD", timeframe="1m") == START_S
    assert value(metrics, "feed_clock_offset_seconds", feed="delta") == -0.12


def test_measurements_are_observed_once_and_drained(metrics: Metrics) -> None:
    stats = FeedStats(arrival_delay_ms=[900.0, 1500.0], message_lag_ms=[20.0])

    metrics.on_feed(stats, "delta")
    metrics.on_feed(stats, "delta")

    delay, lag = "candle_arrival_delay_seconds", "feed_lag_seconds"
    assert value(metrics, f"{delay}_count", timeframe="1m") == 2.0
    assert value(metrics, f"{delay}_sum", timeframe="1m") == pytest.approx(2.4)
    assert value(metrics, f"{lag}_bucket", feed="delta", le="0.025") == 1.0
    assert value(metrics, f"{lag}_bucket", feed="delta", le="0.01") == 0.0
    assert stats.arrival_delay_ms == stats.message_lag_ms == []


def test_notices_are_counted_by_kind_gaps_by_candles_refusals_by_reason(metrics: Metrics) -> None:
    for notice in (
        Notice(NoticeKind.GAP, 0, "BTCUSD", value=3.0),
        Notice(NoticeKind.GAP, 0, "BTCUSD", value=2.0),
        Notice(NoticeKind.REJECTED, 0, "ETHUSD", detail="bad_ohlc"),
        Notice(NoticeKind.REJECTED, 0, "ETHUSD", detail="never heard of"),
        Notice(NoticeKind.CLOCK, 0, value=900.0),
    ):
        metrics.on_notice(notice, "delta")

    assert value(metrics, "candle_gaps_total", symbol="BTCUSD", timeframe="1m") == 5.0
    assert value(metrics, "candles_rejected_total", symbol="ETHUSD", reason="bad_ohlc") == 1.0
    assert value(metrics, "candles_rejected_total", symbol="ETHUSD", reason="other") == 1.0
    assert value(metrics, "feed_notices_total", feed="delta", kind="gap") == 2.0
    assert value(metrics, "feed_notices_total", feed="delta", kind="clock") == 1.0


def test_every_kind_of_notice_has_its_series(metrics: Metrics) -> None:
    for kind in NoticeKind:
        metrics.on_notice(Notice(kind, 0), "delta")

        assert value(metrics, "feed_notices_total", feed="delta", kind=kind.value) == 1.0


def test_restored_times_are_those_of_the_journal(metrics: Metrics) -> None:
    metrics.restore(
        Restored(
            last_close_s={"BTCUSD": 1_600_000_000.0},
            job_success_s={"audit": 1_600_000_100.0},
            last_check_s=1_600_000_200.0,
        )
    )

    close, job = "candle_last_close_timestamp_seconds", "job_last_success_timestamp_seconds"
    assert value(metrics, close, symbol="BTCUSD", timeframe="1m") == 1_600_000_000.0
    assert value(metrics, close, symbol="ETHUSD", timeframe="1m") == START_S
    assert value(metrics, job, job_name="audit") == 1_600_000_100.0
    assert value(metrics, "parity_last_check_timestamp_seconds") == 1_600_000_200.0
