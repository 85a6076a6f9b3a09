"""
A result: what a backtest found, with everything needed to doubt it and to do it again.

On disk it is a folder, written under a temporary name and renamed when complete, so a half-written result can never
be taken for a whole one:

    result.json       metrics, conventions, digest, tape hashes, configuration, warnings, timings
    trades.parquet    one row per trade, in quote and UTC
    equity.parquet    the account at the close of every base candle
    fills.parquet     FILL and DECISION records as the engine reported them, uncompressed: `papertape verify`
    decisions.parquet   names the first record and field that differ
    models/           the artefacts that took over, when there were any
    report.html       one file, opens offline
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from papertape.engine.errors import DataError
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import Rows
from papertape.replay.report import render_report, write_report

FORMAT: Final = 1


@dataclass(slots=True)
class Result:
    """
    The outcome of one backtest.

    summary    the content of result.json
    trades     DataFrame, one row per trade
    equity     DataFrame, one row per base candle
    fills      FILL records; decisions: DECISION records
    candles    by symbol, CANDLE records of the strategy's timeframe, for drawing
    models     artefacts in the order of the lineage in the summary
    events     EVENT records of market structure, for drawing; none when the strategy does not look at it
    """

    summary: dict[str, Any]
    trades: pd.DataFrame
    equity: pd.DataFrame
    fills: Rows
    decisions: Rows
    candles: Mapping[str, Rows] = field(default_factory=dict)
    models: Sequence[bytes] = ()
    events: Rows = field(default_factory=lambda: np.zeros(0, EVENT))

    @property
    def metrics(self) -> dict[str, float | None]:
        """Return every metric by name; None where it is undefined, with the reason in `undefined`."""
        metrics: dict[str, float | None] = self.summary["metrics"]
        return metrics

    @property
    def undefined(self) -> dict[str, str]:
        """Return why metrics are undefined."""
        reasons: dict[str, str] = self.summary["undefined"]
        return reasons

    @property
    def digest(self) -> str:
        """Return the digest of every decision and fill."""
        return str(self.summary["digest"])

    def report(self) -> str:
        """Return the HTML report."""
        return render_report(self.summary, self.trades, self.equity, self.candles, self.events)

    def plot(self, path: str | Path | None = None) -> Path:
        """Write the HTML report to `path` (a temporary file by default) and return where it is."""
        if path is None:
            handle, name = tempfile.mkstemp(prefix="papertape-", suffix=".html")
            os.close(handle)
            path = name
        target = Path(path)
        write_report(target, self.summary, self.trades, self.equity, self.candles, self.events)
        return target

    def save(self, directory: str | Path) -> Path:
        """
        Write the result folder and return it.

        Raises DataError when the folder exists and is not a result, or when it cannot be written.
        """
        target = Path(directory)
        if target.exists() and not (target / "result.json").is_file():
            raise DataError(f"{target}: exists and is not a result folder; choose another --out")
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        _remove_leftovers(target)
        try:
            temporary.mkdir(parents=True)
            self._write(temporary)
            if target.exists():
                shutil.rmtree(target)
            temporary.replace(target)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            reason = error.strerror or str(error)
            raise DataError(f"{target}: the result could not be written: {reason}") from error
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return target

    def _write(self, folder: Path) -> None:
        self.trades.to_parquet(folder / "trades.parquet", compression="zstd")
        self.equity.to_parquet(folder / "equity.parquet", compression="zstd")
        write_records(folder / "fills.parquet", self.fills)
        write_records(folder / "decisions.parquet", self.decisions)
        for number, data in enumerate(self.models):
            path = folder / model_path(number)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        self.plot(folder / "report.html")
        text = json.dumps(self.summary, indent=1, allow_nan=False)
        (folder / "result.json").write_text(text, encoding="utf-8")


def _remove_leftovers(target: Path) -> None:
    """Remove what processes that were killed while they wrote to `target` have left beside it."""
    for path in target.parent.glob(f".{target.name}.*.tmp"):
        number = path.name.split(".")[-2]
        if number.isdigit() and not _is_running(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def model_path(number: int) -> Path:
    """Return where a result keeps the artefact of this place in its lineage."""
    return Path("models") / f"{number + 1:04d}.safetensors"


def write_records(path: Path, records: Rows) -> None:
    """Write records plainly: no compression and no dictionary, so that a damaged byte stays where it is."""
    assert records.dtype.names is not None
    table = pa.table({name: np.ascontiguousarray(records[name]) for name in records.dtype.names})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)


def read_records(path: Path, dtype: np.dtype[Any]) -> Rows:
    """Return records that `write_records` wrote, or raise DataError when the file is damaged."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: damaged or not a record file: {error}") from error
    assert dtype.names is not None
    if tuple(table.column_names) != dtype.names:
        raise DataError(f"{path}: columns {table.column_names} are not those of this version")
    records = np.zeros(table.num_rows, dtype)
    for name in dtype.names:
        records[name] = table[name].to_numpy()
    return records
