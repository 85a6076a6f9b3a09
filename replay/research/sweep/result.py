"""What came of a sweep: its best trials, the table of all, and Parquet, read from its file and never held as a whole."""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.performance import METRIC_NAMES
from papertape.engine.performance.standing import Standing
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.trial import TrialRow
from papertape.replay.research.trials.matrix import TrialVerdict
from papertape.replay.runtime.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

TABLE: Final = "trials.parquet"
_LOWER_IS_BETTER: Final = frozenset(
    {
        "max_drawdown_duration_s", "time_to_recover_s", "sharpe_standard_error", "volatility", "ulcer_index",
        "kurtosis", "turnover", "mean_leverage", "max_consecutive_losses", "ambiguous_trades", "ambiguous_share",
        "fees_quote", "spread_quote", "slippage_quote", "funding_quote", "costs_quote", "costs_share_of_gross",
    }
)  # fmt: skip
_GROUP_ROWS: Final = 4_096
_KINDS: Final = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


def sign_of(metric: str) -> int:
    """Return 1 where more of a metric is better, -1 where less is; ConfigError for one that does not exist."""
    if metric not in METRIC_NAMES:
        raise ConfigError(f"--by {metric}: no such metric{did_you_mean(metric, METRIC_NAMES)}")
    return -1 if metric in _LOWER_IS_BETTER else 1


@dataclass(slots=True, kw_only=True)
class TrialsFound(ABC):
    """
    What is known of many trials, whoever chose them.

    folder    of their file, their table and their page
    size      trials that were asked for; counts: of those that ended, by outcome
    checked   trials that were replayed again by themselves, digest and metrics equal
    reasons   the first reason of each outcome but done
    standing  of them among all that are on record for their tapes
    verdict   what their returns say together: overfitting, step-down
    shells    how many of the trials each shell did, where several shared the work
    page      of their surface, None where no trial has a value or there are too many to draw
    data_doubts  of the candles and series that the best trial was made from, or the first that was done where none is the best
    """

    folder: Path
    axes: Sequence[Axis]
    size: int
    counts: Mapping[str, int]
    checked: Sequence[int]
    reasons: Mapping[str, str]
    standing: Standing
    verdict: TrialVerdict
    shells: Mapping[str, int] = field(default_factory=dict)
    page: Path | None = None
    data_doubts: Sequence[str] = ()

    @property
    @abstractmethod
    def first(self) -> TrialRow | None:
        """Return the best trial, None where there is none."""

    @property
    def doubts(self) -> list[str]:
        """Return what a reader must know of the best, as sentences."""
        if self.first is None:
            return list(self.data_doubts)
        return [
            *self.data_doubts,
            f"The first is the best of {self.tried:,} that were tried here; none of them has seen other candles.",
            *self.standing.sentences(self.first.metrics),
            *self.verdict.sentences(),
        ]

    @property
    def tried(self) -> int:
        """Return how many trials have shown anything, those among them that were given up on the way."""
        return self.counts.get("done", 0) + self.counts.get("pruned", 0)

    @property
    def left(self) -> int:
        """Return how many trials are not finished."""
        return self.size - sum(self.counts.values())

    @property
    def table(self) -> "pd.DataFrame":
        """Return one row per finished trial, by number: what it changed, how it ended, every metric."""
        import pandas as pd

        return pd.read_parquet(self.folder / TABLE).sort_values("number", ignore_index=True)

    def _plain(self) -> dict[str, Any]:
        """Return all of this as plain values."""
        return {
            "folder": str(self.folder),
            "page": str(self.page) if self.page is not None else None,
            "axes": [axis.to_json() for axis in self.axes],
            "trials": self.size,
            "left": self.left,
            "counts": dict(self.counts),
            "reasons": dict(self.reasons),
            "checked": list(self.checked),
            "shells": dict(self.shells),
            "data_doubts": list(self.data_doubts),
            "verdict": self.verdict.to_json(),
            "ledger": self.standing.section(self.first.metrics if self.first else {}),
        }


@dataclass(slots=True, kw_only=True)
class SweepResult(TrialsFound):
    """
    What a sweep found.

    best   by the metric `by`, the best first; a tie goes to the lower number
    lanes  how many of those that were done ran from beginning to end in one call of a kernel
    """

    by: str
    best: Sequence[TrialRow]
    lanes: int

    @property
    def first(self) -> TrialRow | None:
        """Return the best trial, None where there is none."""
        return self.best[0] if self.best else None

    def to_json(self) -> dict[str, Any]:
        """Return the sweep as plain values, without the trials that are not among the best."""
        best = [plain_row(row) for row in self.best]
        return {**self._plain(), "lanes": self.lanes, "by": self.by, "best": best}


def plain_row(row: TrialRow) -> dict[str, Any]:
    """Return a trial as plain values, without its returns."""
    return {n: value for n, value in row._asdict().items() if n not in ("returns", "lesson")}


class Summary:
    """Counts, first reasons and the best of rows that pass by one at a time."""

    def __init__(self, by: str, top: int) -> None:
        self.by, self._top = by, top
        self._sign = sign_of(by)
        self.counts: dict[str, int] = {}
        self.reasons: dict[str, tuple[int, str]] = {}
        self.lanes = 0
        self._heap: list[tuple[float, int, TrialRow]] = []

    def add(self, row: TrialRow) -> None:
        """Take in one trial."""
        self.counts[row.outcome] = self.counts.get(row.outcome, 0) + 1
        self.lanes += row.is_lane
        if row.outcome != "done":
            before = self.reasons.get(row.outcome)
            if before is None or row.number < before[0]:
                self.reasons[row.outcome] = row.number, row.reason
            return
        value = row.metrics.get(self.by)
        if value is not None:
            heapq.heappush(self._heap, (self._sign * value, -row.number, row))
            if len(self._heap) > self._top:
                heapq.heappop(self._heap)

    def passing(self, rows: Iterable[TrialRow]) -> Iterator[TrialRow]:
        """Yield rows as they are taken in, for somebody else who reads each once."""
        for row in rows:
            self.add(row)
            yield row

    @property
    def best(self) -> list[TrialRow]:
        """Return the best trials, the best first."""
        return [row for _, _, row in sorted(self._heap, key=lambda one: one[:2], reverse=True)]


def write_table(
    folder: Path, axes: Sequence[Axis], rows: Iterable[TrialRow], *, has_windows: bool = False
) -> None:
    """Write every trial as one row of a Parquet file, a few thousand at a time; has_windows: with its values in each of them."""
    schema = pa.schema(
        [
            ("number", pa.int64()),
            *((axis.key, _kind(axis)) for axis in axes),
            ("outcome", pa.string()),
            ("reason", pa.string()),
            ("configuration", pa.string()),
            ("digest", pa.string()),
            ("wall_s", pa.float64()),
            *([("windows", pa.list_(pa.float64()))] if has_windows else []),
            *((name, pa.float64()) for name in METRIC_NAMES),
        ]
    )

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            waiting = iter(rows)
            while group := list(islice(waiting, _GROUP_ROWS)):
                found = [_flat(row, axes, schema) for row in group]
                writer.write_table(pa.Table.from_pylist(found, schema))

    write_whole(folder / TABLE, write)


def _flat(row: TrialRow, axes: Sequence[Axis], schema: pa.Schema) -> dict[str, Any]:
    changes = {
        axis.key: str(_shown(row.changes[axis.key]))
        if schema.field(axis.key).type == pa.string()
        else row.changes[axis.key]
        for axis in axes
    }
    plain = {name: getattr(row, name) for name in ("number", "outcome", "reason", "wall_s")}
    digests = {"configuration": row.configuration, "digest": row.digest}
    numbers = {n: None if v is None else float(v) for n, v in row.metrics.items()}
    return {**plain, **changes, **digests, **numbers, "windows": list(row.values)}


def _kind(axis: Axis) -> pa.DataType:
    if not axis.values:
        return pa.int64() if axis.is_whole else pa.float64()
    kinds = {type(value) for value in axis.values}
    return _KINDS.get(kinds.pop(), pa.string()) if len(kinds) == 1 else pa.string()


def _shown(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def shown_changes(row: TrialRow, axes: Sequence[Axis]) -> Iterator[str]:
    """Yield what a trial changed, as text, axis by axis."""
    for axis in axes:
        value = row.changes[axis.key]
        yield f"{value:.6g}" if isinstance(value, float) else str(_shown(value))
