"""The count of rewritten readings: the package's known figures, ours none, and the count itself can tell."""

import numpy as np
import pytest

from papertape.engine.features.smc import EVENT, SmartMoney
from papertape.engine.jit import Rows
from tests.bench import rewrites
from tests.support.helpers import needs_shared, random_candles


def test_count_finds_changed_missing_and_late_cells() -> None:
    rows = np.arange(4)
    then = {"a/x": (rows, np.array([1.0, 2.0, np.nan, 4.0]))}

    assert rewritten(then, np.array([1.0, 2.0, np.nan, 4.0])) == 0
    assert rewritten(then, np.array([1.0, 9.0, np.nan, 4.0])) == 1
    assert rewritten(then, np.array([1.0, 2.0, 3.0, np.nan])) == 2
    # One statement less about candle 0, one more about candle 1: everything from there on has moved.
    gone = {"a/x": (rows[1:], np.array([2.0, np.nan, 4.0]))}
    assert rewrites.rewritten(then, gone, 1) == {"a/x": 1}
    late = {"a/x": (np.array([0, 1, 1, 2, 3]), np.array([1.0, 2.0, 7.0, np.nan, 4.0]))}
    assert rewrites.rewritten(then, late, 2) == {"a/x": 1}
    assert rewrites.rewritten(then, late, 1) == {"a/x": 0}


def rewritten(then: rewrites.Said, later: np.ndarray) -> int:
    return rewrites.rewritten(then, {"a/x": (np.arange(4), later)}, 4)["a/x"]


def test_a_stream_that_changes_its_mind_is_seen() -> None:
    def fickle(candles: Rows) -> Rows:
        """Say one thing about every candle, the last one's kind depending on how many there are."""
        events = np.zeros(len(candles), EVENT)
        events["known_bar"] = np.arange(len(candles))
        events["kind"] = 1
        events["level"] = len(candles)
        return events

    counts = rewrites.count_steps(random_candles(30), rewrites.reader_of("it", fickle), 20, 3)

    # Every step changes the level of every candle known before: 20, then 21, then 22.
    assert counts == {"it": 20 + 21 + 22}


def test_ours_is_zero_and_the_package_is_not_on_ties() -> None:
    found = rewrites.measure(rewrites.tick_walk(150), steps=8, first=120)

    assert found["engine events"] == found["batch definitions, streamed"] == 0
    assert found["swings"] > 8
    assert set(found) > {"fvg", "ob", "liquidity", "retracements"}
    assert "package: swings" in rewrites.table_of({"walk": found}, 8)


def test_one_candle_at_a_time_says_what_a_fresh_reading_says() -> None:
    candles = rewrites.tick_walk(600)
    stepper = SmartMoney("15m")

    said = np.concatenate([stepper.update(candles[i : i + 1]) for i in range(len(candles))])

    assert said.tobytes() == rewrites.engine_events(candles).tobytes()
    assert len(said) > 500


@needs_shared
@pytest.mark.slow
def test_two_hundred_steps_give_the_figures_of_the_reference() -> None:
    """Reference section 7, on EURUSD after 1,000 candles."""
    found = rewrites.measure(rewrites.markets()["EURUSD 15m"], steps=200)

    assert found == {
        "fvg": 166,
        "fvg joined": 191,
        "swings": 456,
        "bos_choch": 29,
        "ob": 84,
        "liquidity": 213,
        "retracements": 961,
        "engine events": 0,
        "batch definitions, streamed": 0,
    }


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("market", ["BTC perpetual 15m", "random walk, tick 10"])
def test_no_step_rewrites_anything(market: str) -> None:
    """EURUSD is above; `python -m tests.bench.rewrites --steps 1000` walks further, each step from the first candle on."""
    found = rewrites.measure(rewrites.markets()[market], steps=250, package=False)

    assert found == {"engine events": 0, "batch definitions, streamed": 0}
