"""Papertape: the backtest is what runs. `papertape.engine` decides, `replay` knows recorded data, `daemon` the world."""
