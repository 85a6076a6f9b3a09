"""
What a Python strategy is told of its fills and trades: `on_fill` and `on_close`, before `decide` at the next close.

A close comes to know what happened since the one before it, symbol by symbol. What happened after the last close of a
batch is kept for the next batch, in the snapshot as well, so that no batching and no restart loses or repeats a call.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from papertape.engine.jit import Rows, join_rows
from papertape.engine.records import REASON_NAMES
from papertape.engine.state import EngineState
from papertape.engine.strategies.instructions import ClosedTrade, Fill
from papertape.engine.strategies.protocol import Strategy
from papertape.engine.strategies.view import View

# Places in LOOK.
_N_FILLS: Final = 14
_N_TRADES: Final = 15


class StrategyHooks:
    """Calls the hooks that a strategy has; `is_used` tells whether it has any."""

    def __init__(self, engine: EngineState, strategy: Strategy) -> None:
        self._engine = engine
        self._has_fill = callable(getattr(strategy, "on_fill", None))
        self._has_close = callable(getattr(strategy, "on_close", None))
        self.is_used = self._has_fill or self._has_close
        self._told: list[tuple[int, int]] = []

    def open_batch(self) -> None:
        """Begin a batch, of whose outputs nothing has been told."""
        self._told = [(0, 0)] * len(self._engine.symbols)

    def call(self, strategy: Any, view: View, symbol: int, look: Sequence[float]) -> None:
        """Tell what happened to one symbol since it was asked last."""
        engine, outputs = self._engine, self._engine.outputs
        n_fills, n_trades = self._told[symbol]
        ends = self._told[symbol] = (int(look[_N_FILLS]), int(look[_N_TRADES]))
        fills = self._since(engine.unseen_fills, outputs.fills[n_fills : ends[0]], symbol)
        trades = self._since(engine.unseen_trades, outputs.trades[n_trades : ends[1]], symbol)
        forget_seen(engine, symbol)
        units = engine.spec.units_per_quote
        if self._has_fill:
            for row in fills:
                strategy.on_fill(view, _fill(row, units))
        if self._has_close:
            for row in trades:
                strategy.on_close(view, _trade(row, units))

    def close_batch(self) -> None:
        """Keep what has not been told for the next batch."""
        if self.is_used:
            keep_unseen(self._engine, self._told)

    @staticmethod
    def _since(unseen: Rows, rows: Rows, symbol: int) -> Rows:
        """Return the rows of one symbol, those of earlier batches first."""
        if not len(unseen) and not len(rows):
            return rows
        joined = join_rows([np.ascontiguousarray(unseen), np.ascontiguousarray(rows)])
        return np.asarray(joined[joined["symbol"] == symbol])


def forget_seen(engine: EngineState, symbol: int) -> None:
    """Let go of what was unseen of earlier batches of one symbol: it has been told."""
    engine.unseen_fills = engine.unseen_fills[engine.unseen_fills["symbol"] != symbol]
    engine.unseen_trades = engine.unseen_trades[engine.unseen_trades["symbol"] != symbol]


def keep_unseen(engine: EngineState, told: Sequence[tuple[int, int]]) -> None:
    """Keep what has not been told for the next batch; of each symbol the first so many fills and trades were."""
    ends = engine.outputs.counters[:2].tolist()
    for symbol, (n_fills, n_trades) in enumerate(told):
        fills = engine.outputs.fills[n_fills : ends[0]]
        trades = engine.outputs.trades[n_trades : ends[1]]
        engine.unseen_fills = _kept(engine.unseen_fills, fills, symbol)
        engine.unseen_trades = _kept(engine.unseen_trades, trades, symbol)
    # In the order in which they happened: by symbol it would depend on where batches ended.
    engine.unseen_fills = engine.unseen_fills[np.argsort(engine.unseen_fills["sequence"])]
    engine.unseen_trades = engine.unseen_trades[np.argsort(engine.unseen_trades["number"])]


def _kept(unseen: Rows, rows: Rows, symbol: int) -> Rows:
    """Return what is unseen with the rows of one symbol after it."""
    rows = rows[rows["symbol"] == symbol]
    if not len(rows):
        return unseen
    return join_rows([np.ascontiguousarray(unseen), np.ascontiguousarray(rows)])


def _fill(row: Any, units_per_quote: float) -> Fill:
    return Fill(
        int(row["candle_ms"]),
        int(row["side"]),
        float(row["price"]),
        float(row["quantity"]),
        REASON_NAMES[int(row["reason"])],
        int(row["fee"]) / units_per_quote,
        int(row["realised"]) / units_per_quote,
        float(row["position"]),
    )


def _trade(row: Any, units_per_quote: float) -> ClosedTrade:
    return ClosedTrade(
        int(row["side"]),
        int(row["entry_ms"]),
        int(row["exit_ms"]),
        float(row["entry_price"]),
        float(row["exit_price"]),
        float(row["quantity"]),
        int(row["pnl"]) / units_per_quote,
        REASON_NAMES[int(row["exit_reason"])],
    )
