"""Trades read once: the exact sums, counts and columns that their metrics are made of."""

from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Row, Rows, kernel, record
from papertape.engine.records import AMBIGUOUS_ENTRY, REASON_END

# What is above 32 bits of every amount, and the 32 bits: their sum may be beyond int64.
_SUMS: Final = (
    "pnl",
    "gained",
    "lost",
    "pnl_optimistic",
    "unproven",
    "notional",
    "fees",
    "spread",
    "slippage",
    "funding",
)
_COUNTS: Final = (
    "longs",
    "shorts",
    "open",
    "wins",
    "losses",
    "ambiguous",
    "unproven_trades",
    "with_risk",
    "longest_wins",
    "longest_losses",
)
_COLUMNS: Final = ("duration_s", "mae", "mfe", "quantity", "exit_price", "multiple")
FIGURES: Final = record(*((name, "i8", 2) for name in _SUMS), *((name, "i8") for name in _COUNTS))


class TradeFigures:
    """
    What one reading of TRADE records tells.

    sums     money units, exact: `gained` of trades that won, `lost` of those that lost, below zero; `unproven`: profit and risk of
             those that were entered inside a candle in which the stop lay
    counts   `open` at the end; `with_risk`: that had a stop; the longest runs are in the order of exits
    columns  in the order of trades: excursions as fractions of the entry price, `exit_price` 0 where a trade is still open,
             `multiple` of the risk, of trades that had one
    """

    def __init__(self, trades: Rows) -> None:
        rows = np.ascontiguousarray(trades)
        figures, columns = np.zeros(1, FIGURES), np.empty((len(_COLUMNS), len(rows)))
        read_trades(rows, figures[0], columns)
        read_runs(rows, np.argsort(rows["exit_ms"], kind="stable"), figures[0])
        found = figures.view(np.int64).tolist()
        halves = zip(found[0 : 2 * len(_SUMS) : 2], found[1 : 2 * len(_SUMS) : 2], strict=True)
        self._n = len(rows)
        self.sums = {name: (high << 32) + low for name, (high, low) in zip(_SUMS, halves, strict=True)}
        self.counts = dict(zip(_COUNTS, found[2 * len(_SUMS) :], strict=True))
        self.columns: dict[str, FloatArray] = dict(zip(_COLUMNS, columns, strict=True))
        self.columns["multiple"] = self.columns["multiple"][: self.counts["with_risk"]]

    def __len__(self) -> int:
        return self._n


@kernel
def add_amount(total: IntArray, amount: int) -> None:
    """Add an amount to a sum of two halves."""
    total[0] += amount >> 32
    total[1] += amount & 0xFFFFFFFF


@kernel
def read_trades(trades: Rows, figures: Row, columns: FloatArray) -> None:
    """Write sums and counts to FIGURES that are zero, and the columns, shape (6, n)."""
    for k in range(len(trades)):
        trade = trades[k]
        add_sums(trade, figures)
        if trade.side > 0:
            figures.longs += 1
        elif trade.side < 0:
            figures.shorts += 1
        is_open = trade.exit_reason == REASON_END
        if is_open:
            figures.open += 1
        if trade.is_ambiguous != 0:
            figures.ambiguous += 1
        columns[0, k] = (trade.exit_ms - trade.entry_ms) / 1000.0
        columns[1, k] = trade.mae_price / trade.entry_price
        columns[2, k] = trade.mfe_price / trade.entry_price
        columns[3, k] = trade.quantity
        columns[4, k] = 0.0 if is_open else trade.exit_price
        if trade.risk > 0:
            columns[5, figures.with_risk] = trade.pnl / trade.risk
            figures.with_risk += 1


@kernel
def add_sums(trade: Row, figures: Row) -> None:
    """Add the amounts of a trade to the sums, and count whether it won or lost."""
    add_amount(figures.pnl, trade.pnl)
    if trade.pnl > 0:
        figures.wins += 1
        add_amount(figures.gained, trade.pnl)
    elif trade.pnl < 0:
        figures.losses += 1
        add_amount(figures.lost, trade.pnl)
    add_amount(figures.pnl_optimistic, trade.pnl_optimistic)
    if trade.is_ambiguous & AMBIGUOUS_ENTRY != 0:
        figures.unproven_trades += 1
        add_amount(figures.unproven, trade.pnl)
        add_amount(figures.unproven, trade.risk)
    add_amount(figures.notional, trade.notional)
    add_amount(figures.fees, trade.fees)
    add_amount(figures.spread, trade.spread)
    add_amount(figures.slippage, trade.slippage)
    add_amount(figures.funding, trade.funding)


@kernel
def read_runs(trades: Rows, order: IntArray, figures: Row) -> None:
    """Write the longest runs of wins and of losses; order: of the exits."""
    wins = losses = 0
    for k in range(len(order)):
        pnl = trades[order[k]].pnl
        wins = wins + 1 if pnl > 0 else 0
        losses = losses + 1 if pnl < 0 else 0
        figures.longest_wins = max(figures.longest_wins, wins)
        figures.longest_losses = max(figures.longest_losses, losses)
