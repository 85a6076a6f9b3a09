"""What purgedcv and skfolio define as we do, asked of both; `make test-slow` installs them, for nothing else needs their 200 MB."""

from importlib.util import find_spec

import numpy as np
import pytest

from papertape.engine.model.training.parts import purged_parts
from papertape.engine.performance.overfitting import overfitting
from papertape.engine.performance.significance import expected_best_sharpe
from papertape.replay.research.walkforward.windows import Plan, make_windows
from tests.engine.broker.risk.test_parity import PER_DAY, RISK_DAYS, run, shares, spec_of, walks
from tests.engine.performance.test_overfitting import drawn

HOUR_MS = 3_600_000
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("purgedcv") is None or find_spec("skfolio") is None,
        reason="the extra `oracles` is not installed; `make test-slow` installs it",
    ),
]


@pytest.mark.parametrize(("n_trials", "slices", "edge"), [(9, 6, 0.0), (20, 10, 0.0), (20, 10, 0.003)])
def test_overfitting_is_that_of_purgedcv(n_trials: int, slices: int, edge: float) -> None:
    from purgedcv import probability_of_backtest_overfitting

    returns = drawn(slices * 30, n_trials, edge)

    found, theirs = (overfitting(returns, slices), probability_of_backtest_overfitting(returns.T, slices))

    assert found is not None
    before, after = theirs.is_oos_performance.T
    # A logit of 0, which 9 trials can have, counts here as in the source, and not there.
    assert found.probability == np.mean(theirs.logits < 1e-12)
    assert found[1:] == pytest.approx((np.mean(after - before), np.mean(after < 0.0), theirs.n_combos))


@pytest.mark.parametrize("trials", [2, 84, 100_000])
def test_what_the_best_of_many_shows_by_luck_is_that_of_purgedcv(trials: int) -> None:
    from purgedcv import deflated_sharpe_ratio_full

    theirs = deflated_sharpe_ratio_full(drawn(200, 1)[:, 0], trials, var_sharpe=0.03**2)

    assert expected_best_sharpe(trials, 0.03) == pytest.approx(theirs.sr_star)


@pytest.mark.parametrize("embargo", [0, 7])
def test_rows_that_a_later_part_purges_are_those_of_purgedcv(embargo: int) -> None:
    import pandas as pd
    from purgedcv import purge

    random = np.random.default_rng(3)
    known = np.arange(200) + random.integers(1, 30, 200)
    opens = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(200), "h")
    # A label is known when the candle closes at which it is known.
    ends = pd.Timestamp("2024-01-01") + pd.to_timedelta(known + 1, "h")

    first, second, third = purged_parts(known, np.ones(200, bool), (0.5, 0.2, 0.3), embargo)

    for part, rows, later in (
        (first, range(100), range(100, 140)),
        (second, range(100, 140), range(140, 200)),
    ):
        kept = purge(np.array(rows), np.array(later), opens, ends, pd.Timedelta(hours=embargo))
        assert np.flatnonzero(part).tolist() == kept.tolist()
        assert 0 < len(kept) < len(rows) - embargo
    assert np.flatnonzero(third).tolist() == list(range(140, 200))


@pytest.mark.parametrize("is_anchored", [False, True])
@pytest.mark.parametrize("purge", [0, 13])
def test_windows_of_a_walk_forward_are_those_of_skfolio(purge: int, is_anchored: bool) -> None:
    from skfolio.model_selection import WalkForward

    plan = Plan(90 * HOUR_MS, 24 * HOUR_MS, purge * HOUR_MS, 0, is_anchored)
    theirs = WalkForward(test_size=24, train_size=90, purged_size=purge, expand_train=is_anchored)

    windows = make_windows(plan, 0, 500 * HOUR_MS, HOUR_MS)

    ours = [
        (
            list(range(one.train_ms // HOUR_MS, one.seen_ms // HOUR_MS)),
            list(range(one.test_ms // HOUR_MS, one.end_ms // HOUR_MS)),
        )
        for one in windows
    ]
    assert ours == [(seen.tolist(), tried.tolist()) for seen, tried in theirs.split(np.zeros((500, 1)))]
    assert len(ours) == (500 - 90 - purge) // 24


@pytest.mark.parametrize("n", [2, 7])
def test_parts_by_risk_parity_are_those_of_skfolio(n: int) -> None:
    from skfolio.optimization import RiskBudgeting

    tapes = walks(n, 100)
    closes = np.stack([tape["close"][PER_DAY - 1 :: PER_DAY] for tape in tapes])
    returns = (closes[:, 1:] / closes[:, :-1] - 1.0)[:, -RISK_DAYS:].T
    # No mean is taken off here: with every day and its opposite there is none to take off. In percent, for its solver's sake.
    theirs = RiskBudgeting().fit(100.0 * np.vstack([returns, -returns]))

    found = shares(run(spec_of("ABCDEFG"[:n]), tapes))
    assert found == pytest.approx(theirs.weights_.tolist(), abs=3e-6)
