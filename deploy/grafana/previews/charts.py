"""Panels with axes: time from left to right, values or the bounds of a histogram's buckets upwards."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

from previews import marks
from previews.places import Place
from previews.results import Results, Series, Span
from previews.units import size_of, told

_TOP, _BOTTOM = 8, 18  # for half a number, and for the hours
_GAP = 5  # between a number and its axis
_LEGEND_PX = 15  # a line of the legend
_LEGEND_LINES = 2
_NO_SERIES = -1
_TICKS = 4


class Looks(NamedTuple):
    """How a series is drawn: its colour's class, as points, dashed."""

    colour: str
    is_points: bool = False
    is_dashed: bool = False


def lines(panel: Mapping[str, Any], place: Place, results: Results, span: Span) -> Iterator[str]:
    """Yield a chart of lines and points over its legend."""
    series = [one for answers in results for one in answers]
    looks = looks_of(panel, series)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    values = [v for one in series for v in one.values if math.isfinite(v)]
    low, high, step = scale(min(values), max(values), unit)
    numbers = [low + n * step for n in range(round((high - low) / step) + 1)]
    left = _width(told(value, unit) for value in numbers)
    chart = place.inset(left, _TOP, 8, _BOTTOM + legend_height(place, series))
    yield from _time_axis(chart, span)
    for value in numbers:
        y = upwards(chart, value, low, high)
        yield marks.line([(chart.x, y), (chart.right, y)], "grid")
        yield marks.text(told(value, unit), chart.x - _GAP, y + 4, "soft end")
    for one, look in zip(series, looks, strict=True):
        yield from _drawn(one, look, chart, span, low, high)
    yield from _legend(place, series, looks)


def _width(words: Iterable[str]) -> float:
    """Return the room that an axis' numbers take."""
    return max(len(each) for each in words) * marks.CHARACTER_PX + 3 * _GAP


def scale(lowest: float, highest: float, unit: str = "locale") -> tuple[float, float, float]:
    """Return the lower end of an axis, its upper one, and the step between its numbers, round in what its unit is told in."""
    if lowest == highest:
        lowest, highest = min(lowest, 0.0), max(highest, 0.0) or 1.0
    of = size_of(max(abs(lowest), abs(highest)), unit)
    rough = (highest - lowest) / of / (1 if unit == "bool_yes_no" else _TICKS)
    size = 10.0 ** math.floor(math.log10(rough))
    step = of * next(size * n for n in (1.0, 2.0, 2.5, 5.0, 10.0) if size * n >= rough * (1.0 - 1e-9))
    return math.floor(lowest / step) * step, math.ceil(highest / step) * step, step


def upwards(chart: Place, value: float, low: float, high: float) -> float:
    """Return the height in pixels of a value."""
    return chart.bottom - (value - low) / (high - low) * chart.height


def along(chart: Place, time_s: float, span: Span) -> float:
    """Return how far to the right a time is, in pixels."""
    return chart.x + (time_s - span.start_s) / (span.end_s - span.start_s) * chart.width


def looks_of(panel: Mapping[str, Any], series: Sequence[Series]) -> list[Looks]:
    """Return how each series is drawn: the palette in order, unless the panel names a series."""
    named = {
        override["matcher"]["options"]: {p["id"]: p.get("value") for p in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    found = []
    for number, one in enumerate(series):
        own = named.get(one.legend, {})
        colour = own.get("color", {}).get("fixedColor") or f"c{number % marks.PALETTE}"
        is_points = own.get("custom.drawStyle") == "points"
        found.append(Looks(colour, is_points, "custom.lineStyle" in own))
    return found


def _drawn(one: Series, look: Looks, chart: Place, span: Span, low: float, high: float) -> Iterator[str]:
    """Yield a series; where it is absent or no number the line has a gap, and a point by itself is a dot."""
    for run in runs(one, span.step_s):
        points = [(along(chart, t, span), upwards(chart, v, low, high)) for t, v in run]
        if look.is_points or len(points) == 1:
            yield from (marks.dot(x, y, look.colour) for x, y in points)
        else:
            yield marks.line(points, f"{look.colour}{' dash' if look.is_dashed else ''}")


def runs(one: Series, step_s: float) -> Iterator[list[tuple[float, float]]]:
    """Yield the stretches of points that follow one another step by step and are numbers."""
    run: list[tuple[float, float]] = []
    for time_s, value in zip(one.times_s, one.values, strict=True):
        if run and (not math.isfinite(value) or time_s - run[-1][0] > 1.5 * step_s):
            yield run
            run = []
        if math.isfinite(value):
            run.append((time_s, value))
    if run:
        yield run


def _time_axis(chart: Place, span: Span) -> Iterator[str]:
    """Yield the hours below a chart, UTC."""
    yield marks.line([(chart.x, chart.bottom), (chart.right, chart.bottom)], "grid")
    n = max(int(chart.width // 90), 2)
    for number in range(1, n):
        time_s = span.start_s + (span.end_s - span.start_s) * number / n
        x, clock = along(chart, time_s, span), datetime.fromtimestamp(time_s, UTC)
        yield marks.line([(x, chart.y), (x, chart.bottom)], "grid")
        yield marks.text(f"{clock:%H:%M:%S}", x, chart.bottom + 13, "soft mid")


def legend_lines(place: Place, series: Sequence[Series]) -> list[list[tuple[int, str]]]:
    """
    Return the legend by line: the number of a series and its words.

    Those that reach highest come first, since what does not fit into the lines that there are is only counted.
    """
    most = int(place.width / marks.CHARACTER_PX)
    rows: list[list[tuple[int, str]]] = [[]]
    order = sorted(range(len(series)), key=lambda n: -_reach(series[n]))
    for place_in_order, number in enumerate(order):
        words = marks.cut(series[number].legend or "value", 30 * marks.CHARACTER_PX)
        left = most - sum(len(each) + 4 for _, each in rows[-1]) - 12  # for how many more there are
        if rows[-1] and len(words) + 4 > left:
            if len(rows) == _LEGEND_LINES:
                rows[-1].append((_NO_SERIES, f"… {len(series) - place_in_order} more"))
                break
            rows.append([])
        rows[-1].append((number, words))
    return rows


def _reach(one: Series) -> float:
    """Return the largest size of a series' values."""
    return max((abs(value) for value in one.values if math.isfinite(value)), default=0.0)


def legend_height(place: Place, series: Sequence[Series]) -> float:
    """Return how high a legend is, in pixels."""
    return _LEGEND_PX * len(legend_lines(place, series))


def _legend(place: Place, series: Sequence[Series], looks: Sequence[Looks]) -> Iterator[str]:
    rows = legend_lines(place, series)
    for n, row in enumerate(rows):
        x, y = place.x + 8, place.bottom - 5 - _LEGEND_PX * (len(rows) - 1 - n)
        for number, words in row:
            if number != _NO_SERIES:
                yield marks.box(x, y - 5, 9, 3, looks[number].colour)
            yield marks.text(words, x + 13, y, "soft")
            x += (len(words) + 4) * marks.CHARACTER_PX


def heat(panel: Mapping[str, Any], place: Place, results: Results, span: Span) -> Iterator[str]:
    """Yield a histogram over time: buckets upwards, a cell the stronger the more fell into it."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    by_bound = sorted((float(one.labels["le"]), one) for answers in results for one in answers)
    names = [f"≤ {told(le, unit)}" if math.isfinite(le) else "above" for le, _ in by_bound]
    chart = place.inset(_width(names), 4, 8, _BOTTOM + 4)
    cells = buckets(by_bound)
    most = max(cells.values(), default=0.0)
    yield from _time_axis(chart, span)
    height, width = (chart.height / len(by_bound), chart.width * span.step_s / (span.end_s - span.start_s))
    for (row, time_s), count in cells.items():
        if count > 0.0:
            x, y = along(chart, time_s, span), chart.bottom - (row + 1) * height
            left = max(x - width, chart.x)
            opacity = f' fill-opacity="{0.15 + 0.85 * count / most:.2f}"'
            yield marks.box(left, y, max(x - left, 1.0), height, "cell", opacity)
    for row in range(0, len(by_bound), math.ceil(12 / height)):
        middle = chart.bottom - (row + 0.5) * height
        yield marks.text(names[row], chart.x - _GAP, middle + 4, "soft end")


def buckets(by_bound: Sequence[tuple[float, Series]]) -> dict[tuple[int, float], float]:
    """Return how many fell into each bucket alone at each time: series count all up to their bound."""
    counts = [dict(zip(one.times_s, one.values, strict=True)) for _, one in by_bound]
    found = {(0, time_s): value for time_s, value in counts[0].items()} if counts else {}
    for row, (below, here) in enumerate(pairwise(counts), 1):
        found |= {(row, time_s): value - below.get(time_s, 0.0) for time_s, value in here.items()}
    return found
