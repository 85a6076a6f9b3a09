"""A whole dashboard as SVG: every panel at its place, with what its queries answered, and a head that says what this is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape

from previews import marks
from previews.charts import heat, lines
from previews.figures import NO_DATA, bars, stat, table
from previews.places import ROW_PX, WIDTH, Place, Shown, placed
from previews.results import Dashboard, Results, Span, has_data, is_row, panels_of

_HEAD_PX = 52
_TITLE_PX = 24  # of a panel
FIGURES = {"stat": stat, "bargauge": bars, "table": table}
CHARTS = {"timeseries": lines, "heatmap": heat}


def picture(
    dashboard: Dashboard, results: Callable[[Shown], Results], span: Span, symbols: Sequence[str], about: str
) -> str:
    """
    Return a dashboard as SVG.

    results  the answers to a panel's queries
    about    the run that they are of, below the title
    """
    everything = list(placed(list(panels_of(dashboard)), {"symbol": symbols}, _HEAD_PX))
    height = max(shown.place.bottom for shown in everything) + 4
    title = f"{dashboard['title']}: a preview drawn from the results of the panels' queries"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="t">',
        f'<title id="t">{escape(title, quote=False)}</title>',
        marks.style(),
        marks.box(0, 0, WIDTH, height, "paper"),
        marks.text(dashboard["title"], 8, 22, "head"),
        marks.text(
            f"Preview drawn from the results of the panels' queries, no screenshot of Grafana. {about}",
            8,
            41,
            "soft",
        ),
    ]
    for shown in everything:
        parts += _row(shown) if is_row(shown.panel) else _panel(shown, results(shown), span)
    return "\n".join([*parts, "</svg>", ""])


def _row(shown: Shown) -> Iterator[str]:
    yield marks.text(f"▾ {shown.panel['title']}", shown.place.x + 4, shown.place.y + ROW_PX / 2 + 2, "title")


def _panel(shown: Shown, results: Results, span: Span) -> Iterator[str]:
    """Yield a panel with its title; one whose queries have no number says so."""
    panel, place = shown.panel, shown.place
    yield f'<g id="panel-{panel["id"]}{"".join("-" + value for value in shown.variables.values())}">'
    yield marks.box(*place, "panel")
    yield marks.text(
        marks.cut(_filled(panel["title"], shown.variables), place.width - 12, marks.BOLD_PX),
        place.x + 8,
        place.y + 16,
        "title",
    )
    inner = place.inset(0, _TITLE_PX, 0, 2)
    if not has_data(results):
        yield marks.text(NO_DATA, *_middle(inner), "soft mid")
    elif panel["type"] in FIGURES:
        yield from FIGURES[panel["type"]](panel, inner, results)
    else:
        yield from CHARTS[panel["type"]](panel, inner, results, span)
    yield "</g>"


def _filled(title: str, variables: Mapping[str, str]) -> str:
    for name, value in variables.items():
        title = title.replace(f"${name}", value)
    return title


def _middle(place: Place) -> tuple[float, float]:
    return place.x + place.width / 2, place.y + place.height / 2
