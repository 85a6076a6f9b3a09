"""From rows to what a fit takes: which rows, which scaling, which windows."""

from itertools import pairwise

import numpy as np
import pytest

from papertape.engine.errors import DataError
from papertape.engine.model import TrainingOptions
from papertape.engine.model.kinds import CLIP
from papertape.engine.model.training.prepare import PARTS, prepare, scaled, scaling, sequences
from tests.support.planted import FEATURES, planted

OPTIONS = TrainingOptions(kind="logistic", features=FEATURES, label="direction", horizon_bars=3)


def test_parts_are_in_time_order_with_purge_and_embargo_from_the_horizon() -> None:
    ready = prepare(planted(), OPTIONS)

    rows = [np.flatnonzero(getattr(ready, name)[0]) for name in PARTS]
    for earlier, later in pairwise(rows):
        assert later[0] - earlier[-1] > 3 + OPTIONS.embargo  # known 3 later, then as many kept free
    assert OPTIONS.embargo == 3
    assert rows[0][0] == 0
    assert rows[2][-1] == 596  # the label of row 597 needs row 600


def test_rows_with_a_missing_input_take_no_part() -> None:
    dataset = planted()
    dataset.x[0, :20, 1] = np.nan
    dataset.x[0, 50, 2] = np.inf

    ready = prepare(dataset, OPTIONS)

    assert not ready.is_whole[0, [0, 19, 50]].any()
    assert np.flatnonzero(ready.train[0])[0] == 20
    assert not ready.train[0, 50]
    assert ready.weights[0, 50] == 0.0


def test_scaling_is_that_of_the_training_part_alone() -> None:
    dataset = planted(n_symbols=2)
    ready = prepare(dataset, OPTIONS)
    later = dataset._replace(x=dataset.x.copy())
    later.x[:, ready.train.any(axis=0).nonzero()[0][-1] + 1 :] *= 100.0
    later.x[1] *= 2.0

    mean, scale = scaling(prepare(later, OPTIONS))

    for symbol, factor in ((0, 1.0), (1, 2.0)):
        rows = factor * dataset.x[symbol][ready.train[symbol]]
        assert mean[symbol] == pytest.approx(rows.mean(axis=0), rel=1e-12)
        assert scale[symbol] == pytest.approx(rows.std(axis=0), rel=1e-12)


def test_input_that_never_moves_is_only_centred() -> None:
    dataset = planted()
    dataset.x[..., 2] = 0.1

    ready = prepare(dataset, OPTIONS)
    x = scaled(ready.x, *scaling(ready))

    assert scaling(ready)[1][0, 2] == 1.0
    assert np.abs(x[..., 2]).max() < 1e-12


def test_what_is_far_out_is_kept_within_the_bounds_of_the_kernel() -> None:
    x = scaled(np.array([[[1e9], [-1e9], [1.0]]]), np.zeros((1, 1)), np.ones((1, 1)))

    assert x[0, :, 0].tolist() == [CLIP, -CLIP, 1.0]


@pytest.mark.parametrize("burn_in", [0, 5, 400])
def test_every_labelled_row_of_a_part_is_learnt_once_after_what_came_before_it(burn_in: int) -> None:
    dataset = planted(n_symbols=2)
    dataset.x[0, 100:110] = np.nan
    ready = prepare(dataset, OPTIONS)
    x = scaled(ready.x, *scaling(ready))
    x[..., 1] = np.arange(600)  # tells which row a step is
    for mask in (ready.train, ready.validate):
        windows = sequences(x, ready, mask, 16, burn_in)

        is_learnt = windows.weights > 0.0
        assert is_learnt.sum() == mask.sum()
        assert sorted(windows.x[is_learnt][:, 1]) == sorted(x[mask][:, 1])
        assert windows.weights.sum() == pytest.approx(ready.weights[mask].sum())
        assert (windows.y[is_learnt] == 1.0).sum() == (ready.y[mask] == 1.0).sum()
        for steps, learnt in zip(windows.x[..., 1], is_learnt, strict=True):
            last = np.flatnonzero(learnt)[-1]
            rows = steps[: last + 1]
            # consecutive but for the hole of ten rows; from the first row of all, or with the whole burn-in
            assert set(np.diff(rows)) <= {1.0, 11.0}
            assert rows[0] == 0.0 or np.flatnonzero(learnt)[0] >= burn_in


@pytest.mark.parametrize(
    ("n", "change", "told"),
    [
        (
            150,
            {},
            "147 usable rows are fewer than 150: of 150 0 lack an input and 3 a known outcome; give more",
        ),
        (
            200,
            {},
            "rows to validate are fewer than 50: of 200 0 lack an input and 3 a known outcome; give more",
        ),
        (300, {"horizon_bars": 60}, "leave no row in part"),
        (600, {"inputs": ("rsi_7",)}, "input 'rsi_7' is no column of the rows"),
    ],
)
def test_too_little_to_learn_from_is_refused(n: int, change: dict[str, object], told: str) -> None:
    options = TrainingOptions.from_json({**OPTIONS.to_json(), **change})

    with pytest.raises(DataError, match=told):
        prepare(planted(n), options)


def test_part_with_one_outcome_is_refused() -> None:
    dataset = planted()
    rising = 100.0 + np.arange(600.0).reshape(1, -1)

    with pytest.raises(DataError, match="to train has the same outcome, up, so there is nothing to"):
        prepare(dataset._replace(open=rising, close=rising + 0.5), OPTIONS)


def test_an_input_that_is_never_there_is_named() -> None:
    dataset = planted()
    dataset.x[0, :590, 2] = np.nan

    with pytest.raises(DataError, match=r"590 of 600 have no 'stochastic_5_3_3_d'; leave that"):
        prepare(dataset, OPTIONS)


def test_one_symbol_that_lacks_rows_is_refused_when_it_has_a_model_of_its_own() -> None:
    dataset = planted(n_symbols=2)
    dataset.x[1, :400] = np.nan

    prepare(dataset, OPTIONS)  # together they are enough
    with pytest.raises(DataError, match="fewer than 50"):
        prepare(dataset, TrainingOptions.from_json({**OPTIONS.to_json(), "is_per_symbol": True}))
