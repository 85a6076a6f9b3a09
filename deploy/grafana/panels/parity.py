"""Live against replay."""

from panels.panel import GREEN, ORANGE, RED, SYMBOL, Panel

PARITY = (
    Panel("Divergences 24h", "stat", 4, "locale", "Differences between live and replay; any is an alarm.",
          (("sum(increase(papertape_parity_divergences_total" + SYMBOL + "[1d]))", "divergences"),),
          ((None, GREEN), (0.5, RED)), 0),
    Panel("Parity checks per hour", "timeseries", 8, "suffix: /h", "Audits: live inputs stepped again and compared.",
          (("sum by (outcome) (increase(papertape_parity_checks_total[1h]))", "{{outcome}}"),)),
    Panel("Time since the last parity check", "stat", 4, "s", "Of the latest audit that finished.",
          (("max(time() - papertape_parity_last_check_timestamp_seconds)", "age"),),
          ((None, GREEN), (3600, ORANGE), (10800, RED))),
    Panel("Divergences per hour", "timeseries", 8, "suffix: /h", "By the kind of record that differed first.",
          (("sum by (field) (increase(papertape_parity_divergences_total" + SYMBOL + "[1h]))", "{{field}}"),)),
)  # fmt: skip
