"""What an operator sees first."""

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
