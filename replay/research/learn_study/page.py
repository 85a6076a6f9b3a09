"""The page of a study: doubts first, recipe by tape, gains with their intervals, evidence over time with its boundary, accounts."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from papertape.replay.report.page import write_research
from papertape.replay.research.learn_study.cells import POLICY
from papertape.replay.research.learn_study.result import StudyFound, firsts, flat, recipe_of
from papertape.replay.research.sweep.trial import TrialRow
from papertape.replay.tapes.quality import counted

PAGE: Final = "report.html"
_MOST_POINTS: Final = 200  # of one curve: more cannot be told apart
_SHOWN: Final = (
    "models",
    "passed",
    "evidence",
    "rows",
    "gain",
    "gain_lower",
    "gain_upper",
    "log_loss",
    "base_rate_log_loss",
    "bare_return",
    "buy_and_hold_return",
    "reason",
)


def write_study(found: StudyFound) -> Path | None:
    """Write the page of a study into its folder and return where it is; None where no cell is finished."""
    if not found.rows:
        return None
    path = found.folder / PAGE
    write_research(path, "learnstudy", "recipes compared", _parts(found))
    return path


def _parts(found: StudyFound) -> Iterator[tuple[str, Any]]:
    """Yield what the page draws."""
    recipes = list(dict.fromkeys(recipe_of(row, found.axes) for row in found.rows))
    tapes = list(dict.fromkeys(found.tape_of(row) for row in found.rows))
    policies = list(dict.fromkeys(str(row.changes[POLICY]) for row in found.rows))
    verdict = found.verdict
    counts = ", ".join(f"{count:,} {name}" for name, count in found.counts.items())
    yield (
        "head",
        {
            "title": "Recipes compared",
            "about": [
                f"{counted(len(recipes), 'recipe')} on {counted(len(tapes), 'tape')}",
                f"policy {', '.join(policies)}",
                f"{counted(found.size, 'cell')}: {counts}",
            ],
            "sentences": found.doubts,
        },
    )
    plain = verdict.to_json()
    yield (
        "verdict",
        {
            name: plain[name]
            for name in ("alpha", "tried", "passed", "by_luck", "needed", "better", "worse", "measured")
        },
    )
    yield "standing", list(verdict.standing)
    yield "recipes", recipes
    yield "tapes", tapes
    yield "policies", policies
    first = {row.number for row in firsts(found.rows)}
    yield "cells", [_cell(found, row, has_points=row.number in first) for row in found.rows]


def _cell(found: StudyFound, row: TrialRow, *, has_points: bool) -> dict[str, Any]:
    values = flat(row)
    return {
        "recipe": recipe_of(row, found.axes),
        "tape": found.tape_of(row),
        "policy": row.changes[POLICY],
        "ended": row.outcome,
        "promoted": values["promoted"],
        "returned": values["total_return"],
        **{name: values[name] for name in _SHOWN},
        "points": _thinned(row.lesson.get("points", ())) if has_points else [],
    }


def _thinned(points: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return a curve of so many points at most: of each stretch the one with the most evidence, and the newest."""
    if len(points) <= _MOST_POINTS:
        return [list(point) for point in points]
    step = -(-len(points) // (_MOST_POINTS - 1))
    kept = [max(points[i : i + step], key=lambda point: point[1]) for i in range(0, len(points), step)]
    return [list(point) for point in (*kept, points[-1])]
