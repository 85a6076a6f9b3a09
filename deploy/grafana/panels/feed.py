"""What the feed hears and how late."""

from panels.panel import SYMBOL, Panel

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
