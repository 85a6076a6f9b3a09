"""
Profit by component of the score: what a model, Smart Money Concepts and technical signals each earned.

A trade's net profit is split in proportion to the signed contributions to the score that opened it,
score_c ÷ Σ scores: a component that argued against the trade gets a share with the opposite sign. Money units are
rounded and what rounding leaves goes to the largest share, so the columns add up to the profit exactly.
"""

from typing import Final

import numpy as np

from papertape.engine.jit import IntArray, Rows

UNATTRIBUTED: Final = "unattributed"
_SCORED: Final = ("model", "smc", "technical")
COMPONENTS: Final[tuple[str, ...]] = (*_SCORED, UNATTRIBUTED)

# Contributions that cancel to less than this part of their size decide nothing: a split would multiply the
# profit a hundredfold on both sides of zero.
_SMALLEST_SUM: Final = 0.01


def attribution(trades: Rows) -> dict[str, IntArray]:
    """
    Return for each of COMPONENTS the profit of every trade that is due to it, in money units.

    Without scores, or when they cancel, the whole profit is unattributed.
    """
    scores = np.array([trades[f"score_{name}"] for name in _SCORED])  # (3, n_trades)
    scores = np.where(np.isfinite(scores).all(axis=0), scores, 0.0)
    pnl = trades["pnl"].astype(np.int64)
    size = np.abs(scores).max(axis=0)
    scaled = np.divide(scores, size, out=np.zeros_like(scores), where=size > 0.0)
    total = scaled.sum(axis=0)
    is_split = np.abs(total) > _SMALLEST_SUM * np.abs(scaled).sum(axis=0)
    shares = np.divide(scaled, total, out=np.zeros_like(scores), where=is_split)
    parts = np.rint(shares * pnl).astype(np.int64)
    rows = np.arange(len(pnl))
    largest = np.argmax(np.abs(shares), axis=0)
    parts[largest, rows] += np.where(is_split, pnl - parts.sum(axis=0), 0)
    columns = dict(zip(_SCORED, parts, strict=True))
    columns[UNATTRIBUTED] = np.where(is_split, 0, pnl)
    return columns
