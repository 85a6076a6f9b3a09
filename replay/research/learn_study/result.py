"""What came of a study: one row a cell, evidence over time, and what all of it says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from papertape.engine.performance.standing import Standing
from papertape.replay.config import Config
from papertape.replay.research.learn_study.cells import POLICY
from papertape.replay.research.learn_study.verdict import StudyVerdict, evidence_in, verdict_of
from papertape.replay.research.surface.cells import label
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.space import Space
from papertape.replay.research.sweep.trial import TrialRow, TrialRunner
from papertape.replay.runtime.files import write_whole
from papertape.replay.tapes.timestamps import utc_text

if TYPE_CHECKING:
    import pandas as pd

TABLE: Final = "cells.parquet"
EVIDENCE: Final = "evidence.parquet"
_METRICS: Final = ("total_return", "buy_and_hold_return", "sharpe", "max_drawdown", "trades")
_SCORED: Final = {"challenger": "", "majority": "base_rate_", "logistic": "logistic_"}


@dataclass(slots=True, kw_only=True)
class StudyFound:
    """
    What a study found.

    rows       finished cells by number; size: that were asked for; counts: of those that ended, by outcome
    tapes      what each account trades, in words, by the names of its tapes
    reasons    the first reason of each outcome but done
    verdict    what the evidence of all says together; standing: of the accounts among all trials on record for their tapes
    data_doubts  of the candles and series of the tapes
    """

    folder: Path
    axes: Sequence[Axis]
    rows: Sequence[TrialRow]
    size: int
    tapes: Mapping[tuple[str, ...], str]
    verdict: StudyVerdict
    standing: Standing
    data_doubts: Sequence[str] = ()
    page: Path | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Return how many cells ended how."""
        ended = [row.outcome for row in self.rows]
        return {name: ended.count(name) for name in sorted(set(ended))}

    @property
    def reasons(self) -> dict[str, str]:
        """Return the first reason of each outcome but done."""
        return {row.outcome: row.reason for row in reversed(self.rows) if row.outcome != "done"}

    @property
    def left(self) -> int:
        """Return how many cells are not finished."""
        return self.size - len(self.rows)

    @property
    def first(self) -> TrialRow | None:
        """Return the cell whose account earned most, None where there is none."""
        done = [row for row in self.rows if row.metrics.get("total_return") is not None]
        return max(done, key=lambda row: (row.metrics["total_return"], -row.number), default=None)

    @property
    def doubts(self) -> list[str]:
        """Return what a reader must know, as sentences."""
        said = [*self.data_doubts, *self.verdict.sentences()]
        if self.left:
            said.append(f"{self.left:,} of {self.size:,} cells are not finished.")
        if self.first is not None:
            said.append(
                f"The account that earned most is {self.name_of(self.first)}, the best of {len(self.rows):,}."
            )
            said += self.standing.sentences(self.first.metrics)
        return said

    @property
    def table(self) -> "pd.DataFrame":
        """Return one row per finished cell."""
        import pandas as pd

        return pd.read_parquet(self.folder / TABLE)

    @property
    def evidence(self) -> "pd.DataFrame":
        """Return the evidence of every recipe on every tape, block by block."""
        import pandas as pd

        return pd.read_parquet(self.folder / EVIDENCE)

    def name_of(self, row: TrialRow) -> str:
        """Return what a cell is called."""
        return f"{recipe_of(row, self.axes)} on {self.tape_of(row)}, {row.changes[POLICY]}"

    def tape_of(self, row: TrialRow) -> str:
        """Return the tape of a cell in words."""
        return self.tapes[tuple(row.changes["data.tapes"])]

    def to_json(self) -> dict[str, Any]:
        """Return the study as plain values."""
        return {
            "folder": str(self.folder),
            "page": str(self.page) if self.page is not None else None,
            "axes": [axis.to_json() for axis in self.axes],
            "cells": self.size,
            "left": self.left,
            "counts": self.counts,
            "reasons": self.reasons,
            "data_doubts": list(self.data_doubts),
            "verdict": self.verdict.to_json(),
            "ledger": self.standing.section(self.first.metrics if self.first else {}),
            "rows": [
                {"recipe": recipe_of(row, self.axes), "tape": self.tape_of(row), **flat(row)}
                for row in self.rows
            ],
        }


def study_of(
    config: Config,
    folder: Path,
    space: Space,
    rows: Sequence[TrialRow],
    runner: TrialRunner,
    standing: Standing,
) -> StudyFound:
    """Return what finished cells say."""
    names = [tuple(value) for axis in space.axes if axis.key == "data.tapes" for value in axis.values]
    told = {one: _in_words(config, one, runner) for one in names}
    found = StudyFound(
        folder=folder,
        axes=space.axes,
        rows=rows,
        size=space.size,
        tapes=_apart(told),
        verdict=verdict_of([], config.learning.gate_alpha),
        standing=standing,
    )
    found.data_doubts = _of_tapes(found, runner)
    cells = [evidence_in(_pair(found, row), row.lesson) for row in firsts(rows)]
    judged = [cell for cell in cells if cell is not None]
    found.verdict = verdict_of(judged, config.learning.gate_alpha)
    return found


def _of_tapes(found: StudyFound, runner: TrialRunner) -> list[str]:
    """Return what a reader must know of the candles of each tape that a cell was done on; what is said of all stands once."""
    done = {found.tape_of(row): row for row in reversed(found.rows) if row.outcome == "done"}
    said = {name: runner.data_doubts(done[name]) for name in found.tapes.values() if name in done}
    of_all = [line for line in next(iter(said.values()), ()) if all(line in lines for lines in said.values())]
    own = [f"{name}: {line}" for name, lines in said.items() for line in lines if line not in of_all]
    return [*of_all, *own]


def firsts(rows: Sequence[TrialRow]) -> Iterator[TrialRow]:
    """Yield of cells that differ in their policy alone the first that is finished: the others have the same models."""
    seen = set()
    for row in rows:
        key = repr({key: value for key, value in row.changes.items() if key != POLICY})
        if row.outcome == "done" and key not in seen:
            seen.add(key)
            yield row


def recipe_of(row: TrialRow, axes: Sequence[Axis]) -> str:
    """Return what a cell's recipe is called: what it changes, in the order of the axes."""
    return " ".join(label(row.changes[axis.key]) for axis in axes if axis.key not in ("data.tapes", POLICY))


def write_tables(found: StudyFound) -> None:
    """Write cells and evidence into the folder."""
    _save(found.folder / TABLE, [flat(row) for row in found.rows])
    points = [
        {"number": row.number, "time_ms": ms, "evidence": float(capital), "passed": passed}
        for row in firsts(found.rows)
        for ms, capital, passed in row.lesson.get("points", ())
    ]
    _save(found.folder / EVIDENCE, points)


def flat(row: TrialRow) -> dict[str, Any]:
    """Return a cell as one row of a table."""
    lesson = row.lesson
    ended, gain = lesson.get("outcomes", {}), lesson.get("gain") or (None, None, None)
    scores, bare, paper = lesson.get("scores", {}), lesson.get("bare", {}), lesson.get("paper")
    scored = {
        f"{prefix}{measure}": scores.get(name, {}).get(measure)
        for name, prefix in _SCORED.items()
        for measure in ("log_loss", "accuracy", "auc")
    }
    return {
        "number": row.number,
        **{key: label(value) for key, value in row.changes.items()},
        "outcome": row.outcome,
        "reason": row.reason or lesson.get("reason", ""),
        **{key: label(value) for key, value in lesson.get("fitted", {}).items()},
        "models": lesson.get("models", 0),
        "promoted": ended.get("promoted", 0),
        "demoted": ended.get("demoted", 0),
        "passed": lesson.get("passed", False),
        "evidence": lesson.get("evidence"),
        "boundary": lesson.get("boundary"),
        "rows": scores.get("challenger", {}).get("rows"),
        "gain": gain[0],
        "gain_lower": gain[1],
        "gain_upper": gain[2],
        **scored,
        "paper_trades": paper[0] if paper else None,
        "paper_return": paper[1] if paper else None,
        **{name: row.metrics.get(name) for name in _METRICS},
        "bare_return": bare.get("total_return"),
        "bare_trades": bare.get("trades"),
        "configuration": row.configuration,
        "digest": row.digest,
        "wall_s": row.wall_s,
    }


def _save(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: [row.get(name) for row in rows] for name in columns})
    write_whole(path, lambda file: pq.write_table(table, file, compression="zstd"))


def _pair(found: StudyFound, row: TrialRow) -> str:
    return f"{recipe_of(row, found.axes)} on {found.tape_of(row)}"


def _in_words(config: Config, names: tuple[str, ...], runner: TrialRunner) -> str:
    """Return a tape as a reader knows it: symbol, where and how it was recorded, and from when."""
    held = runner.tapes_of(config.changed(data={"tapes": names}))
    first = held[0]
    since = utc_text(int(first.candles["open_ms"][0]))[:10]
    return f"{' '.join(tape.symbol for tape in held)} ({first.venue} {first.timeframe} from {since})"


def _apart(told: Mapping[tuple[str, ...], str]) -> dict[tuple[str, ...], str]:
    """Return words that tell all tapes apart: those that do not have their names behind them."""
    words = list(told.values())
    return {
        names: text if words.count(text) == 1 else f"{text} {', '.join(names)}"
        for names, text in told.items()
    }
