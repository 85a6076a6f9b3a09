"""Equity, its falls, and exposure."""

from panels.panel import SYMBOL, Panel

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
