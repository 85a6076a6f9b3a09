"""Metrics of trades and of what they cost; sums of money are exact, they are int64 until the last step."""

import math
from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.performance.metrics import MINIMUM_TRADES, Sheet, quotient
from papertape.engine.records import AMBIGUOUS_ENTRY, REASON_END, TRADE, UNITS_PER_QUOTE

_NO_TRADES: Final = "no trades"
_NO_LOSS: Final = "no losing trade"
_SAME_R: Final = 1e-9
_COSTS: Final = ("fees", "spread", "slippage", "funding")


_PLACES: Final = {name: place for place, name in enumerate(TRADE.names or ())}


class TradeColumns:
    """TRADE records by field, read like records: each in one piece, as every measure walks over all of it."""

    def __init__(self, trades: Rows) -> None:
        words = np.ascontiguousarray(trades).view(np.int64).reshape(len(trades), len(_PLACES))
        self._words: IntArray = np.ascontiguousarray(words.T)

    def __getitem__(self, name: str) -> Any:
        return self._words[_PLACES[name]].view(TRADE[name])

    def __len__(self) -> int:
        return len(self._words[0])


def total_units(column: Any) -> int:
    """Return the exact sum of a money column; the sum itself may be beyond int64."""
    high, low = column >> 32, column & 0xFFFFFFFF
    return (int(high.sum()) << 32) + int(low.sum())


def total_quote(column: Any, units_per_quote: float = UNITS_PER_QUOTE) -> float:
    """Return the exact sum of a money column, in quote."""
    return total_units(column) / units_per_quote


def durations_s(trades: Rows | TradeColumns) -> FloatArray:
    """Return how long each trade lasted, in seconds."""
    return np.asarray((trades["exit_ms"] - trades["entry_ms"]) / 1000.0)


def longest_run(is_member: Any) -> int:
    """Return the length of the longest run of true values."""
    edges = np.diff(np.concatenate([[0], is_member.astype(np.int8), [0]]))
    lengths = np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)
    return int(lengths.max()) if len(lengths) else 0


def put_trades(sheet: Sheet, trades: TradeColumns, units_per_quote: float) -> None:
    """Write all metrics of trades; open ones are in at their mark."""
    n = len(trades)
    sheet.put("trades", n)
    sheet.put("long_trades", int((trades["side"] > 0).sum()))
    sheet.put("short_trades", int((trades["side"] < 0).sum()))
    n_open = int((trades["exit_reason"] == REASON_END).sum())
    if n_open:
        plural = "trades are" if n_open > 1 else "trade is"
        sheet.notes.append(f"{n_open} {plural} still open at the end, counted at the last close")
    pnl = trades["pnl"][np.argsort(trades["exit_ms"], kind="stable")]
    _put_wins(sheet, pnl, units_per_quote)
    _put_units_of_risk(sheet, trades)
    _put_shape(sheet, trades)
    ambiguous = int((trades["is_ambiguous"] != 0).sum())
    sheet.put("ambiguous_trades", ambiguous)
    sheet.put("ambiguous_share", quotient(ambiguous, n), _NO_TRADES)
    sheet.put("optimistic_pnl_quote", total_quote(trades["pnl_optimistic"], units_per_quote))
    is_unproven = trades["is_ambiguous"] & AMBIGUOUS_ENTRY != 0
    n_unproven = int(np.count_nonzero(is_unproven))
    if n_unproven:
        plural = "trades were" if n_unproven > 1 else "trade was"
        made, risked = (total_quote(trades[name][is_unproven], units_per_quote) for name in ("pnl", "risk"))  # fmt: skip
        less = made + risked
        sheet.notes.append(
            f"{n_unproven} {plural} entered inside a candle in which the stop lay, too, before or after: taken as not "
            f"met; stopped there, they would have made {less:,.2f} quote less"
        )


def _put_wins(sheet: Sheet, pnl: IntArray, units_per_quote: float) -> None:
    """
    Write what follows from the net profits in the order of exits.

    profit factor  Σ wins ÷ |Σ losses|      payoff  average win ÷ |average loss|
    Kelly          p − (1 − p) ÷ payoff, halved. Source: J. L. Kelly, A New Interpretation of Information Rate (1956).
    """
    n = len(pnl)
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    gained, lost = total_quote(wins, units_per_quote), -total_quote(losses, units_per_quote)
    sheet.put("win_rate", quotient(len(wins), n), _NO_TRADES)
    sheet.put("expectancy_quote", quotient(total_quote(pnl, units_per_quote), n), _NO_TRADES)
    no_loss = _NO_LOSS if n else _NO_TRADES
    sheet.put("profit_factor", quotient(gained, lost), no_loss)
    payoff = gained / len(wins) / (lost / len(losses)) if len(wins) and len(losses) else None
    no_payoff = no_loss if not len(losses) else "no winning trade"
    sheet.put("payoff", payoff, no_payoff)
    chance = len(wins) / n if n else 0.0
    kelly = None if payoff is None else (chance - (1.0 - chance) / payoff) / 2.0
    sheet.put("kelly_half", kelly, no_payoff)
    sheet.put("max_consecutive_wins", longest_run(pnl > 0))
    sheet.put("max_consecutive_losses", longest_run(pnl < 0))


def _put_units_of_risk(sheet: Sheet, trades: TradeColumns) -> None:
    """
    Write expectancy in R and the SQN, √n · mean(R) ÷ std(R, n − 1), over trades that had a stop.

    Source: V. K. Tharp, The Definitive Guide to Position Sizing (2008).
    """
    has_risk = trades["risk"] > 0
    n = int(has_risk.sum())
    if n == 0:
        reason = "no trade had a stop" if len(trades) else _NO_TRADES
        sheet.refuse(("expectancy_r", "sqn", "sqn_100"), reason)
        return
    if n < len(trades):
        sheet.notes.append(f"R and SQN from {n} of {len(trades)} trades; the others had no stop")
    multiples = trades["pnl"][has_risk] / trades["risk"][has_risk]
    average = float(multiples.mean())
    sheet.put("expectancy_r", average)
    if n < 2:
        sheet.refuse(("sqn", "sqn_100"), "fewer than two trades with a stop")
        return
    if n < MINIMUM_TRADES:
        sheet.notes.append(f"SQN from {n} trades; {MINIMUM_TRADES} are the minimum")
    # Money is rounded to units, so equal trades differ in their last digits.
    is_constant = float(np.ptp(multiples)) <= _SAME_R
    ratio = None if is_constant else quotient(average, float(np.std(multiples, ddof=1)))
    for name, count in (("sqn", n), ("sqn_100", min(n, 100))):
        value = None if ratio is None else math.sqrt(count) * ratio
        sheet.put(name, value, "all trades had the same R")


def _put_shape(sheet: Sheet, trades: TradeColumns) -> None:
    """Write durations and excursions; MAE and MFE are fractions of the entry price, MAE is negative."""
    if not len(trades):
        names = tuple(f"{kind}_trade_duration_s" for kind in ("average", "median", "maximum"))
        sheet.refuse((*names, "average_mae", "average_mfe"), _NO_TRADES)
        return
    lengths = durations_s(trades)
    sheet.put("average_trade_duration_s", float(lengths.mean()))
    sheet.put("median_trade_duration_s", float(np.median(lengths)))
    sheet.put("maximum_trade_duration_s", float(lengths.max()))
    for name in ("mae", "mfe"):
        fractions = trades[f"{name}_price"] / trades["entry_price"]
        sheet.put(f"average_{name}", float(fractions.mean()))


def put_costs(sheet: Sheet, trades: TradeColumns, units_per_quote: float) -> None:
    """Write what was paid, and the share of it in gross profit: costs ÷ (net profit + costs)."""
    amounts = {name: total_units(trades[name]) for name in _COSTS}
    for name, amount in amounts.items():
        sheet.put(f"{name}_quote", amount / units_per_quote)
    costs = sum(amounts.values())
    gross = total_units(trades["pnl"]) + costs
    share = costs / gross if gross > 0 else None
    sheet.put("costs_quote", costs / units_per_quote)
    reason = "no profit before costs" if len(trades) else _NO_TRADES
    sheet.put("costs_share_of_gross", share, reason)
