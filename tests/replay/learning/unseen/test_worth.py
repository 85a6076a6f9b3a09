"""What inputs are worth on rows that a model has not seen: of a planted edge, of one that has ended, of a retraining."""

from typing import Any

import numpy as np
import pytest

from papertape.engine.model import read_artefact
from papertape.engine.model.dataset import Dataset
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.challenge import challenge
from papertape.replay.learning.evidence import outcomes
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.unseen.worth import worth_of
from tests.support.planted_rows import HOUR_MS, due_times, planted_rows, quick_settings

NAMES = ("log_return_1", "log_return_6", "rsi_14")
DUE_MS = due_times(80, 80)[0]


def twice_told(ends: bool = False) -> Dataset:
    """Return rows whose first two columns say where the next candle goes, until the gate's rows where that ends; a third says nothing."""
    rows = planted_rows()
    noise = np.random.default_rng(9).normal(size=rows.x.shape)
    x = np.concatenate([rows.x[..., :1], rows.x[..., :1] + 0.1 * noise[..., :1], noise[..., 1:]], axis=2)
    if ends:
        x[:, rows.time_ms > DUE_MS - quick_settings().gate_ms, :2] *= -1.0
    return rows._replace(x=x, columns=NAMES)


def attempted(rows: Dataset, **changes: Any) -> Attempt:
    return challenge(rows, DUE_MS, quick_settings(features=NAMES, **changes), None, train_model)


@pytest.fixture(scope="module")
def found() -> Attempt:
    return attempted(twice_told())


def test_inputs_that_say_the_same_are_told_together_with_limits(found: Attempt) -> None:
    worth = found.gate["worth"]

    assert [group["inputs"] for group in worth["groups"]] == [["log_return_1", "log_return_6"], ["rsi_14"]]
    edge, noise = worth["groups"]
    assert edge["lower"] > 0.05
    assert edge["lower"] < edge["value"] < edge["upper"]
    assert abs(noise["value"]) < 0.02
    # 15 days of hours, of whose last two nobody knows yet how they ended
    assert worth["rows"] == 15 * 24 - 2
    assert found.record["gate"]["worth"] == worth
    assert read_artefact(found.artefact).record.gate["worth"] == worth


def test_the_same_rows_give_the_same_worth(found: Attempt) -> None:
    again = attempted(twice_told())

    assert again.artefact == found.artefact


def test_an_edge_that_has_ended_is_worth_less_than_nothing_whatever_training_saw() -> None:
    ended = attempted(twice_told(ends=True))

    assert ended.record["importance"]["log_return_1"] > 0.02
    by_name = {group["inputs"][0]: group for group in ended.gate["worth"]["groups"]}
    assert by_name["log_return_1"]["upper"] < -0.05


@pytest.mark.parametrize("horizon_bars", [24, 300])
def test_a_long_horizon_is_judged_on_blocks_enough(found: Attempt, horizon_bars: int) -> None:
    artefact = read_artefact(found.artefact)
    rows = planted_rows(4_000, n_symbols=2)._replace(symbols=(artefact.record.symbols[0], "LATE"))
    rows = rows._replace(x=np.concatenate([rows.x, rows.x[..., 1:]], axis=2), columns=NAMES)
    settings = quick_settings(features=NAMES, horizon_bars=horizon_bars)
    followed = outcomes(rows, quick_settings(features=NAMES))
    followed.y[1, : -7 * horizon_bars] = (
        np.nan
    )  # of the second symbol there are seven blocks, of which it is left out

    worth = worth_of(artefact, rows, followed, settings)

    assert worth["rows"] == max(1_000, 8 * horizon_bars)
    (edge,) = [group for group in worth["groups"] if "log_return_1" in group["inputs"]]
    assert edge["lower"] > 0.05


def test_too_few_rows_are_worth_nothing_to_be_told() -> None:
    attempt = attempted(twice_told(), gate_ms=9 * HOUR_MS)  # seven rows, of two bars each

    assert attempt.gate  # it was trained and judged
    assert "worth" not in attempt.gate


def test_an_attempt_says_which_inputs_were_selected_and_its_model_says_so_once() -> None:
    attempt = attempted(twice_told(), options={"select": "stability"})

    assert set(attempt.gate["selection"]) == set(NAMES)
    assert attempt.record["selection"] == attempt.gate["selection"]
    assert "selection" not in attempt.record["gate"]
    assert attempt.record["gate"]["worth"] == attempt.gate["worth"]
