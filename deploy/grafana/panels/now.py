"""What a trader sees first."""

from panels.panel import GREEN, ORANGE, RED, SYMBOL, Panel

NOW = (
    Panel("Equity", "stat", 3, "locale", "Cash plus open positions at the last mark.",
          (("papertape_equity", "{{currency}}"),), decimals=2),
    Panel("Realised PnL", "stat", 3, "locale", "Net of all costs, since the journal began.",
          (("papertape_realized_pnl", "{{currency}}"),), ((None, RED), (0, GREEN)), 2),
    Panel("Unrealised PnL", "stat", 3, "locale", "Of open positions, costs of closing included.",
          (("sum by (currency) (papertape_unrealized_pnl" + SYMBOL + ")", "{{currency}}"),),
          ((None, RED), (0, GREEN)), 2),
    Panel("Return today", "stat", 3, "percentunit", "Equity against that of the last mark up to 00:00 UTC, by the account's clock.",
          (("papertape_equity / (papertape_equity_day_start > 0) - 1", "{{currency}}"),), ((None, RED), (0, GREEN)), 2),
    Panel("Win rate 7d", "stat", 3, "percentunit", "Winners among the trades that closed in seven days.",
          (('sum(increase(papertape_trades_closed_total{outcome="win"}[7d])) / (sum(increase(papertape_trades_closed_total[7d])) > 0)',
            "won"),), decimals=1),
    Panel("Profit factor 7d", "stat", 3, "suffix: to 1", "Money won by money lost in seven days, after costs.",
          (("sum by (currency) (increase(papertape_gross_profit_total[7d]))"
            " / (sum by (currency) (increase(papertape_gross_loss_total[7d])) > 0)", "{{currency}}"),),
          ((None, RED), (1, GREEN)), 2),
    Panel("Drawdown", "stat", 3, "percentunit", "Fall from the highest equity; the alert is at 10 %.",
          (("papertape_drawdown_ratio", "{{account}}"),), ((None, GREEN), (0.05, ORANGE), (0.1, RED)), 2),
    Panel("Halted", "stat", 3, "locale", "Reasons for which no new position is entered; 0 is normal.",
          (("sum(papertape_trading_halted)", "halted"),), ((None, GREEN), (1, RED))),
)  # fmt: skip
