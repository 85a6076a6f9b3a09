"""Days and steps of marks against a plain reading, and that curves over the same instants share them."""

import numpy as np

from papertape.engine.candles import DAY_MS, HOUR_MS
from papertape.engine.performance import daily_returns
from papertape.engine.performance.curve import CurveColumns, times_of
from papertape.engine.performance.times import MarkTimes
from papertape.engine.records import MARK


def test_days_end_with_their_last_mark_and_the_step_is_the_shortest() -> None:
    hours = np.array([1, 2, 24, 25, 73, 80])  # the first three in day 0, one in day 1, two in day 3

    times = MarkTimes(hours * HOUR_MS)

    assert times.day_ends.day_ms.tolist() == [day * DAY_MS for day in range(4)]
    assert times.day_ends.mark_index.tolist() == [2, 3, 3, 5]
    assert times.shortest_step_ms == HOUR_MS
    assert MarkTimes([HOUR_MS]).shortest_step_ms == 0


def test_the_shortest_step_is_found_in_any_piece() -> None:
    steps = np.full(100_000, 60_000)
    for place in (3, 32_767, 32_768, 99_999):
        steps[place] -= 1
        found = MarkTimes(np.concatenate([[0], np.cumsum(steps)])).shortest_step_ms
        steps[place] += 1

        assert found == 59_999, place


def test_curves_with_times_in_common_are_those_with_their_own() -> None:
    marks = np.zeros(50, MARK)
    marks["time_ms"] = HOUR_MS * np.arange(1, 51)
    marks["equity"] = np.rint(1e12 + 1e10 * np.sin(np.arange(50)))
    times = MarkTimes(marks["time_ms"])
    curve = CurveColumns(times, equity=marks["equity"].copy())

    assert times_of(curve) is times
    assert len(curve) == 50
    assert "time_ms" in curve
    for found, expected in zip(daily_returns(curve, 1e3), daily_returns(marks, 1e3), strict=True):
        assert np.array_equal(found, expected)
    # A part has days of its own.
    assert times_of(curve.between(24, 50)).day_ends.day_ms.tolist() == [DAY_MS, 2 * DAY_MS]
