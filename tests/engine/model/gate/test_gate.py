"""The gate: what it asks, what it refuses and how it says so, on hand-made evidence."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.errors import ConfigError, DataError
from papertape.engine.model.gate.gate import Evidence, GateOptions, gate

N = 600


def evidence(strength: float = 1.0, seed: int = 3, **changes: Any) -> Evidence:
    """Return independent rows whose outcome has log-odds `strength` times a signal that the challenger knows."""
    random = np.random.default_rng(seed)
    p = 1.0 / (1.0 + np.exp(-strength * random.choice([-1.0, 1.0], N)))
    y = (random.uniform(size=N) < p).astype(np.float64)
    paid = np.where(y == 1.0, 0.01, -0.01)
    found = Evidence(
        bar=np.arange(N),
        y=y,
        long_return=paid,
        short_return=-paid,
        probabilities={"challenger": p, "logistic": np.full(N, 0.51)},
        majority=0.52,
        cost=0.001,
        horizon_bars=1,
    )
    return found._replace(**changes)


def passed(found: Evidence, options: GateOptions | None = None) -> dict[str, bool]:
    return {criterion.name: criterion.is_passed for criterion in gate(found, options).criteria}


def test_a_challenger_that_knows_something_is_promoted_and_the_sentence_has_the_numbers() -> None:
    verdict = gate(evidence())

    assert verdict.is_promoted
    assert all(criterion.is_passed for criterion in verdict.criteria)
    for words in ("promoted: log-loss", "the majority's", "the logistic's", "net return per trade"):
        assert words in verdict.reason
    assert verdict.told["rows"] == N


def test_a_challenger_that_knows_nothing_is_refused_in_one_sentence() -> None:
    random = np.random.default_rng(8)
    noise = 1.0 / (1.0 + np.exp(-random.normal(0.0, 0.5, N)))
    known = evidence()

    verdict = gate(known._replace(probabilities={**known.probabilities, "challenger": noise}))

    assert not verdict.is_promoted
    assert verdict.reason.startswith("refused: log-loss ")
    assert "is not below the majority's" in verdict.reason
    assert verdict.reason.endswith("; 2 more of 3 not met")


def test_numbers_of_a_contender_are_those_of_a_hand_count() -> None:
    """Six rows: two longs (one right), two shorts (both right), one in the middle, one whose outcome is a tie."""
    y = np.array([1.0, 0.0, 0.0, 0.0, 1.0, np.nan])
    p = np.array([0.7, 0.6, 0.3, 0.4, 0.5, 0.8])
    long = np.array([0.02, -0.01, -0.03, -0.02, 0.01, 0.005])
    short = np.array([-0.02, 0.01, 0.02, 0.03, -0.01, 0.005])
    verdict = gate(
        Evidence(np.arange(6), y, long, short, {"challenger": p}, 0.5, 0.001, 1),
        GateOptions(least_rows=2, least_blocks=2, edge=0.05),
    )
    numbers = verdict.contenders["challenger"]

    # longs 0.02 −0.01 0.005 (the tie counts into what was earned), shorts 0.02 0.03, five costs
    assert numbers["trades"] == 5
    assert numbers["net_return"] == pytest.approx((0.02 - 0.01 + 0.005 + 0.02 + 0.03 - 0.005) / 5)
    assert numbers["net_per_row"] == pytest.approx(0.06 / 6)
    assert numbers["rows"] == 5
    told = -sum(math.log(x) for x in (0.7, 0.4, 0.7, 0.6, 0.5)) / 5
    assert numbers["log_loss"] == pytest.approx(told)
    assert numbers["accuracy"] == pytest.approx(4 / 5)
    assert verdict.contenders["majority"]["log_loss"] == pytest.approx(math.log(2.0))
    assert verdict.contenders["majority"]["trades"] == 0
    assert verdict.contenders["majority"]["net_return"] is None


def test_each_criterion_alone_refuses() -> None:
    known = evidence()
    better = np.where(known.y == 1.0, 0.75, 0.25)
    mine = known.probabilities["challenger"]
    flat = np.full(N, 0.5)
    with_champion = {**known.probabilities, "champion": flat}

    rich = known._replace(majority=0.5, probabilities=with_champion)
    assert all(passed(rich).values())
    assert len(passed(rich)) == 5

    cases = {
        "log_loss_below_logistic": rich._replace(probabilities={**with_champion, "logistic": better}),
        "net_return_above_0": known._replace(majority=0.5, cost=0.02),
    }
    for name, spoilt in cases.items():
        assert [n for n, ok in passed(spoilt).items() if not ok] == [name]
        assert not gate(spoilt).is_promoted
    # A champion with the same sides but surer has more log-loss and earns the same; one that is right always beats both.
    surer = np.where(mine > 0.5, 0.99, 0.01)
    assert passed(rich._replace(probabilities={**with_champion, "champion": surer}))[
        "net_return_not_below_champion"
    ]
    spoilt = rich._replace(probabilities={**with_champion, "champion": better})
    assert [n for n, ok in passed(spoilt).items() if not ok] == [
        "log_loss_below_champion",
        "net_return_not_below_champion",
    ]


def test_a_challenger_equal_to_the_champion_stays_out() -> None:
    known = evidence()
    twin = {**known.probabilities, "champion": known.probabilities["challenger"].copy()}

    found = {c.name: c for c in gate(known._replace(probabilities=twin)).criteria}

    assert found["log_loss_below_champion"].lower == 0.0
    assert not found["log_loss_below_champion"].is_passed


def test_rivals_that_are_not_asked_for_do_not_count() -> None:
    known = evidence()
    better = {**known.probabilities, "logistic": np.where(known.y == 1.0, 0.75, 0.25)}

    assert not gate(known._replace(probabilities=better)).is_promoted
    assert gate(
        known._replace(probabilities=better), GateOptions(rivals=("majority", "champion"))
    ).is_promoted


def test_too_little_evidence_is_refused_whatever_it_says() -> None:
    known = evidence()

    few = gate(known, GateOptions(least_rows=N + 1))
    blocks = gate(known._replace(horizon_bars=60))
    one_sided = gate(known._replace(y=np.ones(N)))
    none = gate(known._replace(y=np.full(N, np.nan), long_return=np.full(N, np.nan)))

    for verdict in (few, blocks, one_sided, none):
        assert not verdict.is_promoted
        assert verdict.criteria == ()
    assert few.reason == ("refused: 600 rows with an outcome are fewer than 601; keep more for the gate")
    assert blocks.reason.startswith("refused: the rows hold 5 blocks of 120 bars, fewer than 8")
    assert one_sided.reason == "refused: every one of 600 rows has the same outcome"
    assert none.told["rows"] == 0


def test_a_row_without_an_opinion_of_everyone_is_left_out_for_everyone() -> None:
    known = evidence()
    logistic = known.probabilities["logistic"].copy()
    logistic[:100] = np.nan
    holed = gate(known._replace(probabilities={**known.probabilities, "logistic": logistic})).contenders
    cut = gate(
        known._replace(
            bar=known.bar[100:],
            y=known.y[100:],
            long_return=known.long_return[100:],
            short_return=known.short_return[100:],
            probabilities={name: p[100:] for name, p in known.probabilities.items()},
        )
    ).contenders

    assert holed == cut
    assert holed["challenger"]["rows"] == N - 100


def test_symbols_of_one_close_are_no_second_opinion() -> None:
    """The same rows once per symbol, at the same closes: as sure as one symbol, not surer."""
    known = evidence(strength=0.3)
    twice = Evidence(
        np.repeat(known.bar, 2),
        *(np.repeat(column, 2) for column in (known.y, known.long_return, known.short_return)),
        {name: np.repeat(p, 2) for name, p in known.probabilities.items()},
        *known[5:],
    )

    for one, two in zip(gate(known).criteria, gate(twice).criteria, strict=True):
        assert two.value == pytest.approx(one.value)
        assert two.lower == pytest.approx(one.lower)


def test_equal_seeds_give_equal_verdicts_as_json_without_nan() -> None:
    one, two = (json.dumps(gate(evidence()).to_json(), allow_nan=False) for _ in range(2))
    other = gate(evidence(), GateOptions(seed=8)).to_json()
    values = json.loads(one)

    assert one == two
    assert other["criteria"] != values["criteria"]
    assert set(values["contenders"]) == {"challenger", "logistic", "majority"}
    silent = evidence()._replace(probabilities={"challenger": np.full(N, 0.5)})
    told = json.loads(json.dumps(gate(silent).to_json(), allow_nan=False))
    assert told["criteria"][-1]["told"] == ("its probabilities never leave the middle far enough for a trade")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": np.zeros(3)}, "y of shape"),
        ({"y": np.full(N, 0.4)}, "neither 0, 1, one half nor unknown"),
        ({"bar": np.arange(N)[::-1]}, "order of time"),
        ({"majority": 1.5}, "majority 1.5"),
        ({"cost": -0.1}, "cost -0.1"),
        ({"horizon_bars": 0}, "horizon_bars 0"),
        ({"probabilities": {}}, "no probabilities of a challenger"),
        ({"probabilities": {"challenger": np.full(N, 1.2)}}, "of the challenger is not between"),
        (
            {"probabilities": {"challenger": np.full(N, 0.5), "oracle": np.full(N, 0.5)}},
            "'oracle' is no contender",
        ),
    ],
)
def test_evidence_that_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        gate(evidence(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": 0.0}, "alpha 0.0"),
        ({"resamples": 10}, "give 20 or more"),
        ({"block_horizons": 0.5}, "would cut labels that overlap"),
        ({"edge": 0.5}, "edge 0.5"),
        ({"rivals": ("majorty",)}, "did you mean 'majority'"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(GateOptions(), **changes)
