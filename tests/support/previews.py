"""The modules that draw the dashboards, found as their own command finds them: `deploy/grafana` is on its path."""

import sys
from pathlib import Path

GRAFANA = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
if str(GRAFANA) not in sys.path:
    sys.path.append(str(GRAFANA))

import preview  # noqa: E402 # only now it can be found
from previews import charts, page, places, results, units  # noqa: E402

__all__ = ["GRAFANA", "charts", "page", "places", "preview", "results", "units"]
