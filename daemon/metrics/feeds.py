"""From what a feed counts and tells to the families of feed and candles."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from papertape.daemon.feeds.protocol import FeedStats, Notice, NoticeKind
from papertape.daemon.metrics.operation_families import OTHER
from papertape.daemon.metrics.registry import Series

# Field of FeedStats → family; the field's keys are the values of the family's last label.
_COUNTED = {
    "messages": "feed_messages_total",
    "bad_messages": "feed_bad_messages_total",
    "reconnects": "feed_reconnects_total",
    "rest_requests": "feed_rest_requests_total",
}


class Feeds:
    """Follows the counters of any number of feeds and adds what is new."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._base = series.scope.base_timeframe
        self._seen: dict[tuple[str, str], Counter[Any]] = {}

    def on_feed(self, stats: FeedStats, feed: str) -> None:
        """
        Add what a feed has counted since the last call and drain its measurements.

        The counters only grow; one that fell belongs to a new feed and is counted from zero.
        """
        series = self._series
        series.gauges("feed_connected")[(feed,)].set(float(stats.is_connected))
        offset_s = stats.clock_offset_ms / 1000.0 if stats.last_message_ms else None
        series.measure("feed_clock_offset_seconds", offset_s, feed)
        for field, family in _COUNTED.items():
            counters = series.counters(family)
            for kind, n in self._new(feed, field, getattr(stats, field)).items():
                known = (feed, str(kind))
                counters[known if known in counters else (feed, OTHER)].inc(n)
        candles = series.counters("candles_total")
        for (symbol, source), n in self._new(feed, "candles", stats.candles).items():
            if symbol in series.symbols:
                key = (symbol, self._base, source)
                candles[key if key in candles else (symbol, self._base, OTHER)].inc(n)
        waited = series.counters("candle_wait_seconds_total")
        for symbol, ms in self._new(feed, "waited_ms", stats.waited_ms).items():
            if symbol in series.symbols:
                waited[(symbol, self._base)].inc(ms / 1000.0)
        self._on_times(stats, feed)
        for values, family, label in (
            (stats.arrival_delay_ms, "candle_arrival_delay_seconds", self._base),
            (stats.message_lag_ms, "feed_lag_seconds", feed),
        ):
            histogram = series.histograms(family)[(label,)]
            for value_ms in values:
                histogram.observe(value_ms / 1000.0)
            values.clear()

    def _on_times(self, stats: FeedStats, feed: str) -> None:
        """Set when each symbol was heard of last, its newest candle, and how long one is waited for."""
        for symbol in self._series.symbols & stats.last_message_ms.keys():
            heard = self._series.gauges("feed_last_message_timestamp_seconds")[(feed, symbol)]
            heard.set(stats.last_message_ms[symbol] / 1000.0)
        for symbol in self._series.symbols & stats.last_close_ms.keys():
            closed = self._series.gauges("candle_last_close_timestamp_seconds")
            closed[(symbol, self._base)].set(stats.last_close_ms[symbol] / 1000.0)
        for symbol in self._series.symbols:
            waiting = self._series.gauges("candle_waiting_seconds")[(symbol, self._base)]
            waiting.set(stats.waiting_ms.get(symbol, 0) / 1000.0)

    def _new(self, feed: str, field: str, now: Mapping[Any, int]) -> dict[Any, int]:
        """Return what was added to a counter since it was seen last."""
        before = self._seen.get((feed, field), Counter())
        self._seen[(feed, field)] = Counter(now)
        return {key: n - before[key] if n >= before[key] else n for key, n in now.items() if n != before[key]}

    def on_notice(self, notice: Notice, feed: str) -> None:
        """Count a rare fact; a gap by its candles, a refusal by its reason."""
        series, symbol = self._series, notice.symbol
        series.counters("feed_notices_total")[(feed, notice.kind.value)].inc()
        if notice.kind is NoticeKind.GAP:
            # A gap that concerns every symbol names none: what was missed while the daemon was down.
            for one in series.symbols if symbol == "" else series.symbols & {symbol}:
                series.counters("candle_gaps_total")[(one, self._base)].inc(notice.value)
        elif symbol not in series.symbols:
            return
        elif notice.kind is NoticeKind.REJECTED:
            refused = series.counters("candles_rejected_total")
            key = (symbol, notice.detail)
            refused[key if key in refused else (symbol, OTHER)].inc()
