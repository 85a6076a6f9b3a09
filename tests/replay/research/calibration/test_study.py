"""The study: any number of workers measures the same, and an error for independent days is noticed."""

import math

import pytest
from scipy import stats

from papertape.engine.errors import ConfigError
from papertape.replay.research.calibration import claims
from papertape.replay.research.calibration.claims import CLAIMS
from papertape.replay.research.calibration.study import ALL, CalibrationOptions, ClaimRate, calibrate, wilson

SHAPE = "overlapping"


def one_row(claim: str, runs: int = 100, workers: int = 1) -> ClaimRate:
    options = CalibrationOptions(runs, (claim,), (SHAPE,), workers=workers)
    first, over_all = calibrate(options)
    assert over_all.shape == ALL
    assert over_all.rate == first.rate
    return first


def test_workers_change_nothing() -> None:
    seen: list[int] = []
    options = CalibrationOptions(120, ("DSR",), ("independent", SHAPE), workers=2)

    found = calibrate(options, lambda what, done, of: seen.append(done))

    alone = calibrate(CalibrationOptions(120, ("DSR",), ("independent", SHAPE)))
    assert found == alone
    assert seen == list(range(1, 9))


def test_an_error_for_independent_days_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert one_row("PSR").is_fine

    monkeypatch.setattr(claims, "sharpe_error", lambda waves, n_days: 1.0 / math.sqrt(n_days))
    planted = one_row("PSR")

    assert not planted.is_fine
    assert planted.low > 0.07


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_statistic_is_asked_and_finds_what_is_planted(claim: str) -> None:
    row = one_row(claim, runs=12)

    assert row.power >= 0.5
    assert row.rate <= 0.5 or claim == claims.UNJUDGED


def test_an_interval_is_that_of_scipy() -> None:
    for found, runs in ((0, 40), (7, 100), (55, 1_000)):
        theirs = stats.binomtest(found, runs).proportion_ci(method="wilson")
        assert wilson(found, runs) == pytest.approx((theirs.low, theirs.high), abs=1e-5)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"shap: unknown"):
        CalibrationOptions(10, shapes=("shap",))
    with pytest.raises(ConfigError, match="at least 1"):
        CalibrationOptions(0)
