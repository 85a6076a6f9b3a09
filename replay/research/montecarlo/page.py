"""The page of what could have been: fans and histograms of every kind, what each can tell, placebos as the null; and its tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from papertape.engine.jit import FloatArray
from papertape.replay.report.page import write_research
from papertape.replay.research.montecarlo.draws import TABLE, Kind, MonteCarlo
from papertape.replay.research.montecarlo.fans import LEVELS, Fan, Histogram, histogram
from papertape.replay.runtime.files import write_whole

PAGE: Final = "montecarlo.html"
FANS: Final = "montecarlo_fans.parquet"
HISTOGRAMS: Final = "montecarlo_histograms.parquet"
PLACEBO: Final = "placebo strategies"
_FIGURES: Final = ("total", "drawdown", "underwater")


def write_montecarlo(folder: Path, found: MonteCarlo) -> Path | None:
    """
    Write every path, what is drawn of them and the page into a folder, and return where the page is; None of nothing drawn.

    Raises DataError when it cannot be written.
    """
    if not found.kinds:
        return None
    ends = {kind.name: _ends(kind) for kind in found.kinds}
    nulls = _nulls(found)
    found.save(folder / TABLE)
    _save(folder / FANS, [row for kind in found.kinds for row in _fan_rows(kind)])
    named = [(name, figure, one) for name, own in ends.items() for figure, one in own.items()]
    named += [(PLACEBO, figure, one) for figure, one in nulls.items()]
    _save(folder / HISTOGRAMS, [row for one in named for row in _bin_rows(*one)])
    path = folder / PAGE
    write_research(path, "montecarlo", f"{found.title}: Monte Carlo", _parts(found, ends, nulls))
    return path


def placebo_sentence(found: MonteCarlo) -> str:
    """Return how the trades stand among placebos, in words; empty where there are none."""
    one = found.placebo
    if one is None:
        return ""
    return (
        f"by its mean trade over its spread this one is above {one.percentile:.1%} of {one.draws:,} with the "
        f"same {one.trades:,} trades, sizes, holding times and costs at random times (no skill does as well with probability "
        f"{one.probability:.1%}); they earned {one.low:+.1%} · {one.middle:+.1%} · {one.high:+.1%}, this one's trades "
        f"{one.own:+.1%} without funding; nothing of trades that it did not make"
    )


def _ends(kind: Kind) -> dict[str, Histogram]:
    """Return how the ends of all paths lie, by figure."""
    own = kind.own
    return {
        name: histogram(getattr(kind.paths, name), float(getattr(own, name)[0]) if own else None)
        for name in _FIGURES
    }


def _nulls(found: MonteCarlo) -> dict[str, Histogram]:
    """Return how placebos lie: by what decides, and by what they earned."""
    one, drawn = found.placebo, found.placebos
    if one is None or drawn is None:
        return {}
    return {"score": histogram(drawn.scores, one.score), "total": histogram(drawn.totals, one.own)}


def _fan_rows(kind: Kind) -> list[dict[str, Any]]:
    fan = kind.fan
    return [
        {
            "kind": kind.name,
            "unit": kind.unit,
            "after": int(place),
            **{f"q{level * 100:02.0f}": float(fan.bands[i, k]) for i, level in enumerate(LEVELS)},
            "own": float(fan.own[k]) if fan.own is not None else None,
        }
        for k, place in enumerate(fan.places)
    ]


def _bin_rows(kind: str, figure: str, one: Histogram) -> list[dict[str, Any]]:
    ends = zip(one.edges[:-1].tolist(), one.edges[1:].tolist(), one.counts.tolist(), strict=True)
    return [
        {"kind": kind, "figure": figure, "low": low, "high": high, "paths": count}
        for low, high, count in ends
    ]


def _save(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows)
    write_whole(path, lambda file: pq.write_table(table, file, compression="zstd"))


def _parts(
    found: MonteCarlo, ends: dict[str, dict[str, Histogram]], nulls: dict[str, Histogram]
) -> Iterator[tuple[str, Any]]:
    """Yield what the page draws."""
    told = found.to_json()
    missing = [f"{name}: not drawn, {reason}." for name, reason in found.missing.items()]
    yield (
        "head",
        {
            "title": f"{found.title}: what could have been",
            "about": [f"seed {found.options.seed}", f"digest {found.digest[:16]}"],
            "sentences": [*found.notes, *missing],
        },
    )
    yield "ruin", found.options.ruin
    yield "levels", list(LEVELS)
    rows = {row["kind"]: row for row in told["kinds"]}
    kinds = []
    for kind in found.kinds:
        own = kind.own
        kinds.append(
            {
                **rows[kind.name],
                "own": {n: float(getattr(own, n)[0]) for n in _FIGURES} if own else None,
                "fan": _plain_fan(kind.fan),
                "ends": {name: _plain_bins(one) for name, one in ends[kind.name].items()},
            }
        )
    yield "kinds", kinds
    if found.placebo is not None:
        bins = {name: _plain_bins(one) for name, one in nulls.items()}
        sentence = placebo_sentence(found)
        yield "placebo", {**found.placebo._asdict(), "ends": bins, "sentence": sentence}


def _plain_fan(fan: Fan) -> dict[str, Any]:
    return {
        "places": fan.places.tolist(),
        "bands": [_six(band) for band in fan.bands - 1.0],
        "paths": [_six(path) for path in fan.paths - 1.0],
        "own": _six(fan.own - 1.0) if fan.own is not None else None,
    }


def _plain_bins(one: Histogram) -> dict[str, Any]:
    return {"edges": one.edges.tolist(), "counts": one.counts.tolist()}


def _six(values: FloatArray) -> list[float]:
    rounded: list[float] = np.round(values, 6).tolist()
    return rounded
