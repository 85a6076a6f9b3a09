"""The gate's measured error and power, against the binomial law; the planted edges against their formula."""

import math

import numpy as np
import pytest
import scipy.stats

from papertape.engine.model.gate.gate import GateOptions
from papertape.replay.research.gate_study import NOISES, GateStudyOptions, chance_of_more, gate_study
from papertape.replay.research.planted import planted_edge


@pytest.mark.parametrize(("count", "runs", "rate"), [(0, 10, 0.1), (3, 10, 0.1), (31, 400, 0.05)])
def test_chance_of_more_is_the_binomial_tail(count: int, runs: int, rate: float) -> None:
    exact = scipy.stats.binom.sf(count - 1, runs, rate)
    assert chance_of_more(count, runs, rate) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("accuracy", [0.55, 0.65])
def test_a_planted_edge_has_the_accuracy_that_it_says_and_true_probabilities(accuracy: float) -> None:
    n, horizon = 200_000, 12
    found = planted_edge(np.random.default_rng(2), n, horizon, accuracy)
    p, y = found.probability, found.outcomes
    # Signal and labels are remembered for some 24 + 12 bars: that many rows are about one.
    error = math.sqrt(0.25 * 72 / n)

    assert np.mean((p > 0.5) == (y == 1.0)) == pytest.approx(accuracy, abs=4 * error)
    assert np.mean(p) == pytest.approx(np.mean(y), abs=4 * error)
    assert np.mean(p[p > 0.6]) == pytest.approx(np.mean(y[p > 0.6]), abs=8 * error)


def test_noise_is_refused_and_a_strong_edge_is_not() -> None:
    rows = list(
        gate_study(
            GateStudyOptions(runs=40, rows=480, horizon_bars=6, accuracies=(0.7,)), GateOptions(resamples=200)
        )
    )

    assert [row.case for row in rows] == [*NOISES, "edge"]
    for row in rows[:-1]:
        assert row.is_fine
        # In 40 runs at 5 % more than 6 happen in less than 1 of 100 studies.
        assert row.promotions <= 6
    assert rows[-1].rate > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "horizon_bars"), [(720, 12), (720, 24), (2_160, 24)])
def test_false_promotions_stay_within_the_level(rows: int, horizon_bars: int) -> None:
    study = GateStudyOptions(runs=500, rows=rows, horizon_bars=horizon_bars, accuracies=(), seed=2)
    found = {row.case: row for row in gate_study(study, GateOptions(resamples=500))}

    for row in found.values():
        assert chance_of_more(row.promotions, row.runs, 0.05) > 0.01, row
    # The case on the boundary is near the level: the gate is no dead wall.
    assert scipy.stats.binom.cdf(found["mirrored"].promotions, 500, 0.05) > 0.001
