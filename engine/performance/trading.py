"""Metrics of trades and of what they cost; sums of money are exact, they are int64 until the last step."""

import math
from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray, Rows
from papertape.engine.performance.metrics import MINIMUM_TRADES, Sheet, mean_of, quotient
from papertape.engine.performance.ratios import spread_of
from papertape.engine.performance.trade_figures import TradeFigures
from papertape.engine.records import UNITS_PER_QUOTE

_NO_TRADES: Final = "no trades"
_NO_LOSS: Final = "no losing trade"
_SAME_R: Final = 1e-9
_COSTS: Final = ("fees", "spread", "slippage", "funding")


def total_units(column: Any) -> int:
    """Return the exact sum of a money column; the sum itself may be beyond int64."""
    high, low = column >> 32, column & 0xFFFFFFFF
    return (int(high.sum()) << 32) + int(low.sum())


def total_quote(column: Any, units_per_quote: float = UNITS_PER_QUOTE) -> float:
    """Return the exact sum of a money column, in quote."""
    return total_units(column) / units_per_quote


def durations_s(trades: Rows) -> FloatArray:
    """Return how long each trade lasted, in seconds."""
    return np.asarray((trades["exit_ms"] - trades["entry_ms"]) / 1000.0)


def put_trades(sheet: Sheet, trades: TradeFigures, units_per_quote: float) -> None:
    """Write all metrics of trades; open ones are in at their mark."""
    n, counts = len(trades), trades.counts
    sheet.put("trades", n)
    sheet.put("long_trades", counts["longs"])
    sheet.put("short_trades", counts["shorts"])
    if n_open := counts["open"]:
        plural = "trades are" if n_open > 1 else "trade is"
        sheet.notes.append(f"{n_open} {plural} still open at the end, counted at the last close")
    _put_wins(sheet, trades, units_per_quote)
    _put_units_of_risk(sheet, trades)
    _put_shape(sheet, trades)
    sheet.put("ambiguous_trades", counts["ambiguous"])
    sheet.put("ambiguous_share", quotient(counts["ambiguous"], n), _NO_TRADES)
    sheet.put("optimistic_pnl_quote", trades.sums["pnl_optimistic"] / units_per_quote)
    if n_unproven := counts["unproven_trades"]:
        plural = "trades were" if n_unproven > 1 else "trade was"
        less = trades.sums["unproven"] / units_per_quote
        sheet.notes.append(
            f"{n_unproven} {plural} entered inside a candle in which the stop lay, too, before or after: taken as not "
            f"met; stopped there, they would have made {_amount(less)} quote less"
        )


def _amount(quote: float) -> str:
    """
    Return an amount as a note says it, in whatever currency: two decimals, below one its two leading digits.

    >>> _amount(1234.567), _amount(-3.0), _amount(0.0000321), _amount(0.0)
    ('1,234.57', '-3.00', '0.000032', '0')
    """
    if abs(quote) >= 1.0:
        return f"{quote:,.2f}"
    return str(np.format_float_positional(quote, precision=2, fractional=False, trim="-"))


def _put_wins(sheet: Sheet, trades: TradeFigures, units_per_quote: float) -> None:
    """
    Write what follows from the net profits in the order of exits.

    profit factor  Σ wins ÷ |Σ losses|      payoff  average win ÷ |average loss|
    Kelly          p − (1 − p) ÷ payoff, halved. Source: J. L. Kelly, A New Interpretation of Information Rate (1956).
    """
    n, wins, losses = len(trades), trades.counts["wins"], trades.counts["losses"]
    gained, lost = trades.sums["gained"] / units_per_quote, -(trades.sums["lost"] / units_per_quote)
    sheet.put("win_rate", quotient(wins, n), _NO_TRADES)
    sheet.put("expectancy_quote", quotient(trades.sums["pnl"] / units_per_quote, n), _NO_TRADES)
    no_loss = _NO_LOSS if n else _NO_TRADES
    sheet.put("profit_factor", quotient(gained, lost), no_loss)
    payoff = gained / wins / (lost / losses) if wins and losses else None
    no_payoff = no_loss if not losses else "no winning trade"
    sheet.put("payoff", payoff, no_payoff)
    chance = wins / n if n else 0.0
    kelly = None if payoff is None else (chance - (1.0 - chance) / payoff) / 2.0
    sheet.put("kelly_half", kelly, no_payoff)
    sheet.put("max_consecutive_wins", trades.counts["longest_wins"])
    sheet.put("max_consecutive_losses", trades.counts["longest_losses"])


def _put_units_of_risk(sheet: Sheet, trades: TradeFigures) -> None:
    """
    Write expectancy in R and the SQN, √n · mean(R) ÷ std(R, n − 1), over trades that had a stop.

    Source: V. K. Tharp, The Definitive Guide to Position Sizing (2008).
    """
    multiples = trades.columns["multiple"]
    n = len(multiples)
    if n == 0:
        reason = "no trade had a stop" if len(trades) else _NO_TRADES
        sheet.refuse(("expectancy_r", "sqn", "sqn_100"), reason)
        return
    if n < len(trades):
        sheet.notes.append(f"R and SQN from {n} of {len(trades)} trades; the others had no stop")
    average = mean_of(multiples)
    sheet.put("expectancy_r", average)
    if n < 2:
        sheet.refuse(("sqn", "sqn_100"), "fewer than two trades with a stop")
        return
    if n < MINIMUM_TRADES:
        sheet.notes.append(f"SQN from {n} trades; {MINIMUM_TRADES} are the minimum")
    # Money is rounded to units, so equal trades differ in their last digits.
    is_constant = float(np.ptp(multiples)) <= _SAME_R
    ratio = None if is_constant else quotient(average, spread_of(multiples))
    for name, count in (("sqn", n), ("sqn_100", min(n, 100))):
        value = None if ratio is None else math.sqrt(count) * ratio
        sheet.put(name, value, "all trades had the same R")


def _put_shape(sheet: Sheet, trades: TradeFigures) -> None:
    """Write durations and excursions; MAE and MFE are fractions of the entry price, MAE is negative."""
    n = len(trades)
    if not n:
        names = tuple(f"{kind}_trade_duration_s" for kind in ("average", "median", "maximum"))
        sheet.refuse((*names, "average_mae", "average_mfe"), _NO_TRADES)
        return
    lengths = trades.columns["duration_s"]
    below, above = (n - 1) // 2, n // 2
    middle = np.partition(lengths, (below, above))[below : above + 1]
    sheet.put("average_trade_duration_s", mean_of(lengths))
    sheet.put("median_trade_duration_s", mean_of(middle))
    sheet.put("maximum_trade_duration_s", float(np.maximum.reduce(lengths)))
    for name in ("mae", "mfe"):
        sheet.put(f"average_{name}", mean_of(trades.columns[name]))


def put_costs(sheet: Sheet, trades: TradeFigures, units_per_quote: float) -> None:
    """Write what was paid, and the share of it in gross profit: costs ÷ (net profit + costs)."""
    amounts = {name: trades.sums[name] for name in _COSTS}
    for name, amount in amounts.items():
        sheet.put(f"{name}_quote", amount / units_per_quote)
    costs = sum(amounts.values())
    gross = trades.sums["pnl"] + costs
    share = costs / gross if gross > 0 else None
    sheet.put("costs_quote", costs / units_per_quote)
    reason = "no profit before costs" if len(trades) else _NO_TRADES
    sheet.put("costs_share_of_gross", share, reason)
