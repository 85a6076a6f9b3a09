"""Rows for the operator: is the data arriving, is it decided in time, is the process well?"""

from panels.panel import GREEN, ORANGE, RED, SYMBOL, Panel

HEALTH = (
    Panel("Up", "stat", 3, "bool_yes_no", "1 while Prometheus reaches the daemon.",
          (("min(up)", "up"),), ((None, RED), (1, GREEN))),
    Panel("Ready", "stat", 3, "bool_yes_no", "1 when warmed up and able to decide.",
          (("min(papertape_ready)", "ready"),), ((None, RED), (1, GREEN))),
    Panel("Uptime", "stat", 3, "s", "Since the process began.",
          (("min(time() - process_start_time_seconds)", "uptime"),)),
    Panel("Feeds up", "stat", 3, "suffix: connected", "Streams that are connected.",
          (("sum(papertape_feed_connected)", "feeds"),), ((None, RED), (1, GREEN))),
    Panel("Oldest feed message", "stat", 3, "s", "Silence of the quietest symbol; the alert is at 60 s.",
          (("max(time() - papertape_feed_last_message_timestamp_seconds" + SYMBOL + ")", "age"),),
          ((None, GREEN), (30, ORANGE), (60, RED))),
    Panel("Errors 1h", "stat", 3, "locale", "Errors that were handled in an hour.",
          (("sum(increase(papertape_errors_total[1h]))", "errors"),), ((None, GREEN), (10, RED)), 0),
    Panel("Resident memory", "stat", 3, "bytes", "Of the daemon; the alert is at 1.5 GB.",
          (("max(process_resident_memory_bytes)", "resident"),), ((None, GREEN), (1.5e9, RED))),
    Panel("Gaps 24h", "stat", 3, "locale", "Missing candles that were found in a day.",
          (("sum(increase(papertape_candle_gaps_total" + SYMBOL + "[1d]))", "gaps"),), ((None, GREEN), (3, ORANGE)), 0),
)  # fmt: skip

FEED = (
    Panel("Feeds connected", "timeseries", 8, "bool_yes_no", "1 while the stream is connected.",
          (("papertape_feed_connected", "{{feed}}"),)),
    Panel("Age of the newest message", "timeseries", 8, "s", "Silence by symbol; the alert is at 60 s.",
          (("time() - papertape_feed_last_message_timestamp_seconds" + SYMBOL, "{{symbol}}"),)),
    Panel("Age of the newest candle, in candles", "timeseries", 8, "suffix: candles",
          "Between 0 and 1 plus the delay in calm operation; the alert is at 2.",
          (("max by (symbol, timeframe) ((time() - papertape_candle_last_close_timestamp_seconds" + SYMBOL + ")"
            " / on (instance, timeframe) group_left papertape_timeframe_seconds)", "{{symbol}} {{timeframe}}"),)),
    Panel("Candle gaps and refusals per hour", "timeseries", 8, "suffix: /h",
          "Missing candles that had to be fetched, and candles that no rule let in.",
          (("sum by (symbol) (increase(papertape_candle_gaps_total" + SYMBOL + "[1h]))", "gap {{symbol}}"),
           ("sum by (reason) (increase(papertape_candles_rejected_total" + SYMBOL + "[1h]))", "{{reason}}"))),
    Panel("Candles by source per hour", "timeseries", 8, "suffix: /h", "Absent ones are declared, not received.",
          (("sum by (source) (increase(papertape_candles_total" + SYMBOL + "[1h]))", "{{source}}"),)),
    Panel("Candle arrival delay", "timeseries", 8, "s", "Receipt of a final candle minus its close.",
          (("histogram_quantile(0.5, sum by (le) (rate(papertape_candle_arrival_delay_seconds_bucket[1h])))", "p50"),
           ("histogram_quantile(0.95, sum by (le) (rate(papertape_candle_arrival_delay_seconds_bucket[1h])))", "p95"))),
    Panel("Waits for a symbol", "timeseries", 8, "s",
          "By symbol, a minute: how long instants waited for its candle when every other one was there.",
          (("60 * sum by (symbol) (rate(papertape_candle_wait_seconds_total" + SYMBOL + "[1h]))", "{{symbol}}"),
           ("max by (symbol) (papertape_candle_waiting_seconds" + SYMBOL + ")", "now {{symbol}}"))),
    Panel("Messages", "timeseries", 8, "ops", "Received per second, by kind.",
          (("sum by (feed, kind) (rate(papertape_feed_messages_total[$__rate_interval]))", "{{feed}} {{kind}}"),)),
    Panel("Lag of messages", "timeseries", 8, "s", "Receipt minus the venue's publish time.",
          (("histogram_quantile(0.5, sum by (le) (rate(papertape_feed_lag_seconds_bucket[$__rate_interval])))", "p50"),
           ("histogram_quantile(0.99, sum by (le) (rate(papertape_feed_lag_seconds_bucket[$__rate_interval])))", "p99"))),
    Panel("Reconnects and notices per hour", "timeseries", 8, "suffix: /h", "What the feed had to cope with.",
          (("sum by (feed, reason) (increase(papertape_feed_reconnects_total[1h]))", "{{feed}} {{reason}}"),
           ("sum by (kind) (increase(papertape_feed_notices_total[1h])) > 0", "{{kind}}"))),
)  # fmt: skip

LATENCY = "papertape_decision_latency_seconds_bucket"

DECISIONS = (
    Panel("Decisions per hour", "timeseries", 8, "suffix: /h", "One per symbol and closed strategy candle.",
          (("sum by (action) (increase(papertape_decisions_total" + SYMBOL + "[1h]))", "{{action}}"),)),
    Panel("Decision latency", "heatmap", 8, "s", "From receipt of a final candle to the report.",
          (("sum by (le) (increase(" + LATENCY + '{stage="total"}[$__rate_interval]))', "{{le}}"),)),
    Panel("Decision latency by stage", "timeseries", 8, "s", "The objective is 99 % within 250 ms.",
          (("histogram_quantile(0.5, sum by (stage, le) (rate(" + LATENCY + "[1h])))", "p50 {{stage}}"),
           ("histogram_quantile(0.99, sum by (stage, le) (rate(" + LATENCY + "[1h])))", "p99 {{stage}}"))),
    Panel("Signals per hour", "timeseries", 8, "suffix: /h", "Entries accepted and refused.",
          (("sum by (signal) (increase(papertape_signals_total" + SYMBOL + "[1h]))", "{{signal}}"),
           ("sum by (reason) (increase(papertape_signals_rejected_total[1h])) > 0", "refused: {{reason}}"))),
    Panel("Orders per hour", "timeseries", 8, "suffix: /h", "Simulated orders by type and final status.",
          (("sum by (type, status) (increase(papertape_orders_total" + SYMBOL + "[1h]))", "{{type}} {{status}}"),)),
    Panel("Slippage", "timeseries", 8, "percentunit", "Half spread and slippage on notional, over six hours.",
          (("histogram_quantile(0.5, sum by (le) (rate(papertape_fill_slippage_ratio_bucket" + SYMBOL + "[6h])))", "p50"),
           ("histogram_quantile(0.95, sum by (le) (rate(papertape_fill_slippage_ratio_bucket" + SYMBOL + "[6h])))", "p95"))),
)  # fmt: skip

JOBS = (
    Panel("Job runs per hour", "timeseries", 8, "suffix: /h", "Scheduled jobs by outcome.",
          (("sum by (job_name, outcome) (increase(papertape_job_runs_total[1h]))", "{{job_name}} {{outcome}}"),)),
    Panel("Time since a job's last success", "timeseries", 8, "s", "Grows in between, falls back at each success.",
          (("time() - papertape_job_last_success_timestamp_seconds", "{{job_name}}"),)),
    Panel("Job duration", "timeseries", 8, "s", "95th percentile of the wall time over a day.",
          (("histogram_quantile(0.95, sum by (job_name, le) (rate(papertape_job_duration_seconds_bucket[1d])))",
            "{{job_name}}"),)),
)  # fmt: skip

RUNTIME = (
    Panel("Event-loop lag", "timeseries", 8, "s", "Lateness of a 100 ms timer; must stay below 25 ms at p99.",
          (("histogram_quantile(0.5, sum by (le) (rate(papertape_event_loop_lag_seconds_bucket[$__rate_interval])))", "p50"),
           ("histogram_quantile(0.99, sum by (le) (rate(papertape_event_loop_lag_seconds_bucket[$__rate_interval])))", "p99"),
           ("instance:papertape_event_loop_lag_seconds:p99_5m", "p99 over 5 m"))),
    Panel("Journal commit time", "timeseries", 8, "s", "Every input waits for its commit.",
          (("histogram_quantile(0.5, sum by (le) (rate(papertape_journal_commit_duration_seconds_bucket[$__rate_interval])))", "p50"),
           ("histogram_quantile(0.99, sum by (le) (rate(papertape_journal_commit_duration_seconds_bucket[$__rate_interval])))", "p99"))),
    Panel("Memory", "timeseries", 8, "bytes", "Resident, the daemon and its child processes.",
          (("process_resident_memory_bytes", "daemon"), ("papertape_worker_resident_memory_bytes", "{{worker}}"))),
    Panel("CPU", "timeseries", 8, "percentunit", "Of one core.",
          (("rate(process_cpu_seconds_total[$__rate_interval])", "{{instance}}"),)),
    Panel("Errors and warnings per hour", "timeseries", 8, "suffix: /h", "Handled errors, and log records by level.",
          (("sum by (component) (increase(papertape_errors_total[1h]))", "{{component}}"),
           ("sum by (level) (increase(papertape_log_messages_total[1h]))", "log {{level}}"))),
    Panel("API requests", "timeseries", 8, "reqps", "By route and status.",
          (("sum by (route, status) (rate(papertape_http_requests_total[$__rate_interval])) > 0", "{{route}} {{status}}"),)),
)  # fmt: skip
