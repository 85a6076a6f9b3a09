"""Prices with entries and exits, and the positions that are open."""

from panels.panel import SYMBOL, Column, Panel, Style

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
