"""What an operator sees first."""

from panels.panel import GREEN, ORANGE, RED, SYMBOL, Panel

NOW = (
    Panel("Equity", "stat", 3, "locale", "Cash plus open positions at the last mark.",
          (("papertape_equity", "{{currency}}"),), decimals=2),
    Panel("Realised PnL", "stat", 3, "locale", "Net of all costs, since the journal began.",
          (("papertape_realized_pnl", "{{currency}}"),), ((None, RED), (0, GREEN)), 2),
    Panel("Unrealised PnL", "stat", 3, "locale", "Of open positions, costs of closing included.",
          (("sum by (currency) (papertape_unrealized_pnl" + SYMBOL + ")", "{{currency}}"),),
          ((None, RED), (0, GREEN)), 2),
    Panel("Drawdown", "stat", 3, "percentunit", "Fall from the highest equity; the alert is at 10 %.",
          (("papertape_drawdown_ratio", "{{account}}"),), ((None, GREEN), (0.05, ORANGE), (0.1, RED)), 2),
    Panel("Halted", "stat", 3, "locale", "Reasons for which no new position is entered; 0 is normal.",
          (("sum(papertape_trading_halted)", "halted"),), ((None, GREEN), (1, RED))),
    Panel("Ready", "stat", 3, "bool_yes_no", "1 when warmed up and able to decide.",
          (("min(papertape_ready)", "ready"),), ((None, RED), (1, GREEN))),
    Panel("Oldest feed message", "stat", 3, "s", "Silence of the quietest symbol; the alert is at 60 s.",
          (("max(time() - papertape_feed_last_message_timestamp_seconds" + SYMBOL + ")", "age"),),
          ((None, GREEN), (30, ORANGE), (60, RED))),
    Panel("Divergences 24h", "stat", 3, "locale", "Differences between live and replay; any is an alarm.",
          (("sum(increase(papertape_parity_divergences_total" + SYMBOL + "[1d]))", "divergences"),),
          ((None, GREEN), (0.5, RED)), 0),
)  # fmt: skip
