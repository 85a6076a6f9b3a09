"""Panels without axes: the newest figure of each series, as words, bars or a table."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from previews import marks
from previews.places import Place
from previews.results import Results, Series
from previews.units import told

NO_DATA = "No data"
_BAR_PX, _LEAST_BAR_PX = 20, 10  # with the gap below it
_LINE_PX = 20  # of a table


def colour_of(panel: Mapping[str, Any], value: float) -> str:
    """Return the colour of the highest threshold that a value has reached."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [s["color"] for s in steps if s["value"] is None or value >= s["value"]]
    return str(reached[-1])


def shown(panel: Mapping[str, Any], value: float, decimals: int | None = None) -> str:
    """Return a value in a panel's unit and with its decimals."""
    defaults = panel["fieldConfig"]["defaults"]
    return told(value, defaults["unit"], defaults.get("decimals") if decimals is None else decimals)


def _numbers(results: Results) -> list[Series]:
    return [one for answers in results for one in answers if math.isfinite(one.last)]


def stat(panel: Mapping[str, Any], place: Place, results: Results) -> Iterator[str]:
    """Yield the newest figure, in the colour of its threshold; of several series each below its name."""
    found = _numbers(results)
    height = place.height / len(found)
    for n, one in enumerate(found):
        words, middle = shown(panel, one.last), place.x + place.width / 2
        y = place.y + height * n + height / 2
        if len(found) > 1:
            words = f"{one.legend}  {words}"
        font = "big" if len(words) * 14 < place.width and height > 30 else "middle"
        kind = f"{font} mid {colour_of(panel, one.last)}"
        yield marks.text(marks.cut(words, place.width - 8, 9.0), middle, y + 6, kind)


def bars(panel: Mapping[str, Any], place: Place, results: Results) -> Iterator[str]:
    """Yield a bar from zero for each series, with its name and figure, closer where there are many; what finds no room is counted."""
    inner, found = place.inset(8, 2, 8, 6), _numbers(results)
    room = int(inner.height // _LEAST_BAR_PX)
    kept = found if len(found) <= room else found[: room - 2]
    pitch = max(min(inner.height / len(found), _BAR_PX), _LEAST_BAR_PX)
    font = " tiny" if pitch < 14 else ""
    names = inner.width * 0.36
    ends = [min(0.0, *(one.last for one in found)), max(0.0, *(one.last for one in found))]
    span = (ends[1] - ends[0]) or 1.0
    figures = max(len(shown(panel, one.last)) for one in kept) * marks.CHARACTER_PX + 10
    track = inner.inset(names, 0, figures, 0)
    for n, one in enumerate(kept):
        y = inner.y + n * pitch
        start = track.x - ends[0] / span * track.width
        width = abs(one.last) / span * track.width
        colour = colour_of(panel, one.last)
        yield marks.text(marks.cut(one.legend, names - 6), track.x - 6, y + pitch / 2 + 3, f"end{font}")
        yield marks.box(min(start, start + math.copysign(width, one.last)), y, width, pitch - 2, colour)
        yield marks.text(shown(panel, one.last), inner.right, y + pitch / 2 + 3, f"end{font} {colour}")
    if len(kept) < len(found):
        yield marks.text(f"… {len(found) - len(kept)} more", inner.x, inner.bottom - 4, "soft")


def table(panel: Mapping[str, Any], place: Place, results: Results) -> Iterator[str]:
    """Yield a line for each symbol, with a column for each query under the heading that the panel gives it."""
    headings, rows = rows_of(panel, results)
    inner = place.inset(10, 0, 10, 4)
    width = inner.width / len(headings)
    for line, cells in enumerate([headings, *rows]):
        for column, words in enumerate(cells):
            y = inner.y + 14 + line * _LINE_PX
            yield marks.text(words, inner.x + column * width, y, "" if line else "soft")
    below = inner.y + _LINE_PX
    yield marks.line([(inner.x, below), (inner.right, below)], "grid")
    if not rows:
        yield marks.text(NO_DATA, place.x + place.width / 2, place.y + place.height / 2, "soft mid")


def rows_of(panel: Mapping[str, Any], results: Results) -> tuple[list[str], list[list[str]]]:
    """Return a table's headings and lines: answers merged by symbol, of those that have a first value."""
    organised = next(t["options"] for t in panel["transformations"] if t["id"] == "organize")
    renamed: dict[str, str] = organised["renameByName"]
    decimals = {
        override["matcher"]["options"]: override["properties"][0]["value"]
        for override in panel["fieldConfig"]["overrides"]
    }
    by_symbol = [{one.labels["symbol"]: one.last for one in answers} for answers in results]
    titles = [title for name, title in renamed.items() if name != "symbol"]
    assert len(titles) == len(by_symbol)
    rows = []
    for symbol in by_symbol[0]:
        values = [answers.get(symbol, math.nan) for answers in by_symbol]
        rows.append([symbol, *_cells(panel, values, [decimals.get(title) for title in titles])])
    return [renamed["symbol"], *titles], rows


def _cells(panel: Mapping[str, Any], values: Sequence[float], decimals: Sequence[int | None]) -> list[str]:
    """Return a line's values in words; what is absent stays empty."""
    return [
        shown(panel, value, places) if math.isfinite(value) else ""
        for value, places in zip(values, decimals, strict=True)
    ]
