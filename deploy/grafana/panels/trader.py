"""Rows for the trader: is money made, and why; is the risk inside its limits?"""

from panels.panel import GREEN, ORANGE, RED, SYMBOL, Column, Panel, Style

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

FILL = 'papertape_fill_price{symbol=~"$symbol",'
LEVEL = 'papertape_position_price{symbol=~"$symbol",'

PRICES = (
    Panel("Price of $symbol", "timeseries", 12, "locale",
          "Close of the newest base candle; dots are entries and exits at their price, dashes the stop and target in force.",
          (("papertape_market_price" + SYMBOL, "close"),
           (FILL + 'action="entry",side="buy"} > 0', "entry, buy"),
           (FILL + 'action="entry",side="sell"} > 0', "entry, sell"),
           (FILL + 'action="exit"} > 0', "exit"),
           (LEVEL + 'level="stop"} > 0', "stop"),
           (LEVEL + 'level="target"} > 0', "target")),
          repeat="symbol",
          styles=(Style("entry, buy", "points", "green"), Style("entry, sell", "points", "orange"),
                  Style("exit", "points", "red"), Style("stop", "dash", "red"), Style("target", "dash", "green"))),
    Panel("Positions", "table", 24, "locale", "Open positions at the last mark, one line a symbol; sizes in base units, short below zero.",
          (("sum by (symbol) (papertape_position_quantity" + SYMBOL + ") != 0", "size"),
           ("sum by (symbol) (" + LEVEL + 'level="entry"}) > 0', "entry"),
           ("sum by (symbol) (papertape_market_price" + SYMBOL + ")", "price"),
           ("sum by (symbol) (" + LEVEL + 'level="stop"}) > 0', "stop"),
           ("sum by (symbol) (" + LEVEL + 'level="target"}) > 0', "target"),
           ("sum by (symbol) (papertape_exposure" + SYMBOL + ")", "notional"),
           ("sum by (symbol) (papertape_unrealized_pnl" + SYMBOL + ")", "pnl")),
          columns=(Column("Size"), Column("Entry"), Column("Price"), Column("Stop"), Column("Target"),
                   Column("Notional", decimals=2), Column("Open PnL", decimals=2))),
)  # fmt: skip

EQUITY = (
    Panel("Equity and peak", "timeseries", 16, "locale", "The distance between the two lines is the drawdown.",
          (("papertape_equity", "equity {{currency}}"), ("papertape_equity_peak", "peak {{currency}}"))),
    Panel("Drawdown under water", "timeseries", 8, "percentunit", "Zero at the peak, below it the fall.",
          (("-papertape_drawdown_ratio", "{{account}}"),)),
    Panel("Realised and unrealised PnL", "timeseries", 12, "locale", "Realised is a staircase, one step a trade.",
          (("papertape_realized_pnl", "realised {{currency}}"),
           ("papertape_unrealized_pnl" + SYMBOL, "open {{symbol}}"))),
    Panel("Exposure by symbol and side", "timeseries", 12, "locale", "Notional; shorts lie below zero.",
          (('papertape_exposure{side="long",symbol=~"$symbol"}', "long {{symbol}}"),
           ('-papertape_exposure{side="short",symbol=~"$symbol"}', "short {{symbol}}"))),
)  # fmt: skip

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
