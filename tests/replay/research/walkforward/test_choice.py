"""Where windows lie, and which trial is chosen: by hand, and by a second way of counting."""

import itertools
import math

import numpy as np
import pytest

from papertape.engine.errors import ConfigError
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.space import make_space
from papertape.replay.research.walkforward.choice import choose, positions, rank
from papertape.replay.research.walkforward.windows import Plan, make_windows, refuse_overlap, span_ms

HOUR = 3_600_000
NAN = math.nan


def windows(
    train: int, test: int, purge: int, embargo: int, hours: int, anchored: bool = False
) -> list[tuple[int, ...]]:
    plan = Plan(train * HOUR, test * HOUR, purge * HOUR, embargo * HOUR, anchored)
    found = make_windows(plan, 0, hours * HOUR, HOUR)
    refuse_overlap(found, plan.gap_ms)
    return [tuple(ms // HOUR for ms in window[1:]) for window in found]


def test_windows_by_hand() -> None:
    # train from, seen until, test from, test until; the last that would be cut off is none
    assert windows(10, 4, 2, 1, 25) == [(0, 10, 13, 17), (4, 14, 17, 21), (8, 18, 21, 25)]
    assert windows(10, 4, 2, 1, 24, anchored=True) == [(0, 10, 13, 17), (0, 14, 17, 21)]
    assert windows(10, 4, 0, 0, 14) == [(0, 10, 10, 14)]
    with pytest.raises(ConfigError, match=r"the candles last 0.6 days, and one window needs 0.7"):
        windows(10, 4, 2, 1, 14)
    with pytest.raises(ConfigError, match=r"--train 3y: write a number and m, h, d or w"):
        span_ms("3y", "--train")
    with pytest.raises(ConfigError, match=r"--purge: 1.5 hours are not whole candles of 1 hours"):
        make_windows(Plan(HOUR, HOUR, HOUR * 3 // 2, 0, False), 0, 100 * HOUR, HOUR)


def test_a_window_that_looks_into_its_gap_is_noticed() -> None:
    plan = Plan(10 * HOUR, 4 * HOUR, 2 * HOUR, 0, False)
    found = make_windows(plan, 0, 40 * HOUR, HOUR)
    with pytest.raises(AssertionError):
        refuse_overlap([window._replace(seen_ms=window.test_ms) for window in found], plan.gap_ms)


GRID = make_space(
    [
        Axis("strategy.parameters.fast", (1, 2, 3, 4, 5)),
        Axis("strategy.parameters.side", ("long", "short")),
        Axis("strategy.parameters.slow", (0.5, 1.0, 1.5, 2.0)),
    ]
)


def around_by_loops(values: np.ndarray) -> np.ndarray:
    """Return the neighbourhoods as they are defined: steps of -1, 0, 1 on both axes of numbers, the same word, the best left out."""
    cube = values.reshape(5, 2, 4)
    found = np.full_like(cube, NAN)
    for fast, side, slow in itertools.product(range(5), range(2), range(4)):
        near = [
            cube[fast + i, side, slow + k]
            for i, k in itertools.product((-1, 0, 1), repeat=2)
            if 0 <= fast + i < 5 and 0 <= slow + k < 4
        ]
        known = [value for value in near if not math.isnan(value)]
        is_centre = not math.isnan(cube[fast, side, slow]) and len(known) > 1
        if is_centre and 2 * len(known) >= len(near):
            found[fast, side, slow] = np.mean(sorted(known)[:-1])
    return found.reshape(-1)


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.6])
def test_the_plateau_of_a_grid_is_the_best_mean_of_neighbours(missing: float) -> None:
    random = np.random.default_rng(3)
    values = np.where(random.random(40) < missing, NAN, random.normal(size=40))

    found = choose(GRID, values)

    assert found is not None
    expected = around_by_loops(values)
    np.testing.assert_allclose(found.around, expected, rtol=1e-12)
    assert found.plateau == int(np.nanargmax(expected))
    assert values[found.peak] == np.nanmax(values)


def test_a_lone_peak_is_not_the_plateau() -> None:
    values = np.array([0.0, 9.0, 0.0, 0.0, 0.0, 4.0, 5.0, 4.0])
    line = make_space([Axis("strategy.parameters.fast", tuple(range(8)))])

    found = choose(line, values)

    assert found is not None
    assert (found.peak, found.plateau) == (1, 6)  # 4 of (4, 5, 4), for its best is left out
    assert choose(line, np.full(8, NAN)) is None
    assert [rank(values, point) for point in (1, 6, 5, 7, 0)] == [1, 2, 3, 3, 5]
    assert rank(np.array([NAN, 1.0]), 0) is None


def test_draws_are_next_to_the_nearest_draws() -> None:
    axes = [Axis("strategy.parameters.fast", (), 0.0, 10.0), Axis("strategy.parameters.side", ("a", "b"))]
    space = make_space(axes, draws=60, seed=4)
    values = np.random.default_rng(5).normal(size=60)
    places = positions(space.axes, [space.changes(number) for number in range(space.size)])

    found = choose(space, values)

    assert found is not None
    for number in range(60):
        far = [
            (abs(places[number, 0] - place[0]) ** 2 + (places[number, 1] != place[1]), other)
            for other, place in enumerate(places)
        ]
        near = [other for _, other in sorted(far)[:5]]
        assert found.around[number] == pytest.approx(np.mean(sorted(values[near])[:-1]))
