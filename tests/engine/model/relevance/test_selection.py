"""Stability selection: what is there is found, noise is not, nothing outside the training part counts, and halves know nothing of each other."""

from typing import Any

import numpy as np
import pytest

from papertape.engine.errors import ConfigError, DataError
from papertape.engine.model import TrainingOptions, read_artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.relevance import selection
from papertape.engine.model.relevance.selection import (
    FALSE,
    SHARE,
    Rows,
    entered,
    first_groups,
    stable_inputs,
)
from papertape.engine.model.training import train as training
from papertape.engine.model.training.diagnostics import measured
from papertape.engine.model.training.prepare import Prepared
from tests.support.planted import FEATURES, planted


def made(n: int, n_inputs: int, weights: dict[int, float], seed: int) -> Rows:
    """Return rows of one symbol whose label leans on some inputs, each known two rows later."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(1, n, n_inputs))
    z = sum((weight * x[0, :, place] for place, weight in weights.items()), np.zeros(n))
    y = (random.random(n) < 1.0 / (1.0 + np.exp(-z))).astype(float)[None]
    return Rows(x, y, np.ones((1, n)), (np.arange(n) + 2)[None], np.ones((1, n), bool))


def test_what_is_there_is_kept_and_what_is_not_is_left_out() -> None:
    found = stable_inputs(made(1_500, 30, {3: 0.5, 17: -0.4}, 1), 12, 7)

    assert found.kept == (3, 17)
    assert found.shares[[3, 17]].min() >= SHARE
    again = stable_inputs(made(1_500, 30, {3: 0.5, 17: -0.4}, 1), 12, 7)
    assert again.shares.tobytes() == found.shares.tobytes()


def test_of_noise_no_more_is_kept_than_the_bound_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def kept() -> float:
        each = [stable_inputs(made(120, 20, {}, seed), 5, seed) for seed in range(12)]
        # A model needs something to read: the one that was chosen most.
        assert all(len(found.kept) >= 1 for found in each)
        return float(np.mean([(found.shares >= SHARE).sum() for found in each]))

    # The bound is of the mean; it is a loose one, for it holds for whatever chooses.
    assert kept() <= FALSE
    q = first_groups(20)
    assert q**2 / ((2.0 * SHARE - 1.0) * 20) <= FALSE < (q + 1) ** 2 / ((2.0 * SHARE - 1.0) * 20)
    # What takes half of the groups from each half of the rows keeps more, and would be noticed.
    monkeypatch.setattr(selection, "first_groups", lambda n_groups: n_groups // 2)
    assert kept() > FALSE


def test_where_no_group_is_chosen_often_the_one_chosen_most_is_kept_and_no_second() -> None:
    rare = [
        found
        for found in (stable_inputs(made(120, 6, {}, seed), 5, seed) for seed in range(40))
        if found.shares.max() < SHARE
    ]

    assert any((found.shares == found.shares.max()).sum() > 1 for found in rare)
    assert all(found.kept == (int(found.shares.argmax()),) for found in rare)


def test_where_no_half_chooses_any_all_are_kept() -> None:
    rows = made(400, 4, {}, 1)
    rows.y[:] = 0.5  # neither side ever pays

    found = stable_inputs(rows, 5, 7)

    assert found.kept == (0, 1, 2, 3)
    assert (found.shares == 0.0).all()


def test_copies_are_kept_together_and_do_not_take_votes_from_each_other() -> None:
    rows = made(1_500, 20, {3: 0.6}, 1)
    rows.x[0, :, 11] = rows.x[0, :, 3] + 0.05 * np.random.default_rng(2).normal(size=1_500)

    assert stable_inputs(rows, 12, 7).kept == (3, 11)


def test_rows_outside_the_mask_and_labels_that_leave_their_block_change_nothing() -> None:
    rows = made(1_000, 10, {3: 0.6}, 1)
    rows.mask[:, 800:] = False
    first = stable_inputs(rows, 10, 7)

    rows.x[:, 800:] = 99.0
    rows.y[:, 800:] = 1.0
    # Blocks are of 40 rows: the last two rows of each are known in the next.
    crossing = np.arange(1_000) % 40 >= 38
    rows.y[:, crossing] = rows.x[:, crossing, 5] > 0.0
    other = stable_inputs(rows, 10, 7)

    assert other.shares.tobytes() == first.shares.tobytes()
    assert first.kept == (3,)


def test_too_few_rows_within_their_blocks_are_refused_with_the_number() -> None:
    rows = made(300, 5, {}, 1)._replace(known=(np.arange(300) + 29)[None])

    with pytest.raises(DataError, match=r"10 rows have a label .* block of 30, fewer than the 50"):
        stable_inputs(rows, 29, 7)


def lasso_order(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Return inputs in the order in which they leave zero along the lasso's path, by coordinate descent on a fine grid."""
    n, p = x.shape
    order: list[int] = []
    beta = np.zeros(p)
    highest = np.abs(x.T @ y).max() / n
    for strength in highest * np.linspace(1.0, 0.01, 200):
        for _ in range(20):
            for place in range(p):
                rest = y - x @ beta + x[:, place] * beta[place]
                pull = x[:, place] @ rest / n
                beta[place] = np.sign(pull) * max(abs(pull) - strength, 0.0)
        order += [place for place in np.flatnonzero(beta) if place not in order]
    return order


def test_inputs_enter_in_the_order_of_the_lassos_path() -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=(60, 4)) @ (np.eye(4) + 0.4)
    y = x @ np.array([1.0, -0.2, 0.6, 0.0]) + random.normal(size=60)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = (y - y.mean()) / y.std()

    assert list(entered(x.T @ x / 60, x.T @ y / 60)) == lasso_order(x, y)


OPTIONS = TrainingOptions(
    kind="logistic", features=FEATURES, label="direction", horizon_bars=1, select="stability"
)


def newest_learnt(dataset: Dataset) -> int:
    """Return the newest row that the weights of a model were fitted to."""
    seen: list[int] = []

    def spied(artefact: Any, symbols: Any, ready: Prepared, *rest: Any) -> dict[str, Any]:
        seen.append(int(np.flatnonzero(ready.train.any(axis=0))[-1]))
        return measured(artefact, symbols, ready, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "measured", spied)
        training.train(dataset, OPTIONS)
    return seen[0]


def is_blind_to_later_rows(dataset: Dataset) -> bool:
    """Return whether what is selected stays when everything after the rows that weights are fitted to is another story."""
    later = slice(newest_learnt(dataset) + 1, None)
    other = dataset._replace(x=dataset.x.copy())
    # The input that leads is noise there, and another one is right always.
    up = np.sign(np.diff(dataset.close, append=np.nan))
    other.x[:, later, 0] = np.random.default_rng(3).normal(size=other.x[:, later, 0].shape)
    other.x[:, later, 1] = np.nan_to_num(3.0 * up[:, later])
    first, second = (read_artefact(training.train(d, OPTIONS).data).record for d in (dataset, other))
    return first.selection == second.selection


def test_a_selection_over_all_rows_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = planted(1_500, edge=0.4)
    assert is_blind_to_later_rows(dataset)

    def leaking(rows: Rows, horizon_bars: int, seed: int) -> object:
        return stable_inputs(rows._replace(mask=~np.isnan(rows.y)), horizon_bars, seed)

    monkeypatch.setattr(training, "stable_inputs", leaking)
    assert not is_blind_to_later_rows(dataset)


def test_parts_stay_when_an_input_that_begins_late_is_left_out() -> None:
    dataset = planted(1_500, edge=0.4)
    dataset.x[:, :600, 2] = np.nan

    chosen = read_artefact(training.train(dataset, OPTIONS).data).record
    assert dataset.columns[2] not in chosen.inputs
    assert is_blind_to_later_rows(dataset)
    # Seven tenths of the 899 rows with all inputs and a label, less what a horizon and an embargo of one candle purge.
    assert newest_learnt(dataset) == 600 + round(0.7 * 899) - 3


def test_a_model_of_selected_inputs_is_the_model_that_reads_those() -> None:
    dataset = planted(1_500)

    chosen = read_artefact(training.train(dataset, OPTIONS).data)
    told = TrainingOptions(
        kind="logistic", features=FEATURES, inputs=("rsi_14",), label="direction", horizon_bars=1
    )
    alone = read_artefact(training.train(dataset, told).data)

    assert chosen.record.inputs == ("rsi_14",)
    assert chosen.record.selection["rsi_14"] == 1.0
    assert set(chosen.record.selection) == set(chosen.record.columns)
    assert set(chosen.record.reference["inputs"]) == {"rsi_14"}
    weights = [model.weights_for(dataset.symbols[0]).tobytes() for model in (chosen, alone)]
    assert weights[0] == weights[1]
    assert "selection" not in alone.record.to_json()
    assert "select" not in alone.record.options


def test_a_selection_is_not_for_models_that_go_on_from_another() -> None:
    with pytest.raises(ConfigError, match=r"is_fine_tuned: true is not for select = stability"):
        TrainingOptions(select="stability", is_fine_tuned=True)
    with pytest.raises(ConfigError, match=r"training\.select: unknown 'stable'"):
        TrainingOptions(select="stable")
