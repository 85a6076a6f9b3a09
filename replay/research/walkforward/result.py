"""What came of a walk-forward: a row per window, how choices ranked where they were tried, the account, and Parquet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from papertape.engine.performance.standing import Standing
from papertape.replay.config import Config
from papertape.replay.research.walkforward.efficiency import probability_of_more
from papertape.replay.research.walkforward.windows import Plan, Window
from papertape.replay.runtime.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

TABLE: Final = "windows.parquet"
_UNKNOWN: Final = Standing(None)


class WindowRow(NamedTuple):
    """
    One window.

    chosen          what its parameters are, by key; trial: the number of that point
    in_sample       the metric that was searched for, of the chosen trial; out_of_sample: of the account in the window
    returned        what the account made of its equity in the window
    efficiency      annual growth of the account in the window ÷ that of the chosen trial in sample, where that grew
    ranked          trials that have a value on the test; chosen_rank, peak_rank, plateau_rank: places among them, 1 the best
    """

    window: Window
    trial: int
    chosen: Mapping[str, Any]
    in_sample: float | None
    out_of_sample: float | None
    returned: float | None
    efficiency: float | None
    ranked: int
    chosen_rank: int | None
    peak_rank: int | None
    plateau_rank: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return {**self._asdict(), "window": self.window.to_json(), "chosen": dict(self.chosen)}


@dataclass(slots=True)
class WalkResult:
    """
    What a walk-forward found.

    folder   of its trials, its tables and its account; size: trials in all, counts: of those that ended, by outcome
    rows     one per window; metrics: of the account from the first switch on; digest: of every decision and fill
    config   of the account: replayed by itself it is the same account; None while trials are left
    checked  windows of which it was made sure that nothing knew what came later
    standing  of its trials among all that are on record for their tapes
    longest_s  the longest position of the account; it may not be longer than the purge
    shells   how many of the trials each shell did, where several shared the work
    page     None while trials are left
    warnings  of the account's own replay
    left_over_ms  candles after the last window, too few for a whole one
    """

    folder: Path
    by: str
    choose: str
    plan: Plan
    size: int
    counts: Mapping[str, int]
    rows: Sequence[WindowRow] = ()
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    digest: str = ""
    config: Config | None = None
    checked: Sequence[int] = ()
    standing: Standing = _UNKNOWN
    shells: Mapping[str, int] = field(default_factory=dict)
    page: Path | None = None
    warnings: Sequence[str] = ()
    left_over_ms: int = 0

    @property
    def left(self) -> int:
        """Return how many trials are not finished."""
        return self.size - sum(self.counts.values())

    @property
    def longest_s(self) -> float:
        """Return how long the longest position of the account was held."""
        return self.metrics.get("maximum_trade_duration_s") or 0.0

    @property
    def table(self) -> "pd.DataFrame":
        """Return one row per window."""
        import pandas as pd

        return pd.read_parquet(self.folder / TABLE)

    def mean_place(self, kind: str) -> float | None:
        """Return where chosen, peak or plateau stood on average where they were tried: 0 the best, 1 the last, ½ by chance."""
        places = [
            (found - 1) / (row.ranked - 1)
            for row in self.rows
            if (found := getattr(row, f"{kind}_rank")) is not None and row.ranked > 1
        ]
        return float(np.mean(places)) if places else None

    @property
    def efficiency_probability(self) -> float | None:
        """Return the probability that its mean efficiency is above 0, None where too few windows have one."""
        return probability_of_more([row.efficiency for row in self.rows if row.efficiency is not None])

    def to_json(self) -> dict[str, Any]:
        """Return the walk-forward as plain values."""
        return {
            "folder": str(self.folder),
            "by": self.by,
            "choose": self.choose,
            "plan": self.plan._asdict(),
            "trials": self.size,
            "left": self.left,
            "counts": dict(self.counts),
            "windows": [row.to_json() for row in self.rows],
            "mean_place": {kind: self.mean_place(kind) for kind in ("chosen", "peak", "plateau")},
            "account": {
                "digest": self.digest,
                "metrics": dict(self.metrics),
                "strategy": self.config.strategy.model_dump(mode="json") if self.config else None,
            },
            "efficiency_probability": self.efficiency_probability,
            "checked": list(self.checked),
            "shells": dict(self.shells),
            "ledger": self.standing.section(self.metrics),
            "page": str(self.page) if self.page is not None else None,
            "warnings": list(self.warnings),
            "left_over_ms": self.left_over_ms,
        }


def write_windows(folder: Path, rows: Sequence[WindowRow]) -> None:
    """Write one row per window as a Parquet file."""
    plain = []
    for row in rows:
        values = row._asdict()
        window, chosen = values.pop("window"), values.pop("chosen")
        plain.append({**window._asdict(), **{k: _cell(v) for k, v in chosen.items()}, **values})
    table = pa.Table.from_pylist(plain)

    def write(file: BinaryIO) -> None:
        pq.write_table(table, file, compression="zstd")

    write_whole(folder / TABLE, write)


def _cell(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
