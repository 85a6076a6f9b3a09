"""Scheduled work, and live against replay."""

from panels.panel import GREEN, ORANGE, RED, SYMBOL, Panel

JOBS = (
    Panel("Job runs per hour", "timeseries", 8, "suffix: /h", "Scheduled jobs by outcome.",
          (("sum by (job_name, outcome) (increase(papertape_job_runs_total[1h]))", "{{job_name}} {{outcome}}"),)),
    Panel("Time since a job's last success", "timeseries", 8, "s", "Grows in between, falls back at each success.",
          (("time() - papertape_job_last_success_timestamp_seconds", "{{job_name}}"),)),
    Panel("Parity checks per hour", "timeseries", 8, "suffix: /h", "Audits: live inputs stepped again and compared.",
          (("sum by (outcome) (increase(papertape_parity_checks_total[1h]))", "{{outcome}}"),)),
    Panel("Time since the last parity check", "stat", 8, "s", "Of the latest audit that finished.",
          (("max(time() - papertape_parity_last_check_timestamp_seconds)", "age"),),
          ((None, GREEN), (3600, ORANGE), (10800, RED))),
    Panel("Divergences per hour", "timeseries", 8, "suffix: /h", "By the kind of record that differed first.",
          (("sum by (field) (increase(papertape_parity_divergences_total" + SYMBOL + "[1h]))", "{{field}}"),)),
    Panel("Job duration", "timeseries", 8, "s", "95th percentile of the wall time over a day.",
          (("histogram_quantile(0.95, sum by (job_name, le) (rate(papertape_job_duration_seconds_bucket[1d])))",
            "{{job_name}}"),)),
)  # fmt: skip
