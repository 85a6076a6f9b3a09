"""What a result is written from: marks by column, in row groups, and never a whole table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from papertape.engine.performance.curve import Collector, Columns, rows_of
from papertape.engine.records import MARK
from papertape.replay import result as results
from papertape.replay.report_data import curve_of, decimals_of
from papertape.replay.report_returns import returns_of
from papertape.replay.tables import equity_table


def some_marks(n: int) -> Columns:
    """Return marks that begin 2020-01-01 00:01."""
    random = np.random.default_rng(4)
    return Columns(
        time_ms=1_577_836_860_000 + 60_000 * np.arange(n),
        equity=random.integers(1, 10**12, n),
        cash=random.integers(-(10**12), 10**12, n),
        exposure=random.integers(0, 10**12, n),
        open_positions=random.integers(0, 3, n).astype(np.int32),
    )


@pytest.mark.parametrize("n", [0, 1, 7, 8, 20])
def test_row_groups_hold_the_table_as_a_whole(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "ROW_GROUP_ROWS", 7)
    marks = some_marks(n)

    results._write_equity(tmp_path / "equity.parquet", marks)

    expected = equity_table(marks)
    read = pd.read_parquet(tmp_path / "equity.parquet")
    pd.testing.assert_frame_equal(read, expected, check_exact=True)
    assert pq.ParquetFile(tmp_path / "equity.parquet").num_row_groups == -(-n // 7)


@pytest.mark.parametrize("sizes", [[], [1], [3, 0, 4], [131_071, 2, 131_073, 5]])
def test_collected_marks_are_those_that_came(sizes: list[int]) -> None:
    rows = rows_of(some_marks(sum(sizes)))
    collector, start = Collector(), 0
    for size in sizes:
        collector.add(rows[start : start + size])
        start += size
        if size == 2:  # asked on the way, it goes on
            assert len(collector.columns()["equity"]) == start

    found = rows_of(Columns(**collector.columns()))

    assert found.dtype == MARK
    assert found.tobytes() == rows.tobytes()


def test_marks_and_their_table_give_the_same_curve() -> None:
    marks = some_marks(3_000)
    table = equity_table(marks)

    for one, other in zip(curve_of(marks), curve_of(table), strict=True):
        np.testing.assert_array_equal(one, other)
    assert returns_of(marks, 1_000.0) == returns_of(table, 1_000.0)


def test_one_price_in_a_later_stretch_asks_for_its_decimals() -> None:
    prices = np.full(200_000, 100.0)
    assert decimals_of(prices) == 0

    prices[150_000] = 100.25

    assert decimals_of(prices) == 2
