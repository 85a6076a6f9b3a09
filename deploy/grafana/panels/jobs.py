"""Scheduled work."""

from panels.panel import Panel

JOBS = (
    Panel("Job runs per hour", "timeseries", 8, "suffix: /h", "Scheduled jobs by outcome.",
          (("sum by (job_name, outcome) (increase(papertape_job_runs_total[1h]))", "{{job_name}} {{outcome}}"),)),
    Panel("Time since a job's last success", "timeseries", 8, "s", "Grows in between, falls back at each success.",
          (("time() - papertape_job_last_success_timestamp_seconds", "{{job_name}}"),)),
    Panel("Job duration", "timeseries", 8, "s", "95th percentile of the wall time over a day.",
          (("histogram_quantile(0.95, sum by (job_name, le) (rate(papertape_job_duration_seconds_bucket[1d])))",
            "{{job_name}}"),)),
)  # fmt: skip
