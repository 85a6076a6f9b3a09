"""
Build `dashboards/papertape.json`: `python deploy/grafana/build.py`. A test builds it again and compares bytes.

Each row of the dashboard is a file of `panels/`; what all panels share is `panels/panel.py`. Thresholds are those of the
alerts in `prometheus/rules`. Rows are folded but for the first two: a browser asks for what is open only.
"""

import json
from pathlib import Path
from typing import Any

from panels.calibration import CALIBRATION
from panels.decisions import DECISIONS
from panels.drift import DRIFT
from panels.equity import EQUITY
from panels.feed import FEED
from panels.jobs import JOBS
from panels.model import MODEL
from panels.now import NOW
from panels.panel import HEIGHTS, MATCHERS, SOURCE, matched, panel_json
from panels.prices import PRICES
from panels.profit import PROFIT
from panels.runtime import RUNTIME

FILE = Path(__file__).parent / "dashboards" / "papertape.json"
ROWS = {
    "Now": NOW,
    "Prices and positions": PRICES,
    "Equity and exposure": EQUITY,
    "Profit and trades": PROFIT,
    "Feed": FEED,
    "Decisions": DECISIONS,
    "Model": MODEL,
    "Predictions and calibration": CALIBRATION,
    "Drift": DRIFT,
    "Jobs and parity": JOBS,
    "Runtime": RUNTIME,
}
OPEN = ("Now", "Prices and positions")


def panels() -> list[dict[str, Any]]:
    """Return rows and panels in their places: from left to right, then down; a folded row holds its panels."""
    built: list[dict[str, Any]] = []
    y = number = 0
    for title, row in ROWS.items():
        number += 1
        is_folded = title not in OPEN
        inside: list[dict[str, Any]] = []
        place = {"x": 0, "y": y, "w": 24, "h": 1}
        built.append(
            {
                "id": number,
                "title": title,
                "type": "row",
                "collapsed": is_folded,
                "gridPos": place,
                "panels": inside,
            }
        )
        y += 1
        x = 0
        height = max(HEIGHTS[panel.kind] for panel in row)
        for panel in row:
            if x + panel.width > 24:
                x, y = 0, y + height
            number += 1
            (inside if is_folded else built).append(panel_json(panel, number, x, y, height))
            x += panel.width
        y += height
    return built


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    """Return a variable of label values: several may be chosen, all by default."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def dashboard() -> dict[str, Any]:
    """Return the whole dashboard in the classic JSON model."""
    restarts = matched("changes(process_start_time_seconds[$__interval]) > 0")
    promotions = matched("changes(papertape_model_loaded_timestamp_seconds[$__interval]) > 0")
    return {
        "uid": "papertape",
        "title": "Papertape",
        "description": "A paper-trading daemon: money, feed, decisions, model, drift, jobs, parity, process.",
        "tags": ["papertape"],
        "schemaVersion": 42,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data Source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {"text": "Prometheus", "value": "papertape-prometheus"},
                },
                variable("job", "Job", "label_values(papertape_build_info, job)"),
                variable(
                    "instance",
                    "Instance",
                    'label_values(papertape_build_info{job=~"$job"}, instance)',
                ),
                variable(
                    "symbol",
                    "Symbol",
                    f"label_values(papertape_positions_open{{{MATCHERS}}}, symbol)",
                ),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Restarts",
                    "enable": True,
                    "datasource": SOURCE,
                    "expr": restarts,
                    "iconColor": "blue",
                    "titleFormat": "started",
                    "step": "60s",
                },
                {
                    "name": "Promotions",
                    "enable": True,
                    "datasource": SOURCE,
                    "expr": promotions,
                    "iconColor": "green",
                    "titleFormat": "model promoted",
                    "step": "60s",
                },
            ]
        },
        "links": [],
        "panels": panels(),
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
