"""Where profit came from, and the trades behind it."""

from panels.panel import GREEN, RED, SYMBOL, Panel

PROFIT = (
    Panel("PnL by component", "bargauge", 8, "locale",
          "Results of trades closed in the window, split by what each component argued; the bars add up to the net PnL.",
          (("sum by (component, currency) (increase(papertape_attributed_profit_total[$__range]))"
            " - sum by (component, currency) (increase(papertape_attributed_loss_total[$__range]))",
            "{{component}} {{currency}}"),), ((None, RED), (0, GREEN)), 2),
    Panel("Win rate by primary cause", "bargauge", 8, "percentunit",
          "Winners among the trades closed in the window; look at the number of trades beside it.",
          (('sum by (signal) (increase(papertape_trades_closed_total{outcome="win",symbol=~"$symbol"}[$__range]))'
            " / (sum by (signal) (increase(papertape_trades_closed_total" + SYMBOL + "[$__range])) > 0)",
            "{{signal}}"),), decimals=1),
    Panel("Trades by primary cause", "bargauge", 8, "suffix: trades", "How many trades the figures beside rest on.",
          (("sum by (signal) (increase(papertape_trades_closed_total" + SYMBOL + "[$__range]))", "{{signal}}"),),
          decimals=0),
    Panel("Open positions", "timeseries", 8, "suffix: open", "Number of open positions by side.",
          (("sum by (side) (papertape_positions_open" + SYMBOL + ")", "{{side}}"),)),
    Panel("Exits by reason", "bargauge", 8, "suffix: exits", "What ended the trades of the window.",
          (("sum by (reason) (increase(papertape_exits_total" + SYMBOL + "[$__range]))", "{{reason}}"),),
          decimals=0),
    Panel("Fees per hour", "timeseries", 8, "suffix: /h", "Fees charged by the simulator.",
          (("sum by (symbol, currency) (increase(papertape_fees_total" + SYMBOL + "[1h]))",
            "{{symbol}} {{currency}}"),)),
)  # fmt: skip
