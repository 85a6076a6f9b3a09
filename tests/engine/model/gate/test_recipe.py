"""The recipe's state by hand: capital, passing, fading, and whether a newer model is surely worse."""

import math
from dataclasses import replace

import numpy as np
import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.model.gate.bets import Unseen, bet
from papertape.engine.model.gate.gate import GateOptions
from papertape.engine.model.gate.recipe import SHARES, RecipeOptions, RecipeState, judge, surely_worse
from papertape.replay.research.gate_study import NOISES

RULES = RecipeOptions()


def after(state: RecipeState, *factors: float) -> RecipeState:
    """Return the state after blocks of ten rows in which both bettors fare alike."""
    for factor in factors:
        state = state.after(10, (factor, factor), RULES)
    return state


def test_capital_is_the_mean_of_the_bettors_by_their_shares() -> None:
    state = RecipeState().after(7, (1.5, 0.5), RULES).after(8, (2.0, 1.0), RULES)

    assert state.capital == pytest.approx(SHARES[0] * 3.0 + SHARES[1] * 0.5)
    assert (state.blocks, state.rows) == (2, 15)
    assert math.fsum(SHARES) == 1.0


def test_it_passes_at_one_over_alpha_and_not_before() -> None:
    almost = after(RecipeState(), 4.0, 4.9)  # 19.6
    passed = after(almost, 1.03)  # 20.2

    assert not almost.is_passed
    assert passed.is_passed
    assert (passed.passes, passed.highest) == (1, pytest.approx(20.188))


def test_it_fades_after_a_fall_from_its_highest_and_begins_anew() -> None:
    passed = after(RecipeState(), 20.0 * (1.0 + 1e-9))
    # A fall by 20 from 20: to 1.
    assert after(passed, 1.01 / 20.0).is_passed
    faded = after(passed, 0.99 / 20.0)
    assert faded == RecipeState(blocks=2, rows=20, passes=1, fades=1)
    # From 400 = 20² twice as much is needed: what has shown more is asked for a longer fall.
    higher = after(passed, 20.0)
    assert RULES.fall(higher.highest) == pytest.approx(40.0)
    assert after(higher, 1.01 / 40.0).is_passed
    assert not after(higher, 0.99 / 40.0).is_passed
    assert after(faded, 19.9).passes == 1
    assert after(faded, 20.1).passes == 2


def test_judging_in_parts_is_judging_each_block_once() -> None:
    random = np.random.default_rng(1)
    unseen = Unseen(
        np.arange(400),
        np.zeros(400, int),
        random.integers(0, 2, 400).astype(float),
        random.uniform(0.4, 0.6, 400),
        100,
        399,
        4,
    )
    state, points = judge(RecipeState(), unseen, RULES)

    factors = bet(unseen).factors
    assert len(points) == state.blocks == len(factors)
    logs = np.log(factors).sum(axis=0)
    assert state.logs == pytest.approx(tuple(logs))
    assert points[-1].capital == state.capital
    assert RecipeState.from_json(state.to_json()) == state


def test_a_challenger_is_surely_worse_only_beside_a_champion_that_is_surely_better() -> None:
    random = np.random.default_rng(3)
    known = NOISES["identical"](random, 720, 12)
    options = GateOptions(resamples=200)

    assert surely_worse(known, options) == ""  # they are the same
    noise = np.clip(random.normal(0.5, 0.2, 720), 0.05, 0.95)
    worse = known._replace(probabilities={**known.probabilities, "challenger": noise})
    assert "is surely above the champion's" in surely_worse(worse, options)
    alone = {name: p for name, p in worse.probabilities.items() if name != "champion"}
    assert surely_worse(worse._replace(probabilities=alone), options) == ""


def test_alpha_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"alpha 0\.5 is not between 0 and 0\.5"):
        replace(RULES, alpha=0.5)
