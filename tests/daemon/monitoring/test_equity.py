"""The curve of an account over years: bytes stay in the budget, extremes survive, and a window is read without the rest."""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.daemon.journal import Journal
from papertape.daemon.monitoring.api.answers import EquityCurve
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.windows import equity as module
from papertape.daemon.monitoring.windows.equity import STRETCHES, EquityHistory
from papertape.engine.candles import DAY_MS, MINUTE_MS
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.records import UNITS_PER_QUOTE
from tests.daemon.monitoring.test_api import get, serving
from tests.support.api import FIRST_MS, account, no_status

STEP_MS = 5 * MINUTE_MS
CAPITAL = 10_000.0
YEARS = 500_000  # marks: 4.8 years


def worth(n: int, seed: int) -> IntArray:
    """Return a curve in units of money: a walk whose last digits are those of 1e-9 quote."""
    steps = np.random.default_rng(seed).normal(0.0, 2e-4, n)
    return np.round(CAPITAL * UNITS_PER_QUOTE * np.exp(np.cumsum(steps))).astype(np.int64)


class Marks:
    """The journal's table of equity by itself; it counts the rows that are read from it."""

    units_per_quote = 1e9

    def __init__(self, equity: IntArray) -> None:
        self._connection, self.n_rows, self._n = sqlite3.connect(":memory:"), 0, 0
        self._connection.execute("CREATE TABLE equity (time_ms PRIMARY KEY, equity, exposure)")
        self.add(equity)

    def add(self, equity: IntArray) -> None:
        """Add marks, one every five minutes."""
        rows = zip(times(self._n, equity).tolist(), equity.tolist(), strict=True)
        self._connection.executemany("INSERT INTO equity VALUES (?, ?, 7)", rows)
        self._n += len(equity)

    def all(self, query: str, *values: object) -> list[Any]:
        rows = self._connection.execute(query, values).fetchall()
        self.n_rows += len(rows)
        return rows


def times(first: int, equity: IntArray) -> IntArray:
    """Return when marks were made, of which some came before."""
    return FIRST_MS + STEP_MS * np.arange(first, first + len(equity))


def window(history: EquityHistory, marks: Marks, *span: int | None) -> EquityCurve:
    """Ask for a window; it asks a journal for rows and for nothing else."""
    from_ms, to_ms = span or (None, None)
    return history.window(marks, from_ms, to_ms)  # type: ignore[arg-type]


def falls(equity: IntArray) -> FloatArray:
    """Return the fall from the peak at each mark; the capital is the first peak."""
    return 1.0 - equity / np.maximum.accumulate(np.maximum(equity, CAPITAL * UNITS_PER_QUOTE))


def check(found: EquityCurve, equity: IntArray, *span: int) -> None:
    """Compare an answer with the whole curve: what is told is so, and every stretch has its extremes and its last mark."""
    when, fallen = times(0, equity), falls(equity)
    rows = np.arange(len(equity))
    if span:
        rows = rows[(when >= span[0]) & (when < span[1])]
    told = (np.array(found.time_ms, np.int64) - FIRST_MS) // STEP_MS
    assert list(found.time_ms) == when[told].tolist()
    assert found.equity == pytest.approx(equity[told] / UNITS_PER_QUOTE, abs=5.1e-5)
    assert found.drawdown_ratio == pytest.approx(fallen[told], abs=5.1e-7)
    assert np.isin(told, rows).all()
    parts = np.split(rows, np.flatnonzero(np.diff(when[rows] // found.size_ms)) + 1)
    assert len(parts) <= module.STRETCHES
    for part in parts if len(rows) else ():
        own = told[(told >= part[0]) & (told <= part[-1])]
        assert len(own) <= 4
        assert own[-1] == part[-1]
        assert equity[own].min() == equity[part].min()
        assert equity[own].max() == equity[part].max()
        assert fallen[own].max() == fallen[part].max()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 400),
    st.integers(0, 400),
    st.integers(-50, 450),
    st.integers(1, 500),
    st.integers(0, 299_999),
)
def test_every_window_has_its_extremes_however_it_was_taken_in(
    n: int, n_later: int, first: int, length: int, offset_ms: int
) -> None:
    """A small overview and few stretches, marks that come between two questions, windows off the grid."""
    equity = worth(n + n_later, n)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("MOST_KEPT", 16), ("STRETCHES", 7), ("_PAGE", 23)):
            patch.setattr(module, name, value)
        history, marks = EquityHistory(CAPITAL), Marks(equity[:n])
        check(window(history, marks), equity[:n])
        marks.add(equity[n:])
        from_ms = FIRST_MS + STEP_MS * first + offset_ms
        span = from_ms, from_ms + STEP_MS * length
        check(window(history, marks, *span), equity, *span)
        check(window(history, marks), equity)


@pytest.mark.parametrize("n", [5_000, 40_000])
def test_what_a_window_reads_does_not_grow_with_the_table(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a table was taken in: of the window its own marks, or those of one kept stretch at each end."""
    monkeypatch.setattr(module, "MOST_KEPT", 2_500)
    equity, history = worth(n, 5), EquityHistory(CAPITAL)
    marks = Marks(equity)
    window(history, marks)
    assert marks.n_rows == n
    kept = {5_000: 2, 40_000: 16}[n]  # marks in a stretch of the overview
    for length in (300, 2_400, 4_000):
        span = FIRST_MS + 700 * STEP_MS + 7, FIRST_MS + (700 + length) * STEP_MS + 7
        marks.n_rows = 0
        check(window(history, marks, *span), equity, *span)
        drawn = 1 if length <= STRETCHES else 8  # marks in a stretch that is drawn
        assert marks.n_rows <= (length if drawn < kept else 0) + 2 * kept
    marks.add(equity[:3])
    marks.n_rows = 0
    window(history, marks)
    assert marks.n_rows == 3


def test_a_curve_in_bitcoin_has_the_decimals_of_its_amounts() -> None:
    found = window(EquityHistory(0.5), Marks(np.array([500_000_010, 512_345_670, 499_999_990])))

    assert found.equity == (0.50000001, 0.51234567, 0.49999999)
    assert found.exposure == (7e-9,) * 3


@pytest.mark.slow
@pytest.mark.asyncio
async def test_years_fit_and_peak_and_trough_of_every_stretch_survive(tmp_path: Path) -> None:
    equity = worth(YEARS, 5)
    rows = zip(times(0, equity).tolist(), equity.tolist(), (equity // 3).tolist(), strict=True)
    with Journal.open(tmp_path, 0) as journal:
        journal.commit(
            [
                lambda j: j.connection.executemany(
                    "INSERT INTO equity (input, time_ms, equity, cash, exposure, open_positions) VALUES (1, ?, ?, 0, ?, 1)",
                    rows,
                )
            ]
        )
    async with serving(Api(account(tmp_path), no_status)) as http:
        _, body = await get(http, "equity")  # no more than 256 kB
        found = EquityCurve.model_validate_json(body)
        check(found, equity)
        assert 3 * STRETCHES // 2 < len(found.time_ms) <= 4 * STRETCHES
        assert max(found.equity) == pytest.approx(equity.max() / UNITS_PER_QUOTE, abs=1e-4)
        assert max(found.drawdown_ratio) == pytest.approx(falls(equity).max(), abs=1e-6)
        # A day is drawn to the mark, its fall from a peak of years before included.
        span = FIRST_MS + 900 * DAY_MS, FIRST_MS + 901 * DAY_MS
        _, body = await get(http, "equity", from_ms=span[0], to_ms=span[1])
        found = EquityCurve.model_validate_json(body)
        check(found, equity, *span)
        assert (found.size_ms, len(found.time_ms)) == (STEP_MS, 288)
