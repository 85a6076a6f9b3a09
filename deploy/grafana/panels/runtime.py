"""The process and its server."""

from panels.panel import Panel

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
