"""Numbers at the edge: a price on its grid is written as such, and nothing else is touched."""

import numpy as np
import pytest

from papertape.engine.broker.fills import on_tick
from papertape.engine.broker.grid import decimals_of, on_grid, plain
from papertape.engine.core import Engine
from papertape.engine.records import LONG, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision, EmaCross
from tests.support.helpers import FREE, make_candles, random_candles, run_all, run_script

FLAT_100 = (100.0, 100.0, 100.0, 100.0)
STEPS = [0.01, 0.5, 0.25, 0.0001, 1e-8, 5e-7, 1.0, 10.0]


@pytest.mark.parametrize(
    ("step", "decimals"),
    [(0.01, 2), (0.5, 1), (0.25, 2), (1e-8, 8), (5e-7, 7), (1.0, 0), (10.0, 0), (np.float64(0.1), 1)],
)
def test_decimals_of_a_step(step: float, decimals: int) -> None:
    assert decimals_of(step) == decimals


@pytest.mark.parametrize("step", STEPS)
def test_whole_steps_are_written_with_the_steps_own_decimals(step: float) -> None:
    """Every k × step as float64 gives it becomes the float that its decimal text stands for."""
    counts = np.concatenate([np.arange(1, 20_000), np.arange(10**7, 10**7 + 5_000)])

    found = on_grid(counts * step, step)

    decimals = decimals_of(step)
    whole = round(step * 10**decimals)
    texts = [f"{int(k) * whole}e-{decimals}" for k in counts]
    assert found.tolist() == [float(text) for text in texts]


def test_what_is_not_on_the_grid_stays_as_it_is() -> None:
    values = np.array([100.123, 0.1379000001, 0.0, -3.3000000000000003, float("nan")])

    assert on_grid(values, 0.01).tolist()[:4] == [100.123, 0.1379000001, 0.0, -3.3]
    assert np.isnan(on_grid(values, 0.01)[4])
    assert on_grid(values, 0.0)[:4].tolist() == values[:4].tolist()
    assert plain(0.13879000000000002, 0.00001) == 0.13879


def test_a_difference_has_the_noise_of_what_it_was_made_of() -> None:
    difference = 42_000.07 - 41_999.99  # 0.08000000000174623

    assert plain(difference, 0.01) != 0.08
    assert on_grid(difference, 0.01, 42_000.0) == 0.08


@pytest.mark.parametrize("tick", [0.01, 1e-5, 0.1, 1.0])
@pytest.mark.parametrize("side", [1, -1])
def test_a_price_on_the_grid_stays_there_however_many_ticks_it_has(tick: float, side: int) -> None:
    """A billion ticks have more noise than a fixed 1e-9 of one forgives: a buyer paid a tick too much."""
    random = np.random.default_rng(1)
    counts = random.integers(10**8, 2 * 10**9, 2_000)
    decimals = decimals_of(tick)

    for count in counts.tolist():
        price = float(f"{count}e-{decimals}") if decimals else float(count)
        for noisy in (price, np.nextafter(price, np.inf), np.nextafter(price, 0.0)):
            assert on_tick(noisy, tick, side) == price


@pytest.mark.parametrize("market", [{"tick_size": 0.00001}, {"tick_size": 0.00001, "lot_size": 0.1}])
def test_prices_and_sizes_of_fills_are_the_decimals_of_their_grid(market: dict[str, float]) -> None:
    """A tape says 0.13879; 13,879 × 0.00001 is 0.13879000000000002, which that tape's high would not reach."""
    candles = random_candles(900, 5)
    for name in ("open", "high", "low", "close"):
        candles[name] = np.round(candles[name] / 700.0, 5)
    spec = EngineSpec(
        [Market("X", is_perpetual=True, **market)],
        EmaCross(5, 12, allow_short=True),
        "1h",
        "1h",
        settings=Settings("all_in"),
    )

    fills = run_all(Engine(spec), candles).fills

    assert len(fills) > 20
    assert all(len(repr(price)) <= 7 for price in fills["price"].tolist())
    if "lot_size" in market:
        assert fills["quantity"].tolist() == np.round(fills["quantity"], 1).tolist()


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_level_is_reached_by_a_candle_that_ends_exactly_there(side: int) -> None:
    """Every stop from 99.01 to 99.99, long, and to 100.99, short, is hit by a candle that just touches it."""
    for k in range(1, 100):
        level = float(f"99.{k:02d}") if side == LONG else float(f"100.{k:02d}")
        distance = 1.0 - k / 100 if side == LONG else k / 100
        candles = make_candles([FLAT_100, FLAT_100, (100.0, max(100.0, level), min(100.0, level), 100.0)])

        outcome = run_script(
            candles,
            {0: Decision(side, stop_distance=distance)},
            market={**FREE, "is_perpetual": True, "tick_size": 0.01},
        )

        assert outcome.trades["exit_price"].tolist() == [level]
