"""replay/backtesting."""
