"""The families of feed and candles, of parity, and of the process: runtime, storage, jobs and API."""

from typing import Final

from papertape.daemon.feeds.protocol import NoticeKind
from papertape.daemon.metrics.definitions import Label, Scoped, counter, gauge, histogram, measured
from papertape.daemon.metrics.trading_families import LATENCY

OTHER: Final = "other"

# Known kinds and reasons of the feeds; a venue's rarer ones are `other`.
MESSAGE_KINDS: Final = (
    "candle", "trade", "mark_price", "funding_rate", "heartbeat", "pong", "ack", "error",
    "system_status", "product_update", "ohlcv", "ticker", "unknown", OTHER,
)  # fmt: skip
BAD_REASONS: Final = (
    "too_large", "not_json", "not_an_object", "no_type", "no_symbol", "no_time", "no_timeframe",
    "no_product", "stale_start", "stale_trade", "wrong_symbol", "wrong_channel", "bad_ack", "bad_price",
    "bad_rate", "bad_volume", "bad_ohlc", OTHER,
)  # fmt: skip
RECONNECTS: Final = ("closed", "timeout", "error", "scheduled", OTHER)
SOURCES: Final = ("stream", "trades", "poll", "backfill", "absent", "replay", OTHER)
REJECTED: Final = ("out_of_order", "duplicate", "bad_ohlc", "non_finite", "future", OTHER)
REST_STATUSES: Final = (
    "200", "400", "403", "404", "429", "500", "502", "503", "504", "timeout", "error", OTHER,
)  # fmt: skip
PARITY_OUTCOMES: Final = ("match", "diverged", "error")
PARITY_FIELDS: Final = ("decision", "fill", "trade", "mark", "state", OTHER)
JOB_OUTCOMES: Final = ("ok", "failed", "missed")
COMMIT_OUTCOMES: Final = ("ok", "failed")
NOTIFICATION_OUTCOMES: Final = ("sent", "failed", "dropped")
QUEUES: Final = ("candles", "journal", "commands")
TASKS: Final = ("feed", "decider", "journal", "scheduler", "api")
ERROR_COMPONENTS: Final = ("feed", "execution", "journal", "scheduler", "audit", "trainer", "drift", "api")
ERROR_KINDS: Final = (
    "TimeoutError",
    "ConnectionError",
    "ClientError",
    "OSError",
    "DataError",
    "ConfigError",
    "InvariantError",
    "PapertapeError",
    "ValueError",
    OTHER,
)
LOG_LEVELS: Final = ("warning", "error", "critical")
HTTP_STATUSES: Final = (
    "200", "400", "401", "403", "404", "405", "408", "409", "413", "415", "500", "503", OTHER,
)  # fmt: skip

FEED_DELAY: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LOOP: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
JOB: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)
COMMIT: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

_FEED: Final = Label("feed", Scoped.FEED)
_SYMBOL: Final = Label("symbol", Scoped.SYMBOL)
_BASE: Final = Label("timeframe", Scoped.BASE)
_JOB: Final = Label("job_name", Scoped.JOB)
_ENDPOINT: Final = Label("method,route", Scoped.ENDPOINT)

FEED_FAMILIES: Final = (
    gauge("feed_connected", "1 while the stream is connected.", _FEED),
    counter("feed_messages_total", "Messages received.", _FEED, Label("kind", MESSAGE_KINDS)),
    counter("feed_bad_messages_total", "Messages that could not be used.", _FEED,
        Label("reason", BAD_REASONS)),
    counter("feed_reconnects_total", "Reconnects by reason.", _FEED, Label("reason", RECONNECTS)),
    counter("feed_rest_requests_total", "Requests to the venue's history, by status or error.", _FEED,
        Label("status", REST_STATUSES)),
    counter("feed_notices_total",
        "Rare facts that the feed told: gaps, corrections, conflicts, a clock that jumped.", _FEED,
        Label("kind", tuple(kind.value for kind in NoticeKind))),
    gauge("feed_last_message_timestamp_seconds",
        "Receipt time of the latest message; start of the daemon before the first.", _FEED, _SYMBOL),
    measured("feed_clock_offset_seconds",
        "Clock of the venue minus the daemon's; absent until the venue was heard.", _FEED),
    histogram("feed_lag_seconds", "Receipt time minus the venue's publish time.", FEED_DELAY, _FEED),
    counter("candles_total", "Final candles accepted; absent ones are declarations.", _SYMBOL, _BASE,
        Label("source", SOURCES)),
    gauge("candle_last_close_timestamp_seconds",
        "Close time of the latest accepted candle; start of the daemon before the first.", _SYMBOL, _BASE),
    gauge("timeframe_seconds", "Length of a candle; lets one expression judge staleness of every timeframe.",
        Label("timeframe", Scoped.TIMEFRAME)),
    histogram("candle_arrival_delay_seconds", "Receipt of a final candle minus its close time.", FEED_DELAY,
        _BASE),
    counter("candle_wait_seconds_total",
        "Time that complete instants waited for this symbol's candle when every other one was there.",
        _SYMBOL, _BASE),
    gauge("candle_waiting_seconds",
        "Time since the end of the candle that the oldest open instant lacks; 0 when it lacks none.",
        _SYMBOL, _BASE),
    counter("candle_gaps_total", "Missing candles found.", _SYMBOL, _BASE),
    counter("candles_rejected_total", "Candles refused.", _SYMBOL, Label("reason", REJECTED)),
)  # fmt: skip

PARITY_FAMILIES: Final = (
    counter("parity_checks_total", "Audits that stepped live inputs again through the backtest engine.",
        Label("outcome", PARITY_OUTCOMES)),
    counter("parity_divergences_total", "Differences found, by the kind of record that differed first.",
        _SYMBOL, Label("field", PARITY_FIELDS)),
    gauge("parity_last_check_timestamp_seconds",
        "Latest finished parity check; start of the daemon before the first."),
    measured("parity_pnl_difference",
        "Live paper equity minus replayed equity at the latest checked instant; absent before the first.",
        Label("currency", Scoped.CURRENCY)),
)  # fmt: skip

RUNTIME_FAMILIES: Final = (
    gauge("build_info", "Always 1.", Label("version", None), Label("revision", None),
        Label("python_version", None)),
    gauge("config_info", "Always 1; hash of the effective configuration; mode is paper or replay.",
        Label("config_hash", None), Label("mode", None)),
    gauge("ready", "1 when warmed up and able to decide."),
    histogram("event_loop_lag_seconds", "Lateness of a 100 ms timer on the event loop.", LOOP),
    gauge("event_loop_tasks", "Live asyncio tasks."),
    counter("task_restarts_total", "Supervised tasks restarted after a failure.", Label("task", TASKS)),
    gauge("queue_depth", "Items waiting in an internal queue.", Label("queue", QUEUES)),
    counter("queue_dropped_total", "Items dropped because a queue was full.", Label("queue", QUEUES)),
    counter("errors_total", "Errors handled; kind is a closed set of exception classes.",
        Label("component", ERROR_COMPONENTS), Label("kind", ERROR_KINDS)),
    counter("log_messages_total", "Log records emitted at warning or above.", Label("level", LOG_LEVELS)),
    counter("journal_commits_total", "Journal commits: ok or failed.", Label("outcome", COMMIT_OUTCOMES)),
    histogram("journal_commit_duration_seconds", "Journal commit time, fsync included.", COMMIT),
    counter("notifications_total",
        "Lines for people: sent, refused by their service, or dropped because too many waited.",
        Label("outcome", NOTIFICATION_OUTCOMES)),
    gauge("journal_size_bytes", "Journal file size."),
    counter("job_runs_total", "Scheduled jobs: ok, failed, missed.", _JOB, Label("outcome", JOB_OUTCOMES)),
    gauge("job_last_success_timestamp_seconds",
        "Latest success of a scheduled job; start of the daemon before the first.", _JOB),
    histogram("job_duration_seconds", "Wall time of scheduled jobs.", JOB, _JOB),
    gauge("worker_resident_memory_bytes", "Resident memory of a child process.",
        Label("worker", Scoped.WORKER)),
    counter("http_requests_total", "API requests; route is the template, never the raw path.", _ENDPOINT,
        Label("status", HTTP_STATUSES)),
    histogram("http_request_duration_seconds", "API request time.", LATENCY, _ENDPOINT),
)  # fmt: skip
