"""
A result: what a backtest found, with everything needed to doubt it and to do it again.

On disk it is a folder, written under a temporary name and renamed when complete (`whole_folder`), so a half-written result
can never be taken for a whole one, and an earlier one stays until then:

    result.json       metrics, conventions, digest, tape hashes, configuration, warnings, timings
    trades.parquet    one row per trade, in quote and UTC
    equity.parquet    the account at the close of every base candle
    fills.parquet     FILL and DECISION records as the engine reported them, uncompressed: `papertape verify`
    decisions.parquet   names the first record and field that differ
    orders.parquet    ORDER_EVENT records: what happened to working orders, when there were any
    limits.parquet    LIMIT_EVENT records: limits of the account that were met, when there were any
    payments.parquet    PAYMENT records: funding, when there was any
    changes.parquet   CHANGE records: figures of markets that changed, when there were any
    statement.parquet   every amount in double entry, one row per posting, where `report.statement` asks for it
    tapes/            the candles, when no file and no store has them under the names in the configuration
    models/           the artefacts that took over, when there were any
    report.html       one file, opens offline
"""

import html
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from papertape.engine.broker.working.orders import (
    CAUSE_NAMES,
    KIND_NAMES,
    LEVEL_NAMES,
    ORDER_EVENT,
    STATUS_NAMES,
    tag_text,
)
from papertape.engine.errors import DataError, did_you_mean
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import Rows
from papertape.engine.performance.curve import CurveColumns
from papertape.engine.records import CHANGE, LIMIT_EVENT, LIMIT_NAMES, PAYMENT, REFUSED_NAMES
from papertape.replay.backtesting.figures import FIGURES, written
from papertape.replay.report.features import FeatureLines
from papertape.replay.report.notebook import Page, card
from papertape.replay.report.page import Drawing, report_parts, write_report
from papertape.replay.report.steps import StepLines
from papertape.replay.runtime.allocation import return_free_memory
from papertape.replay.runtime.files import whole_folder
from papertape.replay.tapes.arrow import arrow_table
from papertape.replay.tapes.tables import (
    Table,
    candle_frame,
    equity_columns,
    fills_on_grid,
    frame,
    record_table,
    utc,
)
from papertape.replay.tapes.tape import ROW_GROUP_ROWS, Tape, write_tape

if TYPE_CHECKING:
    import pandas as pd

TAPES = "tapes"  # folder of a result


@dataclass(slots=True, repr=False)
class Result:
    """
    The outcome of one backtest.

    summary    the content of result.json
    traded     one row per trade, by column: `trades` is the table of it
    marks      the account at the close of every base candle, by column
    fills      FILL records; decisions: DECISION records
    candles    by symbol, CANDLE records of the strategy's timeframe, for drawing
    models     artefacts in the order of the lineage in the summary
    events     EVENT records of market structure, for drawing; none when the strategy does not look at it
    tapes      all that were replayed, where the names in the configuration would not find them again
    orders     ORDER_EVENT records: what happened to working orders
    features   what the strategy named, for drawing; lines: what was said at its closes
    limits     LIMIT_EVENT records: limits of the account that were met
    payments   PAYMENT records: funding that was paid or received
    changes    CHANGE records: figures of markets that changed
    booked     makes every amount in double entry, by column: `statement` is the table of it

    >>> from papertape import backtest
    >>> asked = {"strategy": "ema_cross", "account": {"sizing": "all_in"}, "use_ml": False}
    >>> result = backtest(start="2021-01-01", end="2021-01-31", **asked)
    >>> bool(result.trades["pnl"].gt(0).mean() == result.metrics["win_rate"])
    True
    >>> (result.save("cross") / "result.json").is_file()
    True
    """

    summary: dict[str, Any]
    traded: Table
    marks: CurveColumns
    fills: Rows
    decisions: Rows
    candles: Mapping[str, Rows] = field(default_factory=dict)
    models: Sequence[bytes] = ()
    events: Rows = field(default_factory=lambda: np.zeros(0, EVENT))
    tapes: Sequence[Tape] = ()
    orders: Rows = field(default_factory=lambda: np.zeros(0, ORDER_EVENT))
    features: FeatureLines | None = None
    limits: Rows = field(default_factory=lambda: np.zeros(0, LIMIT_EVENT))
    payments: Rows = field(default_factory=lambda: np.zeros(0, PAYMENT))
    changes: Rows = field(default_factory=lambda: np.zeros(0, CHANGE))
    booked: Callable[[], Table] = field(default=dict)
    lines: StepLines | None = None
    _trades: "pd.DataFrame | None" = field(default=None, init=False)
    _equity: "pd.DataFrame | None" = field(default=None, init=False)

    @property
    def trades(self) -> "pd.DataFrame":
        """Return one row per trade; the table is made when it is asked for."""
        if self._trades is None:
            self._trades = frame(self.traded)
        return self._trades

    @property
    def statement(self) -> "pd.DataFrame":
        """Return every amount in double entry, a debit above zero; the amounts of a transaction add up to zero."""
        return frame(self.booked())

    @property
    def equity(self) -> "pd.DataFrame":
        """Return the account at the close of every base candle, one row each; the table is made when it is asked for."""
        if self._equity is None:
            self._equity = frame(equity_columns(self.marks))
        return self._equity

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

    @property
    def monthly(self) -> "pd.DataFrame":
        """Return the return of every month, one row each."""
        import pandas as pd

        return pd.DataFrame(self.summary["monthly"], columns=["year", "month", "return"])

    @property
    def sensitivity(self) -> "pd.DataFrame":
        """Return the runs with other costs and later fills beside the run itself."""
        import pandas as pd

        return pd.DataFrame(self.summary["sensitivity"])

    @property
    def retrainings(self) -> "pd.DataFrame":
        """Return what came of every retraining, one row each."""
        import pandas as pd

        names = ("due_ms", "kind", "trigger", "outcome", "reason", "wall_s")
        rows = [{n: one[n] for n in names} for one in self.summary["model"]["attempts"]]
        table = pd.DataFrame(rows, columns=list(names))
        table.insert(0, "due", utc(table.pop("due_ms").astype("int64")))
        return table

    @property
    def fill_table(self) -> "pd.DataFrame":
        """Return every fill, as the engine reported it but for float noise, with its time in UTC."""
        markets = self.summary["markets"]
        steps = {
            index: (markets[symbol]["tick_size"], markets[symbol]["lot_size"])
            for index, symbol in enumerate(self.summary["symbols"])
        }
        return record_table(fills_on_grid(self.fills, steps), "candle_ms")

    @property
    def decision_table(self) -> "pd.DataFrame":
        """Return every decision, as the engine reported it, with its time in UTC."""
        return record_table(self.decisions, "time_ms")

    @property
    def order_table(self) -> "pd.DataFrame":
        """Return what happened to working orders, one row each, with names and its time in UTC."""
        table = record_table(self.orders, "time_ms")
        causes = {**REFUSED_NAMES, **CAUSE_NAMES}
        for name, names in (
            ("status", STATUS_NAMES),
            ("cause", causes),
            ("kind", {**KIND_NAMES, **LEVEL_NAMES}),
        ):
            table[name] = [names.get(int(code), "") for code in table[name]]
        table["tag"] = [tag_text(code) for code in table["tag"]]
        return table

    @property
    def limit_table(self) -> "pd.DataFrame":
        """Return every limit of the account that was met, with its name and its time in UTC."""
        table = record_table(self.limits, "time_ms")
        table["limit"] = [LIMIT_NAMES[int(code)] for code in table["limit"]]
        return table

    def candle_table(self, symbol: str | None = None) -> "pd.DataFrame":
        """Return the candles of a symbol, or of the only one, indexed by open time."""
        if symbol is None and len(self.candles) == 1:
            symbol = next(iter(self.candles))
        rows = self.candles.get(symbol or "")
        if rows is None:
            raise DataError(
                f"candle_table: there is no symbol {symbol!r}{did_you_mean(str(symbol), self.candles)}"
            )
        return candle_frame(rows)

    def __repr__(self) -> str:
        return f"<Result {self._title()}; {self._line()}>"

    def _title(self) -> str:
        s = self.summary
        span = f"{s['start'][:10]} … {s['end'][:10]}"
        return f"{s['strategy']} on {', '.join(s['symbols'])} {s['timeframe']} · {span}"

    def _line(self) -> str:
        earned = self.metrics.get("total_return")
        told = "" if earned is None else f"total return {earned:+.2%}, "
        n_told = len(self.summary["warnings"])
        return f"{told}{len(self.traded['number']):,} trades, {n_told} warnings"

    def _repr_html_(self) -> str:
        rows = []
        for label, name, kind in FIGURES:
            value = self.metrics.get(name)
            rows.append(
                f'<tr><td>{html.escape(label)}</td><td style="text-align:right">{written(value, kind)}</td></tr>'
            )
        doubts = "".join(f"<li>{html.escape(line)}</li>" for line in self.summary["warnings"])
        return card(self._title(), self._line(), f"<ul>{doubts}</ul><table>{''.join(rows)}</table>")

    def report(self) -> str:
        """Return the HTML report."""
        return "".join(report_parts(*self._shown()))

    def plot(self, path: str | Path | None = None) -> Page:
        """Write the HTML report to `path` (a temporary file by default) and return it: a notebook shows it in the cell."""
        if path is None:
            handle, name = tempfile.mkstemp(prefix="papertape-", suffix=".html")
            os.close(handle)
            path = name
        target = Path(path)
        write_report(target, *self._shown())
        return Page(target)

    def _shown(self) -> tuple[Mapping[str, Any], Table, CurveColumns, Mapping[str, Rows], Drawing]:
        drawing = Drawing(
            self.events,
            self.fills,
            self.orders,
            self.features,
            self.decisions,
            self.lines,
            self.limits,
            self.payments,
        )
        return self.summary, self.traded, self.marks, self.candles, drawing

    def save(self, directory: str | Path) -> Path:
        """
        Write the result folder and return it.

        Raises DataError when the folder exists and is not a result, or when it cannot be written.
        """
        target = Path(directory)
        if target.exists() and not (target / "result.json").is_file():
            raise DataError(f"{target}: exists and is not a result folder; choose another --out")
        try:
            with whole_folder(target) as folder:
                self._write(folder)
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"{target}: the result could not be written: {reason}") from error
        return target

    def _write(self, folder: Path) -> None:
        pq.write_table(arrow_table(self.traded), folder / "trades.parquet", compression="zstd")
        _write_equity(folder / "equity.parquet", self.marks)
        write_records(folder / "fills.parquet", self.fills)
        write_records(folder / "decisions.parquet", self.decisions)
        if self.summary["config"]["report"]["statement"]:
            table = arrow_table(self.booked())
            pq.write_table(table, folder / "statement.parquet", compression="zstd")
        for name in ("orders", "limits", "payments", "changes"):
            records = getattr(self, name)
            if len(records):
                write_records(folder / f"{name}.parquet", records)
        for number, tape in enumerate(self.tapes):
            path = folder / TAPES / f"{number + 1:04d}.parquet"
            path.parent.mkdir(exist_ok=True)
            write_tape(tape, path)
        for number, data in enumerate(self.models):
            path = folder / model_path(number)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        return_free_memory()
        self.plot(folder / "report.html")
        text = json.dumps(self.summary, indent=1, allow_nan=False)
        (folder / "result.json").write_text(text, encoding="utf-8")


def model_path(number: int) -> Path:
    """Return where a result keeps the artefact of this place in its lineage."""
    return Path("models") / f"{number + 1:04d}.safetensors"


def _write_equity(path: Path, marks: CurveColumns) -> None:
    """Write the table of the account in row groups: of a million candles a whole one takes 40 MB."""
    schema = arrow_table(equity_columns(marks.between(0, 0))).schema
    # A dictionary of amounts that hardly repeat takes 50 MB and makes the file larger.
    repeated = ["open_positions"]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=repeated) as writer:
        for start in range(0, len(marks), ROW_GROUP_ROWS):
            rows = equity_columns(marks.between(start, start + ROW_GROUP_ROWS))
            writer.write_table(arrow_table(rows))


def write_records(path: Path, records: Rows) -> None:
    """Write records plainly: no compression and no dictionary, so that a damaged byte stays where it is."""
    assert records.dtype.names is not None
    table = arrow_table({name: records[name] for name in records.dtype.names}, is_plain=True)
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
