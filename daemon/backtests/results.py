"""A result read again for whoever asks: its figures, its curve, pieces of its files; all within the budget of one answer."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from papertape.daemon.backtests.answers import (
    PIECE_BYTES,
    BacktestJob,
    BacktestResult,
    FileSize,
    ResultCurve,
    ResultFile,
    TapeUsed,
)
from papertape.daemon.backtests.curves import Curve
from papertape.engine.errors import DataError
from papertape.replay.report.data import curve_points, curve_values

_STRETCHES: Final = 500
_MOST_DOUBTS: Final = 50
_MOST_TAPES: Final = 100
_CHARACTERS: Final = 500  # of one doubt


def summary_of(folder: Path) -> dict[str, Any]:
    """Return the content of result.json, or raise DataError."""
    try:
        summary: dict[str, Any] = json.loads((folder / ResultFile.SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"the result of this backtest cannot be read: {error}") from error
    return summary


def result_of(job: BacktestJob, folder: Path) -> BacktestResult:
    """Return what a backtest found; raises DataError for a damaged result."""
    summary = summary_of(folder)
    names = ("strategy", "timeframe", "start", "end", "candles", "capital", "quote", "metrics", "undefined")
    return BacktestResult(
        job=job,
        **{name: summary[name] for name in names},
        symbols=tuple(summary["symbols"]),
        doubts=tuple(line[:_CHARACTERS] for line in summary["doubts"][:_MOST_DOUBTS]),
        tapes=tuple(
            TapeUsed(
                name=f"{tape['venue']}_{tape['symbol']}_{tape['timeframe']}",
                sha256=tape["sha256"],
                is_synthetic=tape["is_synthetic"],
            )
            for tape in summary["tapes"][:_MOST_TAPES]
        ),
        curve=_curve(folder),
        files=tuple(_sizes(folder)),
        folder=str(folder.resolve()),
    )


def _sizes(folder: Path) -> Iterator[FileSize]:
    for name in ResultFile:
        # Not asked before whether it is there: the oldest results are removed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            yield FileSize(name=name, size_bytes=(folder / name).stat().st_size)


def curve_of_result(folder: Path) -> Curve:
    """Return the equity of a result at every close, or raise DataError for a damaged file."""
    # Here, not on top: a daemon that nobody asks for a result has thirty MB less.
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / ResultFile.EQUITY
    try:
        table = pq.read_table(path, columns=["time", "equity"])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: damaged: {error}") from error
    time_ms = table["time"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy()
    return Curve(time_ms, table["equity"].to_numpy())


def _curve(folder: Path) -> ResultCurve:
    """Return equity at the closes that a chart needs."""
    time_ms, equity = curve_of_result(folder)
    rows = curve_points(equity, _STRETCHES)
    return ResultCurve(time_ms=tuple(time_ms[rows].tolist()), equity=tuple(curve_values(equity[rows])))


def piece_of(folder: Path, name: ResultFile, offset: int) -> bytes | None:
    """Return the bytes of a file from `offset` on, as many as one answer holds; None: there is no such file or place."""
    path = folder / name
    try:
        if offset > path.stat().st_size:
            return None
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(PIECE_BYTES)
    except FileNotFoundError:
        return None
