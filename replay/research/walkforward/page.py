"""The page of a walk-forward: its windows, what each chose and what came of it, ranks, the one account, and what was checked."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from papertape.engine.candles import DAY_MS
from papertape.engine.jit import Rows
from papertape.engine.performance.curve import CurveColumns, units_of
from papertape.replay.backtesting.figures import FIGURES
from papertape.replay.backtesting.result import Result
from papertape.replay.report.data import equity_curve
from papertape.replay.report.page import write_research
from papertape.replay.research.surface.cells import cells_of, label
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.walkforward.result import WalkResult, WindowRow

PAGE: Final = "report.html"
_SHOWN: Final = ("total_return", "sharpe", "max_drawdown", "trades", "profit_factor")
_SPANS: Final = ("train_ms", "seen_ms", "test_ms", "end_ms")


def write_walkforward(found: WalkResult, axes: Sequence[Axis], account: Result) -> Path:
    """Write the page of a walk-forward that is whole into its folder and return where it is; account: its replay."""
    path = found.folder / PAGE
    title = f"{account.summary['strategy']} walk-forward"
    write_research(path, "walkforward", title, _parts(found, axes, account))
    return path


def doubts_of(found: WalkResult) -> list[str]:
    """Return what speaks against a walk-forward, in words."""
    said = list(found.warnings)
    if found.left_over_ms:
        days, needed = (ms / DAY_MS for ms in (found.left_over_ms, found.plan.test_ms))
        said.append(
            f"the last {days:.1f} days of the candles are in no window, which would need {needed:g}: left out"
        )
    if found.longest_s * 1000.0 > found.plan.gap_ms:
        said.append("the longest position is longer than what no choice looks into; widen it with --purge")
    return said + found.standing.sentences(found.metrics)


def _parts(found: WalkResult, axes: Sequence[Axis], account: Result) -> Iterator[tuple[str, Any]]:
    """Yield what the page draws."""
    summary = account.summary
    labels = {name: (text, "number" if kind == "R" else kind) for text, name, kind in FIGURES}
    yield (
        "head",
        {
            "title": f"{summary['strategy']} on {', '.join(summary['symbols'])}: walk-forward",
            "about": [
                summary["timeframe"],
                f"{len(found.rows)} windows",
                f"{found.size:,} trials",
                f"by {labels.get(found.by, (found.by, ''))[0]}",
                f"the {found.choose} is chosen",
            ],
            "sentences": [f"{line[0].upper()}{line[1:]}" for line in doubts_of(found)],
        },
    )
    text, kind = labels.get(found.by, (found.by, "number"))
    yield "by", {"label": text, "kind": kind}
    yield "choose", found.choose
    yield "figures", [[*labels[name], found.metrics.get(name)] for name in _SHOWN]
    yield "places", {kind: found.mean_place(kind) for kind in ("chosen", "peak", "plateau")}
    yield "windows", [_window(row) for row in found.rows]
    yield "axes", [_axis(axis, [row.chosen for row in found.rows]) for axis in axes]
    yield "account", _account(account, found.rows[0].window.test_ms, found.rows[-1].window.end_ms)
    yield "checks", _checks(found)


def _window(row: WindowRow) -> dict[str, Any]:
    """Return a row with its times in seconds, and where plateau and peak stood: 0 the best, 1 the last."""
    values = row._asdict()
    spans = {name.removesuffix("_ms"): getattr(row.window, name) // 1000 for name in _SPANS}
    chosen = [label(value) for value in row.chosen.values()]
    places = {
        f"{kind}_place": None
        if values[f"{kind}_rank"] is None or row.ranked < 2
        else (values[f"{kind}_rank"] - 1) / (row.ranked - 1)
        for kind in ("chosen", "peak", "plateau")
    }
    return {**values, "window": row.window.number, **spans, "chosen": chosen, **places}


def _axis(axis: Axis, chosen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    cells = cells_of(axis, chosen)
    return {"name": cells.name, "labels": list(cells.labels), "places": cells.places.tolist()}


def _account(account: Result, start_ms: int, end_ms: int) -> dict[str, Any]:
    """Return equity and buy-and-hold from the first switch on, when its capital is what the account had there."""
    time_ms = np.ascontiguousarray(account.marks["time_ms"])
    first, last = np.searchsorted(time_ms, (start_ms, end_ms), "right").tolist()
    equity = np.ascontiguousarray(account.marks["equity"])
    units = units_of(account.marks)
    part = CurveColumns(units_per_quote=units, time_ms=time_ms[first:last], equity=equity[first:last])
    capital = int(equity[first - 1]) / units if first else account.summary["capital"]
    held: dict[str, Rows] = {
        symbol: rows[rows["open_ms"] >= start_ms] for symbol, rows in account.candles.items()
    }
    return {**equity_curve(part, held, float(capital)), "capital": float(capital)}


def _checks(found: WalkResult) -> list[str]:
    """Return what was made sure of in this run; what differs ends a walk-forward, so all of it held."""
    numbers = ", ".join(map(str, found.checked))
    later = ", ".join(str(number) for number in found.checked if number)
    hours = 3_600_000
    return [
        f"Windows {numbers}: chosen again from the trials in sample alone, the same parameters.",
        f"Windows {numbers}: the chosen trial replayed on a tape that ends where its training does, the same metrics and returns.",
        *(
            [
                f"Windows {later}: the account replayed on a tape that ends at the switch, the same decisions and fills up to there."
            ]
            if later
            else []
        ),
        f"No choice looks into the {found.plan.purge_ms / hours:g} h of purge and {found.plan.embargo_ms / hours:g} h of embargo "
        f"before its test; the longest position of the account was held {found.longest_s / 3_600:g} h.",
        f"The account is an ordinary replay with a schedule: its digest {found.digest[:16]} is that of {found.folder.name}/account.",
    ]
