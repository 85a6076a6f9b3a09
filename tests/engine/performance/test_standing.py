"""How a run stands among trials of other lengths: by hand, by what luck shows, and as results of before said it."""

import math
from statistics import stdev

import numpy as np
import pytest

from papertape.engine.performance.significance import expected_best_sharpe, probability_above, sharpe_spread
from papertape.engine.performance.standing import Standing

FOUR_YEARS, SIXTY = 1_461, 60
N_LEDGERS = 200


def metrics(daily_sharpe: float, days: int) -> dict[str, float | None]:
    """The metrics of a run of independent normal days: its error is 1 ÷ √days a day."""
    return {
        "sharpe": daily_sharpe * math.sqrt(365.0),
        "sharpe_standard_error": math.sqrt(365.0 / days),
        "days": days,
    }


def shares(lengths: list[int], edge: float = 0.0) -> tuple[float, float]:
    """
    Return in which share of ledgers any trial is deflated to 95 % and above, and in which the first one is.

    edge  of the first, in standard errors; the others have no skill, and a Sharpe ratio of n days scatters by 1 ÷ √n
    """
    random = np.random.default_rng(3)
    found = np.zeros(2)
    for _ in range(N_LEDGERS):
        z = random.normal(size=len(lengths))
        z[0] += edge
        shown = [(one / math.sqrt(days), days) for one, days in zip(z.tolist(), lengths, strict=True)]
        standing = Standing(len(lengths), spread=sharpe_spread(shown), spread_trials=len(lengths))
        # Of one length the highest Sharpe ratio is the least deflated.
        best = [max(one for one in shown if one[1] == days) for days in set(lengths)]
        told = [(standing.deflated(metrics(*one)) or 0.0) >= 0.95 for one in (shown[0], *best)]
        found += any(told), told[0]
    return float(found[0]) / N_LEDGERS, float(found[1]) / N_LEDGERS


def test_the_spread_weighs_every_trial_by_its_days() -> None:
    """SR̄ = (100 · 0.2 + 400 · 0.1) ÷ 500 = 0.12; 100 · 0.08² + 400 · 0.02² = 0.8, over one."""
    assert sharpe_spread([(0.2, 100), (0.1, 400)]) == pytest.approx(math.sqrt(0.8), rel=1e-12)
    assert sharpe_spread([(0.2, 100)]) is None
    # What all earn a day alike is no spread, whatever their lengths.
    assert sharpe_spread([(1.2, 100), (1.1, 400)]) == pytest.approx(math.sqrt(0.8), rel=1e-12)


def test_for_trials_of_one_length_it_is_their_standard_deviation() -> None:
    sharpes = np.random.default_rng(1).normal(size=50).tolist()
    standing = Standing(50, spread=sharpe_spread([(one, 212) for one in sharpes]), spread_trials=50)

    assert standing.deviation_over(212) == pytest.approx(stdev(sharpes), rel=1e-12)
    # Over four times the days luck shows half as much.
    assert standing.deviation_over(848) == pytest.approx(stdev(sharpes) / 2, rel=1e-12)


def test_without_skill_it_is_one_whatever_the_lengths() -> None:
    """The mean of 200 variances with 99 degrees of freedom has an error of √(2 ÷ 99 ÷ 200) = 1 %."""
    random = np.random.default_rng(2)
    lengths = [FOUR_YEARS] * 40 + [SIXTY] * 60

    squares = [
        (sharpe_spread([(float(random.normal()) / math.sqrt(n), n) for n in lengths]) or 0.0) ** 2
        for _ in range(N_LEDGERS)
    ]

    assert np.mean(squares) == pytest.approx(1.0, abs=0.04)


def test_the_threshold_is_of_the_days_that_are_judged() -> None:
    """A spread of 0.9 over 365 days is 0.9 a year, over 1460 half of it; the best of ten is 1.5746 deviations up."""
    standing = Standing(10, spread=0.9, spread_trials=10)

    assert expected_best_sharpe(10, 1.0) == pytest.approx(1.5746, abs=1e-4)
    assert standing.threshold(1.0, 365) == pytest.approx(0.9 * 1.5746, abs=1e-4)
    assert standing.threshold(1.0, 1460) == pytest.approx(0.45 * 1.5746, abs=1e-4)
    # Where no spread is known it is what a run without skill has by itself.
    assert Standing(10).threshold(0.7, 365) == pytest.approx(0.7 * 1.5746, abs=1e-4)


@pytest.mark.parametrize(("long", "short"), [(100, 0), (90, 10), (50, 50), (990, 10)])
def test_luck_is_called_luck_and_an_edge_is_found_beside_trials_of_any_length(long: int, short: int) -> None:
    """
    Without skill at most 5 % of ledgers have any; an edge of six standard errors is found beside any.

    The deviation of all Sharpe ratios together finds it in 90 %, 33 %, 0 % and 79 %.
    """
    lengths = [FOUR_YEARS] * long + [SIXTY] * short

    assert shares(lengths)[0] <= 0.05
    assert shares(lengths, edge=6.0)[1] >= (0.88)


def test_whose_spread_it_is_stands_beside_it_where_it_is_not_that_of_all() -> None:
    run = metrics(0.1, 365)

    assert len(Standing(3, spread=1.0, spread_trials=3).sentences(run)) == 1
    assert "is of 2 of them" in Standing(3, spread=1.0, spread_trials=2).sentences(run)[-1]
    assert "to be this one's own error" in Standing(3, spread_trials=1).sentences(run)[-1]


def test_a_result_of_before_days_were_counted_stays_as_it_was() -> None:
    """Its deviation is that of all Sharpe ratios, whatever their days, and its figures follow from that."""
    run = metrics(0.15, 365)
    dsr = probability_above(0.15, expected_best_sharpe(5, 0.03), 1 / math.sqrt(365.0), 365)
    saved = {"trials": 5, "deviation": 0.03, "problem": "", "ledger": "one", "sequence": 5, "head": "hash"}

    again = Standing.of_json({**saved, "deflated_sharpe": dsr})

    assert again.section(run) == {**saved, "deflated_sharpe": pytest.approx(dsr, rel=1e-9)}
    assert len(again.sentences(run)) == 1


def test_a_section_comes_back_as_it_was() -> None:
    run = metrics(0.15, 365)
    standing = Standing(5, None, "", "one", 5, "hash", 0.97, 4)

    section = standing.section(run)

    assert section["deviation"] == pytest.approx(0.97 / math.sqrt(365.0))
    assert Standing.of_json(section).section(run) == section
    for damaged in ({**section, "spread": "1"}, {**section, "spread_trials": True}):
        with pytest.raises(ValueError, match="is none of its values"):
            Standing.of_json(damaged)
