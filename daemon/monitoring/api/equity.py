"""The curve of the account: lowest, highest and last value of every stretch, so that fewer points hide no drawdown."""

from typing import Final

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.monitoring.api.answers import EquityCurve
from papertape.engine.records import UNITS_PER_QUOTE
from papertape.replay.report.data import curve_points

STRETCHES: Final = 500


def equity_curve_of(
    journal: Journal, from_ms: int | None, to_ms: int | None, capital: float
) -> EquityCurve:
    """Return equity and drawdown of a window; the peak that a drawdown is from may lie before it."""
    rows = journal.all("SELECT time_ms, equity, exposure FROM equity ORDER BY time_ms")
    table = np.array(rows, np.int64).reshape(-1, 3)
    time_ms = table[:, 0]
    worth, exposure = (table[:, column] / UNITS_PER_QUOTE for column in (1, 2))
    peak = np.maximum.accumulate(np.maximum(worth, capital)) if len(worth) else worth
    drawdown = 1.0 - worth / peak
    first = 0 if from_ms is None else int(np.searchsorted(time_ms, from_ms))
    last = len(time_ms) if to_ms is None else int(np.searchsorted(time_ms, to_ms))
    part = slice(first, max(first, last))
    chosen = np.union1d(
        curve_points(worth[part], STRETCHES), curve_points(drawdown[part], STRETCHES)
    ).astype(np.int64)
    return EquityCurve(
        capital=capital,
        time_ms=time_ms[part][chosen].tolist(),
        equity=np.round(worth[part][chosen], 4).tolist(),
        drawdown_ratio=np.round(drawdown[part][chosen], 6).tolist(),
        exposure=np.round(exposure[part][chosen], 2).tolist(),
    )
