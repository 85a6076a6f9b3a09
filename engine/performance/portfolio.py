"""
Several symbols in one account: what each held and earned, how concentrated the account was, how alike its markets moved.

Everything is looked at where UTC days end. A symbol's part of a day is its notional ÷ that of all positions; with parts w
the account is worth 1 ÷ Σ w² equal positions (the inverse of Herfindahl's index), averaged over the days on which anything
was held. Correlation is Pearson's of daily returns, pair by pair over the days on which both were listed.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.performance.times import day_ends

FEWEST_DAYS: Final = 30  # that two symbols must share for a correlation
MOST_SYMBOLS: Final = 40  # whose correlations are given one by one
_DECIMALS: Final = 6


def portfolio(
    time_ms: IntArray,
    equity: IntArray,
    closes: FloatArray,
    spans: Sequence[tuple[int, int]],
    fills: Rows,
    trades: Rows,
    symbols: Sequence[str],
    units_per_quote: float,
) -> dict[str, Any]:
    """
    Return what JSON holds of a portfolio: one row per symbol, and the table of correlations.

    time_ms   shape (n,), close of every instant; equity: likewise, money units
    closes    shape (n, n_symbols)
    spans     open of the first and close of the last candle of each symbol, in ms
    fills     FILL records; trades: TRADE records, open ones at their mark
    """
    ends = day_ends(time_ms)
    index = ends.mark_index
    prices = closes[index]
    moments = time_ms[index]
    notional = np.abs(_positions(fills, moments, len(symbols))) * prices
    gross = notional.sum(axis=1)
    is_held = gross > 0.0
    parts = notional[is_held] / gross[is_held, None]
    worth = equity[index] / units_per_quote
    of_equity = np.divide(notional, worth[:, None], out=np.zeros_like(notional), where=worth[:, None] > 0.0)
    listed = np.array([(first < moments) & (moments <= last) for first, last in spans]).T
    rows = [
        {
            "name": name,
            "days": int(listed[:, number].sum()),
            "days_held": int((notional[:, number] > 0.0).sum()),
            "part": _rounded(parts[:, number].mean() if len(parts) else 0.0),
            "largest_of_equity": _rounded(of_equity[:, number].max()),
            "pnl_quote": int(trades["pnl"][trades["symbol"] == number].sum()) / units_per_quote,
        }
        for number, name in enumerate(symbols)
    ]
    table = correlations(prices, listed)
    pairs = table[np.triu_indices(len(symbols), 1)]
    known = pairs[np.isfinite(pairs)]
    return {
        "days": len(index),
        "days_held": int(is_held.sum()),
        "positions": _rounded((1.0 / (parts**2).sum(axis=1)).mean()) if len(parts) else None,
        "largest_part": _rounded(parts.max(axis=1).mean()) if len(parts) else None,
        "symbols": rows,
        "correlation": _plain(table) if len(symbols) <= MOST_SYMBOLS else None,
        "average_correlation": _rounded(known.mean()) if len(known) else None,
    }


def allotments(positions: Rows) -> list[dict[str, float | None]]:
    """
    Return what each symbol was allotted and used of it, by POSITION records; None where it never had a share.

    allotted  mean share of equity over the closes at which it had one; used: notional of what it held ÷ allotted equity
    """
    found: list[dict[str, float | None]] = []
    for closes, shares, used in positions[["allotted_closes", "allotted_total", "used_total"]].tolist():
        has_one = closes > 0
        found.append(
            {
                "allotted": _rounded(shares / closes) if has_one else None,
                "used": _rounded(used / shares) if has_one else None,
            }
        )
    return found


def correlations(prices: FloatArray, listed: Any) -> FloatArray:
    """
    Return the correlation of daily returns pair by pair, shape (n_symbols, n_symbols), NaN where too little is known.

    prices  shape (n_days, n_symbols), above 0; listed: likewise, whether a price is one
    """
    returns = prices[1:] / prices[:-1] - 1.0
    is_known = listed[1:] & listed[:-1]
    n = prices.shape[1]
    table = np.full((n, n), np.nan)
    for one in range(n):
        for two in range(one, n):
            common = is_known[:, one] & is_known[:, two]
            if common.sum() < FEWEST_DAYS:
                continue
            a, b = returns[common, one], returns[common, two]
            a, b = a - a.mean(), b - b.mean()
            size = np.sqrt((a * a).sum() * (b * b).sum())
            if size > 0.0:
                table[one, two] = table[two, one] = min(max((a * b).sum() / size, -1.0), 1.0)
    return table


def _positions(fills: Rows, moments: IntArray, n_symbols: int) -> FloatArray:
    """Return what was held of each symbol at these closes, shape (n, n_symbols); a fill is within its candle."""
    held = np.zeros((len(moments), n_symbols))
    for symbol in range(n_symbols):
        rows = fills[fills["symbol"] == symbol]
        after = np.concatenate([[0.0], rows["position"]])
        held[:, symbol] = after[np.searchsorted(rows["candle_ms"], moments, "left")]
    return held


def _rounded(value: Any) -> float:
    return round(float(value), _DECIMALS)


def _plain(table: FloatArray) -> list[list[float | None]]:
    return [[_rounded(x) if np.isfinite(x) else None for x in row] for row in table]
