"""Every query of every panel, asked as Grafana asks it: lines over a span of time, figures at its end."""

import json
import math
import re
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

EVERYTHING = ".+"
POINTS = 50  # of a line
_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")

Dashboard = Mapping[str, Any]
Panel = Mapping[str, Any]


class Span(NamedTuple):
    """A span of time, in seconds since the epoch; scrape_s: from one scrape to the next."""

    start_s: float
    end_s: float
    scrape_s: float

    @property
    def step_s(self) -> int:
        """Return the time from one point to the next."""
        return max(math.ceil((self.end_s - self.start_s) / POINTS), 1)


class Series(NamedTuple):
    """One series of an answer: its legend, its labels, and its points; a value that is no number is NaN."""

    legend: str
    labels: Mapping[str, str]
    times_s: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        """Return the newest value that is a number, NaN without one."""
        return next((v for v in reversed(self.values) if math.isfinite(v)), math.nan)


Results = tuple[tuple[Series, ...], ...]  # by query of a panel
Ask = Callable[..., Any]  # path and parameters to Prometheus' data


def asking(address: str) -> Ask:
    """Return what asks the Prometheus at an address; raises OSError when it refuses."""

    def ask(path: str, **query: Any) -> Any:
        url = f"{address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30.0) as answer:  # noqa: S310 # the address is the caller's
            body = json.load(answer)
        if body["status"] != "success":
            raise OSError(f"{url}: {body}")
        return body["data"]

    return ask


def panels_of(dashboard: Dashboard) -> Iterator[Panel]:
    """Yield rows and panels in order, those of folded rows behind their row."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def is_row(panel: Panel) -> bool:
    """Return whether this is the heading of a row."""
    return bool(panel["type"] == "row")


def ready(expression: str, span: Span, variables: Mapping[str, str]) -> str:
    """Return a query with its variables filled in, as Grafana does it: a rate looks at four scrapes at least."""
    rate_s = max(span.step_s + span.scrape_s, 4 * span.scrape_s)
    known = {
        "__rate_interval": f"{rate_s:.0f}s",
        "__interval": f"{max(span.step_s, span.scrape_s):.0f}s",
        "__range": f"{span.end_s - span.start_s:.0f}s",
        **dict.fromkeys(("job", "instance", "symbol"), EVERYTHING),
        **variables,
    }
    return re.sub(r"\$(\w+)", lambda found: known[found[1]], expression)


def results_of(panel: Panel, ask: Ask, span: Span, variables: Mapping[str, str] | None = None) -> Results:
    """Return the answers to a panel's queries."""
    return tuple(tuple(_series(target, ask, span, variables or {})) for target in panel["targets"])


def _series(
    target: Mapping[str, Any], ask: Ask, span: Span, variables: Mapping[str, str]
) -> Iterator[Series]:
    query = ready(target["expr"], span, variables)
    if target["instant"]:
        data = ask("query", query=query, time=span.end_s)
    else:
        data = ask("query_range", query=query, start=span.start_s, end=span.end_s, step=span.step_s)
    for found in data["result"]:
        points = [found["value"]] if "value" in found else found["values"]
        labels = found["metric"]
        yield Series(
            legend_of(target["legendFormat"], labels),
            labels,
            tuple(float(time_s) for time_s, _ in points),
            tuple(float(value) for _, value in points),
        )


def legend_of(text: str, labels: Mapping[str, str]) -> str:
    """Return a legend with its labels filled in."""
    return _LABEL.sub(lambda found: labels.get(found[1], ""), text)


def has_data(results: Results) -> bool:
    """Return whether there is a number in any answer."""
    return any(math.isfinite(value) for one in results for series in one for value in series.values)
