"""What a result is written from: marks by column, in row groups, and never a whole table."""

import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from papertape.engine.performance.curve import Collector, CurveColumns, rows_of
from papertape.engine.records import MARK
from papertape.replay import Tape
from papertape.replay.backtesting import result as results
from papertape.replay.backtesting import run, summary
from papertape.replay.backtesting.run import run_backtest
from papertape.replay.config import load_config
from papertape.replay.report import features, steps
from papertape.replay.report.data import decimals_of
from papertape.replay.tapes.arrow import arrow_table
from papertape.replay.tapes.tables import equity_columns, frame
from tests.bench.candles import make

Answer = TypeVar("Answer")


def some_marks(n: int) -> CurveColumns:
    """Return marks that begin 2020-01-01 00:01."""
    random = np.random.default_rng(4)
    return CurveColumns(
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

    expected = frame(equity_columns(marks))
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

    found = rows_of(CurveColumns(**collector.columns()))

    assert found.dtype == MARK
    assert found.tobytes() == rows.tobytes()


def test_one_price_in_a_later_stretch_asks_for_its_decimals() -> None:
    prices = np.full(200_000, 100.0)
    assert decimals_of(prices) == 0

    prices[150_000] = 100.25

    assert decimals_of(prices) == 2


TABLE = {
    "number": np.array([1.5, np.nan, -0.0, 2.0, 3.0, np.inf, 4.0, 5.0, 6.0]),
    "count": np.arange(9),
    "text": np.array(["", "é", "long", "short", "x", "y", "z", "long", "short"]),
    "truth": np.array([True, False, False, True, True, True, False, False, True]),
    "time": np.arange(9).astype("datetime64[ms]"),
}


@pytest.mark.parametrize("n", [0, 1, 8, 9])
def test_columns_are_written_as_pandas_would_write_their_table(n: int) -> None:
    columns = {name: values[:n] for name, values in TABLE.items()}
    expected = pa.Table.from_pandas(frame(columns), preserve_index=False)

    found = arrow_table(columns)

    found.validate(full=True)
    assert found.equals(expected.replace_schema_metadata(None))
    assert arrow_table(columns, is_plain=True)["number"].null_count == 0


COMMAND = """
import atexit, sys
from papertape.daemon.cli import main
sys.argv = ["papertape", "replay", "--set", "data.end=2021-01-03", "--set", "signals.retrain_every=never",
            "--out", sys.argv[1]]
atexit.register(lambda: print("pandas" in sys.modules))
main()
"""


def test_the_command_has_no_use_for_pandas(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )

    assert (tmp_path / "out" / "trades.parquet").is_file()
    assert done.stdout.splitlines()[-1] == "False"


def most_bytes(n: int) -> int:
    """Return the most that replaying so many candles and writing the result holds at once beside the tape."""
    tape = Tape(make(n), "binance-spot", "X", "1m")
    changes = ["strategy.name=ema_cross", "account.sizing=all_in", "signals.retrain_every=never"]
    tracemalloc.start()
    try:
        result = run_backtest(load_config(None, changes), [tape])
        with tempfile.TemporaryDirectory() as folder:
            result.save(Path(folder) / "out")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class OneAfterAnother(Executor):
    """Threads that take turns: what is held at once is the same in every run, whatever the machine is busy with."""

    def __init__(self, most_workers: int) -> None:
        self.most_workers = most_workers

    def submit(self, function: Callable[..., Answer], /, *values: Any, **named: Any) -> Future[Answer]:
        """Return what the call has answered already."""
        future: Future[Answer] = Future()
        future.set_result(function(*values, **named))
        return future


@pytest.mark.slow
def test_a_candle_more_takes_no_more_than_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Features for the page are kept up to a bound, whatever the tape: here it is met by both of them.
    monkeypatch.setattr(features, "MOST_VALUES", 10_000)
    monkeypatch.setattr(steps, "MOST_CLOSES", 1_000)
    monkeypatch.setattr(run, "ThreadPoolExecutor", OneAfterAnother)
    monkeypatch.setattr(summary, "ThreadPoolExecutor", OneAfterAnother)
    most_bytes(100)  # what is loaded once

    found = (most_bytes(200_000) - most_bytes(100_000)) / 100_000

    # Marks take 36 bytes of every candle, the feed's stamp 8, trades and fills about 15; what works on them may hold four
    # columns of 8 bytes at once, and not a fifth. How much more two threads hold together is chance: 75 to 126 was seen.
    assert found < 100.0
