"""What a panel is, and how it becomes one of Grafana's. Matchers of job and instance and the data source are put in here."""

import re
from typing import Any, NamedTuple

from panels.sdk import bargauge, common, dashboard, heatmap, models, prometheus, stat, table, timeseries

SOURCE = models.common.DataSourceRef(type_val="prometheus", uid="${datasource}")
MATCHERS = 'job=~"$job",instance=~"$instance"'
SYMBOL = '{symbol=~"$symbol"}'
CHAMPION = '{model="champion"}'
# A selector: a name of ours or of the library, and perhaps labels.
SELECTOR = re.compile(r"\b((?:papertape|process)_\w+|instance\w*:\w+:\w+|up\b)(\{[^}]*\})?")

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


KINDS = {"stat": stat, "timeseries": timeseries, "bargauge": bargauge, "heatmap": heatmap, "table": table}
Property = models.dashboard.DynamicConfigValue


def built_panel(panel: Panel, number: int, x: int, y: int, height: int) -> Any:
    """Return one panel's builder; ids are explicit, so that links to it survive."""
    built = KINDS[panel.kind].Panel()
    built.id(number).title(panel.title).description(panel.text).datasource(SOURCE).unit(panel.unit)
    built.grid_pos(models.dashboard.GridPos(x=x, y=y, w=panel.width, h=height))
    steps = [models.dashboard.Threshold(value=value, color=colour) for value, colour in panel.steps]
    built.thresholds(dashboard.ThresholdsConfig().mode(models.dashboard.ThresholdsMode.ABSOLUTE).steps(steps))
    colours = models.dashboard.FieldColorModeId
    is_line = panel.kind == "timeseries"
    mode = colours.PALETTE_CLASSIC if is_line else colours.THRESHOLDS
    built.color_scheme(dashboard.FieldColor().mode(mode))
    if panel.decimals is not None:
        built.decimals(panel.decimals)
    if panel.repeat:
        built.repeat(panel.repeat).repeat_direction("h").max_per_row(2)
    for index, query in enumerate(panel.queries):
        built.with_target(_target(panel, index, *query))
    for style in panel.styles:
        built.override_by_name(style.legend, _looks(style))
    for column in panel.columns:
        if column.decimals is not None:
            built.override_by_name(column.title, [Property("decimals", column.decimals)])
    if panel.columns:
        built.transformations(_transformations(panel))
    DRAWN[panel.kind](built, panel)
    return built


def _target(panel: Panel, index: int, expression: str, legend: str) -> Any:
    is_instant = panel.kind in ("stat", "bargauge", "table")
    forms = models.prometheus.PromQueryFormat
    form = {"heatmap": forms.HEATMAP, "table": forms.TABLE}.get(panel.kind, forms.TIME_SERIES)
    query = prometheus.Dataquery().ref_id(chr(ord("A") + index)).datasource(SOURCE)
    query.expr(matched(expression)).legend_format(legend).format(form)
    return query.instant() if is_instant else query.range()


def _looks(style: Style) -> list[Any]:
    """Return how one series is drawn."""
    looks = [Property("color", {"mode": "fixed", "fixedColor": style.colour})]
    if style.kind != "points":
        return [*looks, Property("custom.lineStyle", {"fill": "dash", "dash": [6, 6]})]
    points = {"custom.drawStyle": "points", "custom.showPoints": "always", "custom.pointSize": 9}
    return looks + [Property(name, value) for name, value in points.items()]


def _line(built: Any, panel: Panel) -> None:
    kinds = models.common
    built.line_width(1).fill_opacity(0).show_points(kinds.VisibilityMode.NEVER)
    legend = common.VizLegendOptions().display_mode(kinds.LegendDisplayMode.LIST)
    built.legend(legend.placement(kinds.LegendPlacement.BOTTOM).show_legend(True))
    tooltip = common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI)
    built.tooltip(tooltip.sort(kinds.SortOrder.DESCENDING))


def _heatmap(built: Any, panel: Panel) -> None:
    scheme = models.heatmap.HeatmapColorMode.SCHEME
    built.calculate(False).color(heatmap.HeatmapColorOptions().mode(scheme).scheme("Oranges"))
    built.y_axis(heatmap.YAxisConfig().unit(panel.unit))


def _table(built: Any, panel: Panel) -> None:
    built.show_header(True).cell_height(models.common.TableCellHeight.SM)


def _figure(built: Any, panel: Panel) -> None:
    orientations = models.common.VizOrientation
    is_bar = panel.kind == "bargauge"
    built.orientation(orientations.HORIZONTAL if is_bar else orientations.AUTO)
    built.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))


DRAWN = {"stat": _figure, "timeseries": _line, "bargauge": _figure, "heatmap": _heatmap, "table": _table}


def _transformations(panel: Panel) -> list[Any]:
    """Return what makes one line a symbol of one answer a query, and gives its columns their headings."""
    names = {f"Value #{chr(ord('A') + n)}": column.title for n, column in enumerate(panel.columns)}
    first = next(iter(names))
    has_size = {"fieldName": first, "config": {"id": "isNotNull", "options": {}}}
    order = {name: index for index, name in enumerate(("Time", "symbol", *names))}
    steps: dict[str, dict[str, Any]] = {
        "merge": {},
        # Every symbol has a price; only those that are held have a size.
        "filterByValue": {"filters": [has_size], "type": "include", "match": "all"},
        "organize": {
            "excludeByName": {"Time": True},
            "renameByName": {"symbol": "Symbol", **names},
            "indexByName": order,
        },
    }
    return [
        models.dashboard.DataTransformerConfig(id_val=name, options=options)
        for name, options in steps.items()
    ]
