"""What a panel is, and how it becomes Grafana's JSON. Matchers of job and instance and the data source are put in here."""

import re
from typing import Any, NamedTuple

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
MATCHERS = 'job=~"$job",instance=~"$instance"'
SYMBOL = '{symbol=~"$symbol"}'
CHAMPION = '{model="champion"}'
# A selector: a name of ours or of the library, and perhaps labels.
SELECTOR = re.compile(r"\b((?:papertape|process)_\w+|instance\w*:\w+:\w+)(\{[^}]*\})?")

GREEN, ORANGE, RED = "green", "orange", "red"
Steps = tuple[tuple[float | None, str], ...]
HEIGHTS = {"stat": 4, "timeseries": 8, "bargauge": 8, "heatmap": 8, "table": 8}


class Style(NamedTuple):
    """How one series of a chart is drawn: points or dash."""

    legend: str
    kind: str
    colour: str


class Column(NamedTuple):
    """One column of a table: the heading over a query's values."""

    title: str
    decimals: int | None = None


class Panel(NamedTuple):
    """
    One panel: `queries` are (expression, legend).

    unit     Grafana's, never none: locale is a plain number with separators, money's currency is in the legend
    repeat   a variable: the panel comes once for each of its values
    columns  of a table, one a query
    """

    title: str
    kind: str  # stat, timeseries, bargauge, heatmap, table
    width: int  # of 24
    unit: str
    text: str
    queries: tuple[tuple[str, str], ...]
    steps: Steps = ((None, GREEN),)
    decimals: int | None = None
    repeat: str = ""
    styles: tuple[Style, ...] = ()
    columns: tuple[Column, ...] = ()


def matched(expression: str) -> str:
    """Return an expression with the matchers of job and instance in every selector."""

    def add(found: re.Match[str]) -> str:
        inner = (found[2] or "{}")[1:-1]
        return f"{found[1]}{{{MATCHERS}{',' if inner else ''}{inner}}}"

    return SELECTOR.sub(add, expression)


def panel_json(panel: Panel, number: int, x: int, y: int, height: int) -> dict[str, Any]:
    """Return one panel; ids are explicit, so that links to it survive."""
    built: dict[str, Any] = {
        "id": number,
        "title": panel.title,
        "description": panel.text,
        "type": panel.kind,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
        "targets": _targets(panel),
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _options(panel),
    }
    if panel.repeat:
        built |= {"repeat": panel.repeat, "repeatDirection": "h", "maxPerRow": 2}
    if panel.columns:
        built["transformations"] = _transformations(panel)
    return built


def _targets(panel: Panel) -> list[dict[str, Any]]:
    is_instant = panel.kind in ("stat", "bargauge", "table")
    forms = {"heatmap": "heatmap", "table": "table"}
    return [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": matched(expression),
            "legendFormat": legend,
            "range": not is_instant,
            "instant": is_instant,
            "format": forms.get(panel.kind, "time_series"),
        }
        for index, (expression, legend) in enumerate(panel.queries)
    ]


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in panel.steps]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.kind == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 0, "showPoints": "never"}
    return defaults


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    """Return how single series are drawn and single columns are written."""
    found = []
    for style in panel.styles:
        looks: list[dict[str, Any]] = [
            {"id": "color", "value": {"mode": "fixed", "fixedColor": style.colour}}
        ]
        if style.kind == "points":
            looks += [
                {"id": "custom.drawStyle", "value": "points"},
                {"id": "custom.showPoints", "value": "always"},
                {"id": "custom.pointSize", "value": 9},
            ]
        else:
            dashes = {"fill": "dash", "dash": [6, 6]}
            looks.append({"id": "custom.lineStyle", "value": dashes})
        found.append({"matcher": {"id": "byName", "options": style.legend}, "properties": looks})
    found += [
        {
            "matcher": {"id": "byName", "options": column.title},
            "properties": [{"id": "decimals", "value": column.decimals}],
        }
        for column in panel.columns
        if column.decimals is not None
    ]
    return found


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "heatmap":
        return {
            "calculate": False,
            "color": {"mode": "scheme", "scheme": "Oranges"},
            "yAxis": {"unit": panel.unit},
        }
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal" if panel.kind == "bargauge" else "auto",
    }


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    """Return what makes one line a symbol of one answer a query, and gives its columns their headings."""
    names = {f"Value #{chr(ord('A') + n)}": column.title for n, column in enumerate(panel.columns)}
    first = next(iter(names))
    has_size = {"id": "isNotNull", "options": {}}
    return [
        {"id": "merge", "options": {}},
        {
            # Every symbol has a price; only those that are held have a size.
            "id": "filterByValue",
            "options": {
                "filters": [{"fieldName": first, "config": has_size}],
                "type": "include",
                "match": "all",
            },
        },
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "renameByName": {"symbol": "Symbol", **names},
                "indexByName": {
                    name: index for index, name in enumerate(("Time", "symbol", *names))
                },
            },
        },
    ]
