"""The honesty study at small sizes: an honest pipeline passes, and every planted defect fails the row that is made for it."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from papertape.engine.errors import ConfigError, DataError
from papertape.replay.honesty import HonestyOptions, HonestyRow, honesty, pipeline, run_honesty
from papertape.replay.honesty.defects import PLANTS, planted
from papertape.replay.honesty.edge import edges, shuffled
from papertape.replay.honesty.leaks import first_difference, leaks, look_ahead
from papertape.replay.honesty.noise import noise
from papertape.replay.honesty.recipe import recipes
from papertape.replay.honesty.signals import best_accuracy, conditional, signals
from papertape.replay.honesty.study import Part
from tests.support.helpers import needs_torch

QUICK = HonestyOptions.quick()


@pytest.fixture(scope="module")
def honest() -> list[HonestyRow]:
    return list(honesty(QUICK))


def test_the_pipeline_is_honest(honest: list[HonestyRow]) -> None:
    assert [row.part for row in honest] == [*"aaabbcddeeefffgggg"]
    for row in honest:
        assert row.is_fine, row
        assert row.found
        assert row.expected


def test_another_seed_is_another_market_and_as_honest(honest: list[HonestyRow]) -> None:
    others = list(honesty(HonestyOptions.quick(seed=2), parts=(noise, edges, leaks, signals)))

    assert all(row.is_fine for row in others)
    before = [row.found for row in honest if row.part != "f"]
    assert [row.found for row in others] != before


FAILS: dict[str, tuple[Part, set[str]]] = {
    "gate": (noise, {"a"}),
    "scaling": (leaks, {"e"}),
    "purge": (leaks, {"d"}),
    "look-ahead": (noise, {"a"}),
    "shuffle": (edges, {"c"}),
    "labels": (edges, {"b"}),
    "twice": (recipes, {"f"}),
    "overlap": (recipes, {"f"}),
    "peek": (recipes, {"f"}),
    "early": (signals, {"g"}),
    "horizon": (leaks, {"d"}),
    "neither": (edges, {"b"}),
}


# Two plants show that part f can fail; one of them is enough in the short run.
MARKED = [pytest.param(p, marks=pytest.mark.slow if p == "overlap" else []) for p in PLANTS]


@pytest.mark.parametrize("plant", MARKED)
def test_every_planted_defect_fails_a_row(plant: str, honest: list[HonestyRow]) -> None:
    part, expected = FAILS[plant]
    how = replace(QUICK, years=0.5) if part is recipes else QUICK
    rows = list(honesty(how, plant=plant, parts=(part,)))

    assert {row.part for row in rows if not row.is_fine} == expected
    if part is recipes:  # it takes seconds, and one of the others says that a plant is gone afterwards
        return
    # It is gone afterwards: the same part passes again.
    again = [row.found for row in honesty(QUICK, parts=(part,))]
    assert again == [row.found for row in honest if row.part in {r.part for r in rows}]


def test_a_planted_look_ahead_is_found_by_recomputation_as_well() -> None:
    rows = {row.what: row for row in honesty(QUICK, plant="look-ahead", parts=(leaks,))}

    assert not rows["inputs computed again on cut tapes"].is_fine


def test_a_plant_is_taken_out_when_the_study_is_broken_off() -> None:
    kept = pipeline.rows_of

    def break_off() -> None:
        with planted("look-ahead"):
            assert pipeline.rows_of is not kept
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert pipeline.rows_of is kept


def test_a_look_ahead_changes_with_the_candles_that_come_and_honest_rows_do_not() -> None:
    candles = pipeline.market("noise", 1, 3).candles

    assert first_difference(candles, pipeline.rows_of, 1) == ""
    assert "log_return_1 differs" in first_difference(
        candles, lambda some: look_ahead(pipeline.rows_of(some)), 1
    )


def test_candles_go_on_after_busy_ones_as_often_as_was_planted() -> None:
    noise = pipeline.market("noise", 24, 3).candles
    candles = conditional(noise, 0.5, 3)

    body = np.log(candles["close"] / candles["open"])
    size = np.abs(np.log(noise["close"] / noise["open"]))
    np.testing.assert_allclose(np.abs(body), size, rtol=1e-6, atol=1e-12)
    span = np.log(candles["high"] / candles["low"])
    np.testing.assert_allclose(span, np.log(noise["high"] / noise["low"]), rtol=1e-6)
    assert (candles["open"][1:] == candles["close"][:-1]).all()
    goes_on = np.sign(body[1:]) == np.sign(body[:-1])
    is_busy = candles["volume"][:-1] == 3.0
    n = len(body)
    # standard errors of shares over half of the candles
    error = (0.25 / (n / 2)) ** 0.5
    assert abs(is_busy.mean() - 0.5) < 3.0 * error
    assert abs(goes_on[is_busy].mean() - 0.75) < 4.0 * error
    assert abs(goes_on[~is_busy].mean() - 0.25) < 4.0 * error
    # a judge who sees the volume alone, on what a trade of one candle would have earned
    pays = np.where(goes_on, 1.0, -1.0) * size[1:] > 0.0013
    assert abs(np.mean(pays == is_busy) - best_accuracy(0.5, 0.0013)) < 4.0 * error


def test_shuffling_keeps_every_input_row_and_every_price() -> None:
    rows = pipeline.market("noise", 1, 3).rows
    other = shuffled(rows, 5)

    assert not np.array_equal(other.x, rows.x, equal_nan=True)
    np.testing.assert_array_equal(np.sort(other.x[0, :, 0]), np.sort(rows.x[0, :, 0]))
    np.testing.assert_array_equal(other.close, rows.close)


def test_promoted_models_trade_through_the_broker_and_none_trade_nothing() -> None:
    known = pipeline.market("edge", 1, 8, 0.6)
    how = pipeline.settings("logistic", QUICK, label="direction", horizon_bars=1)
    made = pipeline.attempts(known.rows, how, 1)

    assert [attempt.is_promoted for attempt in made] == [True]
    money = pipeline.traded(known.candles, made, 0.06)
    assert money.n_trades > 50
    assert money.net_return > 0.0
    assert pipeline.traded(known.candles, [], 0.06) == (0.0, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks": ("lstmm",)}, "'lstmm' is no network"),
        ({"networks": ("logistic",)}, "'logistic' is no network"),
        ({"attempts": 0}, "attempts 0 is below 1"),
        ({"edge": 1.0}, "edge 1.0 is not between 0 and 1"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        HonestyOptions(**changes)  # type: ignore[arg-type]


def test_a_study_in_another_process_that_fails_says_how() -> None:
    with pytest.raises(DataError, match=r"ended with code 3 without a result: gone"):
        run_honesty(QUICK, command=(sys.executable, "-c", "import sys; sys.stderr.write('gone'); exit(3)"))


@needs_torch
@pytest.mark.slow
def test_networks_find_what_only_they_can_and_nothing_in_noise() -> None:
    options = HonestyOptions(networks=("lstm",), attempts=2, boundaries=60, histories=20, years=0.5)
    told: list[HonestyRow] = []
    rows = run_honesty(options, told.append)

    assert rows == told
    assert all(row.is_fine for row in rows), [row for row in rows if not row.is_fine]
    assert {"random walk, lstm", "edge of 63.1%, lstm", "pattern of 75.0%, lstm"} <= {
        row.what for row in rows
    }
