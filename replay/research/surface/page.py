"""One offline page of a search: its surface, what stands out, and the sentences that belong to its best."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.replay.backtesting.figures import figure
from papertape.replay.config import Config
from papertape.replay.report.page import write_research
from papertape.replay.research.surface.cells import cells_of, label, pairs_of, slices_of
from papertape.replay.research.surface.findings import Findings, find
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.space import LIMIT, Space
from papertape.replay.research.sweep.trial import TrialRow

PAGE: Final = "report.html"
_SHOWN: Final = ("sharpe", "total_return", "max_drawdown", "trades", "profit_factor")
_MOST_DOTS: Final = 2_000


class Layer(NamedTuple):
    """One thing that is drawn over the axes; sign: 1 where more of it is better."""

    name: str
    sign: int
    value: Callable[[Mapping[str, float | None]], float | None]

    @classmethod
    def of_metric(cls, name: str, sign: int) -> "Layer":
        """Return a metric as what is drawn."""
        return cls(name, sign, lambda metrics: metrics.get(name))


class SurfaceSearch(NamedTuple):
    """
    A search as its page needs it.

    space     None where trials were proposed; goals: the first decides what stands out
    best      numbers of its best trials, the best first; able: numbers of those that may be the best, None: all
    sentences  what a reader must know of the best
    """

    kind: str
    config: Config
    symbols: Sequence[str]
    axes: Sequence[Axis]
    space: Space | None
    goals: Sequence[Layer]
    best: Sequence[int]
    able: frozenset[int] | None
    sentences: Sequence[str]


def write_surface(folder: Path, search: SurfaceSearch, rows: Iterable[TrialRow]) -> Path | None:
    """Write the page of a search into its folder and return where it is; None where no trial has a value, or too many are."""
    layers = [*search.goals]
    names = [goal.name for goal in layers]
    layers += [Layer.of_metric(name, 1) for name in _SHOWN if name not in names]
    numbers: list[int] = []
    changes: list[Mapping[str, Any]] = []
    values: list[list[float]] = []
    for row in rows:
        if row.outcome == "repeated":
            continue
        if len(numbers) >= LIMIT:
            return None
        numbers.append(row.number)
        changes.append(row.changes)
        # Only whole replays are drawn: one that was given up has nothing to compare.
        is_whole = row.outcome == "done"
        values.append([_number(layer.value(row.metrics) if is_whole else None) for layer in layers])
    order = np.argsort(np.array(numbers, np.int64))
    numbers = [numbers[place] for place in order]
    changes = [changes[place] for place in order]
    columns = np.array(values, np.float64).reshape(len(numbers), len(layers))[order].T
    able = columns[0].copy() * layers[0].sign if len(columns) else np.empty(0)
    if search.able is not None:
        able[[number not in search.able for number in numbers]] = np.nan
    whole = search.space if search.space is not None and len(able) == search.space.size else None
    found = find(search.axes, changes, able, whole) if len(able) else None
    if found is None:
        return None
    path = folder / PAGE
    title = f"{search.config.strategy.name} {search.kind}"
    write_research(path, "surface", title, _parts(search, layers, numbers, changes, columns, found))
    return path


def _parts(
    search: SurfaceSearch,
    layers: Sequence[Layer],
    numbers: Sequence[int],
    changes: Sequence[Mapping[str, Any]],
    columns: FloatArray,
    found: Findings,
) -> Iterator[tuple[str, Any]]:
    """Yield what the page draws."""
    config = search.config
    cells = [cells_of(axis, changes) for axis in search.axes]
    first = search.goals[0].name
    frames = [config.data.timeframe] if config.data.timeframe else []
    yield (
        "head",
        {
            "title": f"{config.strategy.name} on {', '.join(search.symbols)}: {search.kind}",
            "about": [*frames, f"{len(numbers):,} trials", f"by {figure(first)[0]}"],
            "sentences": [*found.sentences(), *search.sentences],
        },
    )
    yield "axes", [{"name": own.name, "labels": own.labels} for own in cells]
    drawn = []
    for layer, column in zip(layers, columns, strict=True):
        signed = column * layer.sign
        one = {"pairs": pairs_of(cells, signed), "slices": slices_of(cells, signed, changes, found.peak)}
        title, kind = figure(layer.name)
        drawn.append({"name": layer.name, "label": title, "kind": kind, "sign": layer.sign, **one})
    yield "layers", drawn

    def told(place: int | None) -> dict[str, Any] | None:
        if place is None:
            return None
        return {
            "number": numbers[place],
            "changes": [label(changes[place][axis.key]) for axis in search.axes],
            "places": [int(own.places[place]) for own in cells],
            "values": [_or_none(value) for value in columns[:, place]],
        }

    yield "peak", told(found.peak)
    yield "plateau", told(found.plateau)
    yield "neighbours", [found.keep, found.of]
    where = {number: place for place, number in enumerate(numbers)}
    yield "best", [told(where[number]) for number in search.best if number in where]
    if search.space is None:
        step = max(1, -(-len(numbers) // _MOST_DOTS))
        dots = [[_or_none(v) for v in column[::step]] for column in columns[: len(search.goals)]]
        yield "order", {"numbers": list(numbers[::step]), "goals": dots}


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _or_none(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
