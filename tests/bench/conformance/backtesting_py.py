"""
A row said to backtesting.py 0.6.6.

    python -m tests.bench.conformance.backtesting_py rows.json answers.json

One candle stands before the first of a row, since it is never asked about its first.
"""

import warnings
from typing import Any, Final

import numpy as np
import pandas as pd

from tests.bench.conformance.rows import CASH, LEVERAGE, MINUTE_MS, VOLUME, Fills, NotSaid, Row, serve

_SAID: Final = {"limit": "limit", "stop": "stop", "stop_loss": "sl", "take_profit": "tp", "tag": "tag"}


class TheirView:
    """What a row writes, said to backtesting.py."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    @property
    def position(self) -> float:
        return float(self._strategy.position.size)

    @property
    def entry_price(self) -> float:
        return float(self._strategy.trades[-1].entry_price)

    def buy(self, quantity: float | None = None, **options: Any) -> None:
        self._place(self._strategy.buy, quantity, options)

    def sell(self, quantity: float | None = None, **options: Any) -> None:
        self._place(self._strategy.sell, quantity, options)

    def exit(self, share: float = 1.0, **options: Any) -> None:
        if options:
            raise NotSaid("an order that only reduces")
        self._strategy.position.close(share)

    def cancel(self, tag: str = "") -> None:
        for order in self._strategy.orders:
            if not tag or order.tag == tag:
                order.cancel()

    def _place(self, how: Any, quantity: float | None, options: dict[str, Any]) -> None:
        if quantity is None or quantity != int(quantity):
            raise NotSaid("a size that is no whole number of units")
        unknown = options.keys() - _SAID.keys()
        if unknown:
            raise NotSaid(f"the option {min(unknown)}")
        how(size=int(quantity), **{_SAID[name]: value for name, value in options.items()})

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("stop", "target"):
            for trade in self._strategy.trades:
                setattr(trade, "sl" if name == "stop" else "tp", value)
        else:
            super().__setattr__(name, value)


def fills_of(row: Row) -> Fills:
    """Return backtesting.py's fills of a row; raises NotSaid for what it has no words for."""
    from backtesting import Backtest, Strategy

    if row.options:
        raise NotSaid(f"the setting {min(row.options)}")
    row.refuse_decisions()

    class Told(Strategy):  # type: ignore[misc] # it ships no types
        def init(self) -> None:
            pass

        def next(self) -> None:
            for line in row.asked.get(len(self.data) - 1, ()):
                exec(line, {"view": TheirView(self)})  # noqa: S102

    names = ("Open", "High", "Low", "Close", "Volume")
    candles = [(*values, VOLUME)[: len(names)] for values in row.candles]
    frame = pd.DataFrame([candles[0], *candles], columns=names)
    frame.index = pd.to_datetime(np.arange(len(frame)) * MINUTE_MS, unit="ms")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = Backtest(frame, Told, cash=CASH, margin=1.0 / LEVERAGE, trade_on_close=False)
        broker = test.run()["_strategy"]._broker
    fills = []
    for trade in (*broker.closed_trades, *broker.trades):
        fills.append((int(trade.entry_bar), float(trade.size), float(trade.entry_price)))
        if trade.exit_price is not None:
            fills.append((int(trade.exit_bar), -float(trade.size), float(trade.exit_price)))
    return fills


if __name__ == "__main__":
    serve(fills_of)
