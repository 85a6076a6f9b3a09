"""
Grafana's own typed builders, by the names that are used here.

Its modules warn at every import that a newer model of dashboards exists; the classic one is what a file that is provisioned
holds, and what every Grafana from 12 on reads.
"""

import warnings
from types import SimpleNamespace

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        bargauge,
        common,
        dashboard,
        heatmap,
        prometheus,
        stat,
        table,
        timeseries,
    )
    from grafana_foundation_sdk.models import common as _common
    from grafana_foundation_sdk.models import dashboard as _dashboard
    from grafana_foundation_sdk.models import heatmap as _heatmap
    from grafana_foundation_sdk.models import prometheus as _prometheus

models = SimpleNamespace(common=_common, dashboard=_dashboard, heatmap=_heatmap, prometheus=_prometheus)

__all__ = [
    "bargauge",
    "common",
    "dashboard",
    "heatmap",
    "models",
    "prometheus",
    "stat",
    "table",
    "timeseries",
]
