"""The surface of a search: cells and findings against plain loops, and the page in a real browser."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape import optimize, sweep
from papertape.replay.research.surface.cells import cells_of, pairs_of, slices_of
from papertape.replay.research.surface.findings import find
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.space import make_space
from papertape.replay.tapes.synthetic import synthesize
from tests.support.browser import CUT, browser_tab, needs_browser

AXES = (
    Axis("strategy.parameters.fast", (3, 6, 12, 24)),
    Axis("market.taker_fee_rate", (0.0, 0.001, 0.002)),
    Axis("data.timeframe", ("1h", "4h")),
)
SPACE = make_space(AXES)
CHANGES = [SPACE.changes(number) for number in range(SPACE.size)]
SETTINGS: dict[str, Any] = {
    "strategy": "ema_cross",
    "account": {"sizing": "all_in"},
    "use_ml": False,
    "workers": 1,
    "report": {"sensitivity": False, "random_draws": 0, "benchmarks": False, "regimes": False},
}


def random_values() -> np.ndarray:
    values = np.random.default_rng(3).normal(size=SPACE.size)
    values[[0, 5, 17]] = np.nan
    return values


def test_cells_hold_the_trials_with_their_values() -> None:
    values = random_values()
    cells = [cells_of(axis, CHANGES) for axis in AXES]

    found = {(pair["x"], pair["y"]): pair for pair in pairs_of(cells, values)}
    peak = int(np.nanargmax(values))
    slices = slices_of(cells, values, CHANGES, peak)

    assert sorted(found) == [(0, 1), (0, 2), (1, 2)]
    for (x, y), pair in found.items():
        points = itertools.product(AXES[y].values, AXES[x].values)
        for (b, a), mean, best in zip(points, pair["mean"], pair["best"], strict=True):
            own = [
                value
                for value, changed in zip(values, CHANGES, strict=True)
                if (changed[AXES[x].key], changed[AXES[y].key]) == (a, b) and np.isfinite(value)
            ]
            assert (mean, best) == (
                (pytest.approx(np.mean(own), rel=1e-4), pytest.approx(max(own), rel=1e-4))
                if own
                else (None, None)
            )
    for axis, one in zip(AXES, slices, strict=True):
        for value, through in zip(axis.values, one["peak"], strict=True):
            (number,) = [
                n for n, changed in enumerate(CHANGES) if changed == CHANGES[peak] | {axis.key: value}
            ]
            expected = values[number]
            assert through == (pytest.approx(expected, rel=1e-4) if np.isfinite(expected) else None)


@pytest.mark.parametrize(
    ("axis", "given", "labels", "places"),
    [
        (
            Axis("a", (), 0.0, 1.0),
            [0.0, 0.24, 0.25, 1.0],
            ["0 to 0.25", "0.25 to 0.5", "0.5 to 0.75", "0.75 to 1"],
            [0, 0, 1, 3],
        ),
        # Of 2 … 11 four stretches of whole numbers: two or three of them each.
        (Axis("a", (), 2, 11, True), [2, 5, 6, 11], ["2 to 4", "5 to 6", "7 to 9", "10 to 11"], [0, 1, 1, 3]),
        (Axis("a", (), 2, 4, True), [4, 2], ["2", "3", "4"], [2, 0]),
        (Axis("a", (9, 3)), [9, 3], ["3", "9"], [1, 0]),
        (Axis("a", ("x", "b")), ["b", "x"], ["x", "b"], [1, 0]),
    ],
)
def test_values_fall_into_cells(axis: Axis, given: Any, labels: Any, places: Any) -> None:
    cells = cells_of(axis, [{"a": value} for value in given])

    assert (list(cells.labels), cells.places.tolist()) == (labels, places)


def test_what_stands_out_is_told() -> None:
    line = (Axis("strategy.parameters.n", tuple(range(1, 8))),)
    changes = [{line[0].key: n} for n in range(1, 8)]
    values = np.array([0.0, 0.9, 1.0, 0.9, 0.0, 0.1, 2.0])

    found = find(line, changes, values, make_space(line))

    # The peak is at 7, beside 0.1; the middle is 0.9, and half of what 2 has above it is 1.45.
    assert found is not None
    assert (found.peak, found.plateau, found.keep, found.of) == (6, 2, 0, 1)
    assert found.edges == ["n is 7, and nothing above 7 was tried"]
    inside = find(line, changes, np.array([0.0, 0.9, 1.0, 0.9, 0.0, 0.1, 0.2]), make_space(line))
    assert inside is not None
    # The middle is 0.2, and half of what 1 has above it is 0.6.
    assert (inside.peak, inside.keep, inside.of, inside.edges) == (2, 2, 2, [])
    assert find(line, changes, np.full(7, np.nan), make_space(line)) is None


@pytest.mark.parametrize("low", [0.0, 0.505])
def test_the_edge_of_a_range_is_a_hundredth_of_it(low: float) -> None:
    axes = (Axis("account.risk_fraction", (), 0.0, 1.0),)
    changes = [{axes[0].key: value} for value in (0.5, 0.3, low + 0.4949, 0.7)]

    found = find(axes, changes, np.array([1.0, 0.5, 2.0, 0.1]), None)

    assert found is not None
    assert bool(found.edges) == (low > 0.5)


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_pages_are_drawn_narrow_and_wide_and_ask_nobody(tmp_path: Path) -> None:
    tape = synthesize("regimes", 400, "1h", seed=5, symbol="SYNTH")
    grid = {
        "strategy.parameters.fast": [3, 6, 12],
        "strategy.parameters.slow": [20, 40, 60],
        "account.cash_share": [0.5, 0.9],
    }
    swept = sweep(grid, tape, out=tmp_path / "sweep", **SETTINGS)
    ranges = {"strategy.parameters.fast": "2:12", "strategy.parameters.slow": "20:60"}
    searched = optimize(
        ranges, tape, trials=12, batch=6, by=["sharpe", "max_drawdown"], out=tmp_path / "search", **SETTINGS
    )
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.call("Network.enable")
        for found, axes in ((swept, 3), (searched, 2)):
            assert found.page is not None
            assert not re.search(r"(src|href)=[\"']?http|@import", found.page.read_text())
            for width, theme in ((1200, "light"), (390, "dark")):
                await tab.open(found.page, width, query=f"?theme={theme}")
                assert await tab.value(CUT) == []
                assert await tab.value("document.documentElement.scrollWidth") <= width
                pairs = axes * (axes - 1) // 2
                drawn = "[...document.querySelectorAll('%s svg')].length"
                assert await tab.value(drawn % "#maps") == pairs
                assert await tab.value(drawn % "#slices") == axes
            told = json.loads(
                await tab.value("JSON.stringify([DATA.peak.number, DATA.best.map((t) => t.number)])")
            )
            best = [getattr(one, "row", one).number for one in found.best]
            assert told == [best[0], best]
            await tab.value("$('layer').value = 1; $('how').value = 'best'; drawLayer()")
        assert tab.errors == []
        assert all(url.startswith("file:") for url in tab.requests)
