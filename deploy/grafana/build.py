"""
Build `dashboards/*.json`: `python deploy/grafana/build.py`. A test builds them again and compares bytes.

Three dashboards, each for a reader: the trader, the researcher, the operator. The rows of each are a file of `panels/`;
what all panels share is `panels/panel.py`. Thresholds are those of the alerts in `prometheus/rules`. Rows are folded but for the
first ones: a browser asks for what is open only.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from panels.operator import DECISIONS, FEED, HEALTH, JOBS, RUNTIME
from panels.panel import HEIGHTS, MATCHERS, SOURCE, Panel, built_panel, matched
from panels.researcher import CALIBRATION, DRIFT, MODEL, PARITY, SHADOW
from panels.sdk import dashboard, models
from panels.trader import EQUITY, NOW, PRICES, PROFIT

FOLDER = Path(__file__).parent / "dashboards"
TAG = "papertape"


class View(NamedTuple):
    """One dashboard: for whom, and its rows by title; the first `n_open` are not folded."""

    title: str
    text: str
    rows: dict[str, tuple[Panel, ...]]
    n_open: int = 2


VIEWS = {
    "papertape-pnl": View(
        "Papertape / PnL and trades",
        "For the trader: am I making money, and why; is the risk inside its limits?",
        {
            "Now": NOW,
            "Prices and positions": PRICES,
            "Equity and exposure": EQUITY,
            "Profit and trades": PROFIT,
        },
    ),
    "papertape-model": View(
        "Papertape / model and drift",
        "For the researcher: do I still believe the model, and does live still equal replay?",
        {
            "Model": MODEL,
            "Predictions and calibration": CALIBRATION,
            "Shadow record": SHADOW,
            "Drift": DRIFT,
            "Live against replay": PARITY,
        },
    ),
    "papertape-ops": View(
        "Papertape / operation",
        "For the operator: is the data arriving, is it decided in time, is the process well?",
        {"Health": HEALTH, "Feed": FEED, "Decisions": DECISIONS, "Jobs": JOBS, "Runtime": RUNTIME},
    ),
}


def with_rows(built: Any, view: View) -> None:
    """Put rows and panels in their places: from left to right, then down; a folded row holds its panels."""
    y = number = 0
    for place, (title, panels) in enumerate(view.rows.items()):
        number += 1
        is_folded = place >= view.n_open
        row = dashboard.Row(title).id(number).collapsed(is_folded)
        row.grid_pos(models.dashboard.GridPos(x=0, y=y, w=24, h=1))
        y += 1
        x, height, inside = 0, max(HEIGHTS[panel.kind] for panel in panels), []
        for panel in panels:
            if x + panel.width > 24:
                x, y = 0, y + height
            number += 1
            inside.append(built_panel(panel, number, x, y, height))
            x += panel.width
        y += height
        for one in inside if is_folded else ():
            row.with_panel(one)
        built.with_row(row)
        for one in () if is_folded else inside:
            built.with_panel(one)


def variable(name: str, label: str, query: str) -> Any:
    """Return a variable of label values: several may be chosen, all by default."""
    chosen = models.dashboard.VariableOption(text=["All"], value=["$__all"])
    built = dashboard.QueryVariable(name).label(label).datasource(SOURCE)
    built.query({"query": query, "refId": name}).multi(True).include_all(True).all_value(".+")
    built.refresh(models.dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return built.sort(models.dashboard.VariableSort.ALPHABETICAL_ASC).current(chosen)


def annotation(name: str, expression: str, colour: str, title: str) -> Any:
    """Return a mark on every graph where an expression has values."""
    built = dashboard.AnnotationQuery().name(name).enable(True).datasource(SOURCE).step("60s")
    return built.expr(matched(expression)).icon_color(colour).title_format(title)


def dashboard_of(uid: str) -> Any:
    """Return one dashboard in the classic JSON model."""
    view = VIEWS[uid]
    built = dashboard.Dashboard(view.title).uid(uid).description(view.text).tags([TAG]).version(1)
    built.readonly().tooltip(models.dashboard.DashboardCursorSync.CROSSHAIR).timezone("utc")
    built.refresh("30s").time("now-24h", "now")
    source = models.dashboard.VariableOption(text="Prometheus", value="papertape-prometheus")
    built.with_variable(
        dashboard.DatasourceVariable("datasource").label("Data Source").type("prometheus").current(source)
    )
    for name, label, query in (
        ("job", "Job", "label_values(papertape_build_info, job)"),
        ("instance", "Instance", 'label_values(papertape_build_info{job=~"$job"}, instance)'),
        ("symbol", "Symbol", f"label_values(papertape_positions_open{{{MATCHERS}}}, symbol)"),
    ):
        built.with_variable(variable(name, label, query))
    restarts = "changes(process_start_time_seconds[$__interval]) > 0"
    swaps = "changes(papertape_model_loaded_timestamp_seconds[$__interval]) > 0"
    built.annotation(annotation("Restarts", restarts, "blue", "started"))
    built.annotation(annotation("Promotions", swaps, "green", "model promoted"))
    link = dashboard.DashboardLink("Papertape").tags([TAG]).include_vars(True).keep_time(True)
    built.link(link.type(models.dashboard.DashboardLinkType.DASHBOARDS))
    with_rows(built, view)
    return built.build()


def text(uid: str) -> str:
    """Return a file's content."""
    return json.dumps(dashboard_of(uid), indent=2, cls=JSONEncoder) + "\n"


if __name__ == "__main__":
    for name in VIEWS:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8")
