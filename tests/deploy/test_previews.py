"""Pictures of the dashboards: what was answered is where the picture's own axes say it is, and what was not is no data."""

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.previews import GRAFANA, charts, page, places, results, units

DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
Series, Span = results.Series, results.Span
SPAN = Span(1_000.0, 1_060.0, 5.0)
NAN = math.nan
NO_DATA = page.NO_DATA


def series(values: Sequence[float], legend: str = "one", **labels: str) -> Series:
    """Return a series with a value at every second of the span."""
    return Series(legend, labels, tuple(SPAN.start_s + n for n in range(len(values))), tuple(values))


def panel(kind: str, unit: str = "locale", steps: Any = ((None, "green"),), **more: Any) -> dict[str, Any]:
    """Return a panel as a dashboard has it."""
    thresholds = {"steps": [{"value": value, "color": colour} for value, colour in steps]}
    defaults = {"unit": unit, "thresholds": thresholds, **more}
    return {
        "id": 7,
        "type": kind,
        "title": "It",
        "gridPos": {"x": 0, "y": 0, "w": 12, "h": 8},
        "targets": [],
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def drawn(one: Mapping[str, Any], *answers: Sequence[Series]) -> ElementTree.Element:
    """Return a panel's part of a dashboard that has it alone, without names of XML."""
    board = {"title": "Board", "panels": [one]}
    text = page.picture(board, lambda _: tuple(tuple(each) for each in answers), SPAN, ["X"], "A run.")
    root = ElementTree.fromstring(re.sub(r' xmlns="[^"]+"', "", text))  # noqa: S314 # drawn here
    return next(group for group in root.iter("g") if group.get("id") == "panel-7")


def words(part: ElementTree.Element) -> list[str]:
    """Return what can be read in a panel, its title left out."""
    return [each.text or "" for each in part.iter("text")][1:]


def points(part: ElementTree.Element, colour: str) -> list[list[tuple[float, float]]]:
    """Return the points of each line of a colour."""
    ways = [way.get("d", "") for way in part.iter("path") if way.get("class", "").split()[0] == colour]
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", way)] for way in ways]


def test_a_line_is_where_the_numbers_of_its_axis_say() -> None:
    values = [0.0, 3.0, 10.0, 10.0, 10.0, 2.5]
    part = drawn(panel("timeseries"), [series(values)])
    axis = {
        float(text.text or ""): float(text.get("y", "")) - 4.0
        for text in part.iter("text")
        if text.get("class") == "soft end"
    }
    (line,) = points(part, "c0")
    a_px, b_px = axis[0.0], axis[10.0]

    assert b_px < a_px  # what is more is higher
    read = [(y - a_px) / (b_px - a_px) * 10.0 for _, y in line]
    assert read == pytest.approx(
        [0.0, 3.0, 10.0, 10.0, 2.5], abs=0.1
    )  # the middle of a level stretch says nothing
    steps = [x - line[0][0] for x, _ in line]
    assert steps == pytest.approx([n * steps[1] for n in (0, 1, 2, 4, 5)], abs=2.0)
    assert words(part)[-1] == "one"


def test_where_there_is_no_number_a_line_has_a_gap_and_a_lonely_point_is_a_dot() -> None:
    late = Series("late", {}, (1_010.0, 1_011.0, 1_030.0), (1.0, 2.0, 3.0))
    part = drawn(panel("timeseries"), [series([1.0, 2.0, NAN, 4.0, 5.0, math.inf, 7.0]), late])

    assert [len(line) for line in points(part, "c0")] == [2, 2]
    assert [len(line) for line in points(part, "c1")] == [2]
    assert [dot.get("class") for dot in part.iter("circle")] == ["c0", "c1"]


@pytest.mark.parametrize("kind", ["stat", "bargauge", "table", "timeseries", "heatmap"])
@pytest.mark.parametrize("answers", [[], [[]], [[series([NAN, NAN], le="1", symbol="X")], []]])
def test_a_panel_without_a_number_says_so_and_shows_nothing_else(
    kind: str, answers: list[list[Series]]
) -> None:
    part = drawn(panel(kind), *answers)

    assert words(part) == [NO_DATA]
    assert len(list(part)) == 3  # the box, the title, the words


def test_a_figure_has_its_unit_its_decimals_and_the_colour_of_its_threshold() -> None:
    steps = ((None, "red"), (0, "green"), (0.5, "orange"))
    for value, told_value, colour in (
        (-0.125, "-12.5 %", "red"),
        (0.0, "0.0 %", "green"),
        (0.5, "50.0 %", "orange"),
    ):
        part = drawn(panel("stat", "percentunit", steps, decimals=1), [series([9.0, value, NAN])])
        (figure,) = list(part.iter("text"))[1:]
        assert figure.text == told_value
        assert (figure.get("class") or "").split()[-1] == colour


def test_bars_are_as_long_as_their_figures_from_one_zero() -> None:
    values = {"a": 4.0, "b": -2.0, "c": 0.0}
    part = drawn(panel("bargauge"), [series([value], name) for name, value in values.items()])
    bars = [
        (float(bar.get("x", "")), float(bar.get("width", "")))
        for bar in part.iter("rect")
        if bar.get("class") == "green"
    ]

    assert words(part) == ["a", "4", "b", "-2", "c", "0"]
    assert bars[0][1] == pytest.approx(2.0 * bars[1][1], abs=0.2)
    assert bars[1][0] + bars[1][1] == pytest.approx(bars[0][0], abs=0.2)
    assert bars[2] == (bars[0][0], 0.0)


def test_more_bars_than_find_room_are_counted() -> None:
    part = drawn(panel("bargauge"), [series([1.0], f"bar {n}") for n in range(40)])

    named = [each for each in words(part) if each.startswith("bar ")]
    assert words(part)[-1] == f"… {40 - len(named)} more"


def test_a_cell_counts_what_fell_into_its_bucket_alone() -> None:
    bounds = [(0.1, [2.0, 0.0]), (0.5, [5.0, 0.0]), (math.inf, [5.0, 3.0])]
    found = charts.buckets([(le, series(counts)) for le, counts in bounds])
    assert found == {
        (0, 1_000.0): 2.0,
        (0, 1_001.0): 0.0,
        (1, 1_000.0): 3.0,
        (1, 1_001.0): 0.0,
        (2, 1_000.0): 0.0,
        (2, 1_001.0): 3.0,
    }

    part = drawn(panel("heatmap", "s"), [series(counts, le=str(le)) for le, counts in bounds])
    cells = [float(cell.get("fill-opacity", "")) for cell in part.iter("rect") if cell.get("class") == "cell"]
    assert cells == [round(0.15 + 0.85 * 2 / 3, 2), 1.0, 1.0]
    assert words(part)[-3:] == ["≤ 100 ms", "≤ 500 ms", "above"]


def test_a_table_has_a_line_for_each_symbol_that_is_held() -> None:
    board = json.loads((GRAFANA / "dashboards/papertape-pnl.json").read_text(encoding="utf-8"))
    positions = next(each for each in board["panels"] if each["title"] == "Positions") | {"id": 7}
    sizes = [series([2.0], symbol="A"), series([-0.5], symbol="B")]
    prices = [series([price], symbol=name) for name, price in (("A", 10.0), ("B", 1234.5), ("C", 7.0))]

    part = drawn(positions, sizes, [], prices, [], [], [series([617.25], symbol="B")], [])

    assert words(part) == [
        "Symbol", "Size", "Entry", "Price", "Stop", "Target", "Notional", "Open PnL",
        "A", "2", "", "10", "", "", "", "", "B", "-0.5", "", "1,234", "", "", "617.25", "",
    ]  # fmt: skip

    assert words(drawn(positions, [], [], prices, [], [], [], []))[-1] == NO_DATA


def test_a_legend_names_those_first_that_reach_highest_and_counts_the_rest() -> None:
    part = drawn(panel("timeseries"), [series([float(n)], f"series number {n}") for n in range(60)])
    legend = [each for each in words(part) if each.startswith("series")]

    assert legend == [f"series number {n}" for n in range(59, 59 - len(legend), -1)]
    assert words(part)[-1] == f"… {60 - len(legend)} more"
    swatches = [box.get("class") for box in part.iter("rect") if box.get("height") == "3.0"]
    assert swatches[:3] == ["c9", "c8", "c7"]  # the colours of their lines


def test_numbers_are_told_in_their_units() -> None:
    for value, unit, decimals, expected in (
        (1234.5, "locale", 2, "1,234.50"),
        (0.0123456, "locale", None, "0.0123"),
        (-0.001, "locale", 2, "0.00"),
        (0.0, "s", None, "0 s"),
        (0.00025, "s", None, "250 µs"),
        (90.0, "s", None, "1.5 min"),
        (-172_800.0, "s", None, "-2 d"),
        (3 * 2.0**20, "bytes", None, "3 MiB"),
        (1.0, "bool_yes_no", None, "Yes"),
        (0.0, "bool_yes_no", None, "No"),
        (2.0, "suffix: of 4", 0, "2 of 4"),
        (0.25, "reqps", None, "0.25 req/s"),
        (NAN, "locale", None, "no data"),
    ):
        assert units.told(value, unit, decimals) == expected
    with pytest.raises(ValueError, match="'furlongs' is not known"):
        units.told(1.0, "furlongs")


def test_an_axis_has_round_numbers_in_what_it_is_told_in() -> None:
    assert charts.scale(0.0, 100.0) == (0.0, 100.0, 25.0)
    assert charts.scale(-3.0, 7.0) == (-5.0, 7.5, 2.5)
    assert charts.scale(5.0, 5.0) == (0.0, 6.0, 2.0)
    assert charts.scale(0.0, 240.0, "s") == (0.0, 240.0, 60.0)
    assert charts.scale(0.0, 4.0 * 2**20, "bytes") == (0.0, 4.0 * 2**20, 2.0**20)
    assert charts.scale(0.0, 1.0, "bool_yes_no") == (0.0, 1.0, 1.0)


def test_a_repeated_panel_comes_once_for_each_value_and_what_is_below_moves() -> None:
    repeated = {"gridPos": {"x": 0, "y": 0, "w": 12, "h": 8}, "repeat": "symbol", "maxPerRow": 2}
    below = {"gridPos": {"x": 0, "y": 8, "w": 24, "h": 4}}

    def found(*symbols: str) -> list[tuple[float, float, float]]:
        shown = places.placed([repeated, below], {"symbol": symbols}, 0.0)
        return [(s.place.x - 4.0, s.place.y - 4.0, s.place.width + 8.0) for s in shown]

    assert found("A") == [(0.0, 0.0, places.WIDTH), (0.0, 224.0, places.WIDTH)]
    assert found("A", "B") == [
        (0.0, 0.0, places.WIDTH / 2),
        (places.WIDTH / 2, 0.0, places.WIDTH / 2),
        (0.0, 224.0, places.WIDTH),
    ]
    assert found("A", "B", "C")[2:] == [(0.0, 224.0, places.WIDTH / 2), (0.0, 448.0, places.WIDTH)]


def test_queries_are_asked_as_grafana_asks_them() -> None:
    span = Span(0.0, 1_000.0, 5.0)  # fifty points: one every twenty seconds
    text = 'a{job=~"$job",symbol=~"$symbol"}[$__rate_interval] b[$__interval] c[$__range]'
    assert results.ready(text, span, {"symbol": "X"}) == 'a{job=~".+",symbol=~"X"}[25s] b[20s] c[1000s]'

    asked = []

    def ask(path: str, **query: Any) -> Any:
        asked.append((path, query))
        value = {"values": [[0.0, "1"], [20.0, "NaN"]]} if path == "query_range" else {"value": [9.0, "2.5"]}
        return {"result": [{"metric": {"side": "buy"}, **value}]}

    target = {"expr": "up", "legendFormat": "{{side}} {{gone}}", "instant": False}
    found: results.Results = results.results_of({"targets": [target, target | {"instant": True}]}, ask, span)

    assert asked == [
        ("query_range", {"query": "up", "start": 0.0, "end": 1_000.0, "step": 20}),
        ("query", {"query": "up", "time": 1_000.0}),
    ]
    assert [one.legend for answers in found for one in answers] == ["buy "] * 2
    assert found[0][0].times_s == (0.0, 20.0)
    assert (found[0][0].last, found[1][0].last) == (1.0, 2.5)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_pictures_that_are_kept_have_the_dashboards_panels(path: Path) -> None:
    file = GRAFANA.parent / "pictures" / f"{path.stem.replace('papertape', 'dashboard')}.svg"
    text = file.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)  # noqa: S314 # our own file
    panels = [
        panel
        for panel in results.panels_of(json.loads(path.read_text(encoding="utf-8")))
        if not results.is_row(panel) and "repeat" not in panel
    ]
    titles = {
        group.get("id"): group.findall("{*}text")[0].text or ""
        for group in root.iter("{http://www.w3.org/2000/svg}g")
    }

    for panel in panels:
        title = titles.get(f"panel-{panel['id']}", "")
        assert title, "draw them anew: python deploy/grafana/preview.py"
        assert panel["title"].startswith(title.removesuffix("…"))
    assert "Preview drawn from the results of the panels' queries, no screenshot of Grafana" in text
    assert "synthetic market" in text.lower()
    assert file.stat().st_size < 80_000
    assert "<script" not in text
    assert "href" not in text
