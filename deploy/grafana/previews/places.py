"""Where each panel lies, in pixels: the grid of the dashboard with its rows open, a repeated panel once for each value."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

COLUMNS = 24
WIDTH = 1200
ROW_PX = 28  # of the grid's height
GAP_PX = 8
_COLUMN_PX = WIDTH / COLUMNS


class Place(NamedTuple):
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Return its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Return its lower edge."""
        return self.y + self.height

    def inset(self, left: float, top: float, right: float, bottom: float) -> "Place":
        """Return what is left of it inside some margins."""
        width, height = self.width - left - right, self.height - top - bottom
        return Place(self.x + left, self.y + top, width, height)


class Shown(NamedTuple):
    """A panel or the heading of a row at its place; variables: what it is repeated for."""

    panel: Mapping[str, Any]
    place: Place
    variables: Mapping[str, str]


def placed(
    panels: Sequence[Mapping[str, Any]], values: Mapping[str, Sequence[str]], top: float
) -> Iterator[Shown]:
    """
    Yield everything in order, below `top`.

    values  of each variable that panels are repeated for: copies share a row's width, `maxPerRow` at most, and what is below moves
    """
    added = 0  # rows of the grid that copies took
    for panel in panels:
        grid = panel["gridPos"]
        name = panel.get("repeat")
        if not name:
            yield Shown(panel, _place(grid["x"], grid["y"] + added, grid["w"], grid["h"], top), {})
            continue
        most = min(panel["maxPerRow"], max(len(values[name]), 1))
        for number, value in enumerate(values[name]):
            line, column = divmod(number, most)
            width, height = COLUMNS // most, grid["h"]
            y = grid["y"] + added + line * height
            yield Shown(panel, _place(column * width, y, width, height, top), {name: value})
        added += max(len(values[name]) - 1, 0) // most * grid["h"]


def _place(x: int, y: int, width: int, height: int, top: float) -> Place:
    """Return a place of the grid in pixels, with half a gap at every side."""
    whole = Place(x * _COLUMN_PX, top + y * ROW_PX, width * _COLUMN_PX, height * ROW_PX)
    return whole.inset(GAP_PX / 2, GAP_PX / 2, GAP_PX / 2, GAP_PX / 2)
