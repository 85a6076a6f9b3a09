"""What was decided, how fast, and what orders cost."""

from panels.panel import SYMBOL, Panel

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
