"""Training of the logistic kind from end to end: the edge that is there, none where there is none, and what is told."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from papertape.engine.errors import DataError
from papertape.engine.model import Dataset, TrainingOptions, read_artefact, train
from papertape.engine.model.inference.current import read_rows
from papertape.engine.model.relevance.importance import importance, moved_blocks
from papertape.engine.model.scores import scores
from papertape.engine.model.training.labels import LabelPrices, variance_labels
from papertape.engine.model.training.prepare import prepare
from papertape.engine.model.training.reference import bin_shares, tenths
from tests.support.helpers import needs_lightgbm
from tests.support.planted import FEATURES, bayes_log_loss, planted
from tests.support.planted_rows import COLUMNS, planted_rows

OPTIONS = TrainingOptions(kind="logistic", features=FEATURES, label="direction", horizon_bars=1)


def said(data: bytes, dataset: Dataset) -> np.ndarray:
    artefact = read_artefact(data)
    rows = zip(dataset.symbols, dataset.inputs(artefact.record.inputs), strict=True)
    return np.stack([read_rows(artefact, symbol, x)[0] for symbol, x in rows])


def test_planted_edge_is_found_to_within_a_little_of_the_best_there_is() -> None:
    data = train(planted(3_000), OPTIONS).data
    unseen = planted(4_000, seed=2)
    ready = prepare(unseen, OPTIONS)
    is_labelled = ~np.isnan(ready.y)

    found = scores(ready.y[is_labelled], said(data, unseen)[is_labelled])

    # 4,000 rows know a log-loss to ±0.01; three weights learnt from 2,100 cost some 3 / (2 × 2,100) more
    assert found.log_loss < bayes_log_loss(1.5) + 0.02
    assert found.log_loss > bayes_log_loss(1.5) - 0.02
    tensors = read_artefact(data).tensors
    assert tensors["coefficients"] == pytest.approx([1.5, 0.0, 0.0], abs=0.25)
    assert tensors["temperature"] == pytest.approx([1.0], abs=0.4)


def test_nothing_is_learnt_from_noise() -> None:
    data = train(planted(3_000, edge=0.0), OPTIONS).data
    unseen = planted(4_000, edge=0.0, seed=2)
    ready = prepare(unseen, OPTIONS)
    is_labelled = ~np.isnan(ready.y)

    found = scores(ready.y[is_labelled], said(data, unseen)[is_labelled])

    assert np.log(2.0) - 0.003 < found.log_loss < np.log(2.0) + 0.01
    assert abs(found.auc - 0.5) < 0.03


def test_shuffled_labels_teach_nothing() -> None:
    dataset = planted(3_000)
    order = np.random.default_rng(5).permutation(3_000)
    shuffled = dataset._replace(x=dataset.x[:, order])

    record = read_artefact(train(shuffled, OPTIONS).data).record

    assert record.metrics["validate_log_loss"] > np.log(2.0) - 0.01
    assert record.metrics["calibrate_log_loss"] > np.log(2.0) - 0.01


def test_record_says_where_the_model_comes_from_and_what_the_kernel_makes_of_the_rows() -> None:
    dataset = planted(n_symbols=2)

    trained = train(dataset, OPTIONS, tapes=("a" * 64, "b" * 64), champion=4)

    record = read_artefact(trained.data).record
    assert (record.kind, record.timeframe, record.horizon_bars) == ("logistic", "1h", 1)
    assert (record.version, record.parent, record.seed) == (0, 4, OPTIONS.seed)
    assert record.symbols == ("AAAUSDT", "BBBUSDT")
    assert (record.start_ms, record.end_ms) == (0, int(dataset.time_ms[-1]))
    assert record.label == {"kind": "direction", "horizon_bars": 1}
    assert TrainingOptions.from_json(record.options) == OPTIONS
    ready, p = prepare(dataset, OPTIONS), said(trained.data, dataset)
    for name in ("validate", "calibrate"):
        mask = getattr(ready, name)
        told = scores(ready.y[mask], p[mask])._asdict()
        assert record.metrics[f"rows_{name}"] == told.pop("rows")
        for key, value in told.items():
            assert record.metrics[f"{name}_{key}"] == value
    rate = ready.y[ready.train].mean()
    always = np.where(ready.y[ready.calibrate] == 1.0, np.log(rate), np.log1p(-rate))
    assert record.metrics["calibrate_log_loss_base_rate"] == pytest.approx(-always.mean())
    assert sum(row["rows"] for row in record.curve) == record.metrics["rows_calibrate"]
    assert record.reference["base_rate"] == rate
    assert set(record.reference["inputs"]) == set(record.inputs)


def test_temperature_makes_the_newest_part_no_worse() -> None:
    dataset = planted()
    data = train(dataset, OPTIONS).data
    ready, p = prepare(dataset, OPTIONS), said(data, dataset)
    mask = ready.calibrate
    z = logit(p[mask]) * read_artefact(data).tensors["temperature"][0]

    before = scores(ready.y[mask], expit(z))

    record = read_artefact(data).record
    assert record.metrics["calibrate_log_loss"] <= before.log_loss + 1e-12
    assert record.metrics["ece_before"] == pytest.approx(before.ece, abs=1e-9)


def test_importance_is_that_of_the_input_which_leans_the_candle() -> None:
    record = read_artefact(train(planted(1_500), OPTIONS).data).record

    ranked = sorted(record.importance, key=lambda name: -record.importance[name])
    assert ranked[0] == "rsi_14"
    # Without its one input the model would say expit(1.5 x') of an independent x': far worse than the base rate.
    assert record.importance["rsi_14"] > np.log(2.0) - bayes_log_loss(1.5)
    assert max(abs(record.importance[name]) for name in ranked[1:]) < 0.02


def test_importance_by_hand() -> None:
    # The probability is the input itself; three blocks of two, and the order that this seed gives.
    x = np.array([0.1, 0.2, 0.8, 0.9, 0.4, 0.6]).reshape(1, 6, 1)
    y = np.array([[0.0, 0.0, 1.0, 1.0, 0.0, 1.0]])
    order = moved_blocks(6, 2, np.random.default_rng([7, 1]))

    rises = importance(lambda _, rows: rows[:, 0], x, y, np.ones((1, 6), bool), 2, 7, 1)

    def loss(p: np.ndarray) -> float:
        return float(-np.log(np.where(y[0] == 1.0, p, 1.0 - p)).mean())

    assert sorted(order[::2].tolist()) == [0, 2, 4]
    assert (order[1::2] == order[::2] + 1).all()
    assert rises[0] == pytest.approx(loss(x[0, order, 0]) - loss(x[0, :, 0]), rel=1e-12)


def test_tenths_hold_a_tenth_each_and_ties_leave_bins_empty() -> None:
    values = np.arange(100.0)
    values[7] = np.nan

    found = tenths(np.append(values, values))

    assert found["shares"] == pytest.approx([0.1] * 10, abs=0.011)
    assert found["rows"] == 198  # one of a hundred was missing, twice
    sides = tenths(np.repeat([-1.0, 1.0], [30, 70]))
    # edges at -1 three times, then at 1: a value on an edge is above it
    assert sides["shares"] == [0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.7]
    assert bin_shares(np.array([0.5, 1.5, 1.5, np.nan]), np.array([1.0])).tolist() == [1 / 3, 2 / 3]


def test_the_same_rows_give_the_same_bytes_and_later_rows_change_no_weight() -> None:
    dataset = planted(n_symbols=2)
    changed = dataset._replace(x=dataset.x.copy())
    changed.x[:, 550:] *= -3.0  # of the part that sets the temperature

    first, again, other = (train(d, OPTIONS).data for d in (dataset, dataset, changed))

    assert first == again
    tensors, others = read_artefact(first).tensors, read_artefact(other).tensors
    for name in ("mean", "scale", "coefficients", "intercept"):
        assert tensors[name].tobytes() == others[name].tobytes()
    assert tensors["temperature"] != others["temperature"]


def test_symbols_are_scaled_each_and_share_their_weights() -> None:
    dataset = planted(n_symbols=2)
    dataset.x[1] *= 10.0

    artefact = read_artefact(train(dataset, OPTIONS).data)

    assert artefact.tensors["mean"].shape == (2, 3)
    assert artefact.tensors["scale"][1, 0] == pytest.approx(30.0, rel=0.1)
    assert artefact.tensors["coefficients"].shape == (3,)


ARRAYS = ("x", "open", "high", "low", "close", "atr")


def test_model_per_symbol_is_the_model_of_each_symbol_alone() -> None:
    dataset = planted(n_symbols=2)
    options = replace(OPTIONS, is_per_symbol=True)

    both = read_artefact(train(dataset, options).data)

    for i, symbol in enumerate(dataset.symbols):
        arrays = {name: getattr(dataset, name)[i : i + 1] for name in ARRAYS}
        alone = read_artefact(train(dataset._replace(symbols=(symbol,), **arrays), OPTIONS).data)
        assert both.weights_for(symbol).tobytes() == alone.weights_for(symbol).tobytes()


def test_bracket_labels_are_learnt_with_the_strategys_bracket() -> None:
    options = replace(OPTIONS, label="bracket", horizon_bars=6, stop_atr=1.5, target_atr=2.5)

    record = read_artefact(train(planted(1_000), options).data).record

    assert record.label == {"kind": "bracket", "horizon_bars": 6, "stop_atr": 1.5, "target_atr": 2.5}
    # Six candles of which the first is leant: some of the edge is left, and overlapping labels count for less.
    assert record.metrics["calibrate_auc"] > 0.55
    assert record.metrics["rows_effective"] < 0.7 * record.metrics["rows_train"]


def test_a_record_says_how_long_horizons_were_that_the_market_ends() -> None:
    options = replace(OPTIONS, label="variance", horizon_bars=6, variance_share=0.5)
    rows = planted(1_000)
    random = np.random.default_rng(2)
    rows = rows._replace(
        high=rows.high + random.exponential(0.5, rows.high.shape),
        low=rows.low - random.exponential(0.5, rows.low.shape),
        atr=3.0 * rows.atr,
    )

    record = read_artefact(train(rows, options).data).record

    assert record.label == {"kind": "variance", "horizon_bars": 6, "variance_share": 0.5}
    learnt = prepare(rows, options).train[0]
    prices = (getattr(rows, name)[0] for name in ("open", "high", "low", "close", "atr"))
    bars = (variance_labels(LabelPrices(*prices), 0.5, 6).known - np.arange(1_000))[learnt]
    assert record.metrics["horizon_bars_mean"] == pytest.approx(bars.mean(), rel=1e-12)
    assert 1.0 < bars.mean() < 6.0
    # A candle opens at the close before it, so its true range is from high to low.
    squares, places = (rows.high[0] - rows.low[0]) ** 2, np.flatnonzero(learnt)
    is_open = [
        [squares[t + 1 : t + 1 + n].sum() < 0.5 * 6 * rows.atr[0, t] ** 2 for n in (5, 6)] for t in places
    ]
    longest, unmet = np.mean(is_open, axis=0)
    assert record.metrics["horizon_longest_share"] == pytest.approx(longest, rel=1e-12)
    assert 0.0 < unmet < longest < 1.0  # of some the market had moved enough at that very close


@pytest.mark.parametrize(
    ("kind", "off"), [("logistic", 0.02), pytest.param("lightgbm", 0.05, marks=needs_lightgbm)]
)
def test_where_neither_side_pays_a_model_says_half_of_what_is_left(kind: str, off: float) -> None:
    # The next return is normal around 0.6 of what the first column says, in steps of 0.4 %.
    rows, cost = planted_rows(6_000), 0.003
    options = TrainingOptions(kind, COLUMNS, label="direction", horizon_bars=1, no_trade=True, cost=cost)

    made = read_artefact(train(rows, options).data)

    edges = np.log1p(np.array([[cost], [-cost]])) / 0.004
    up, not_down = norm.sf((edges - 0.6 * rows.x[0, :, 0]) / 0.8)
    truth = up + 0.5 * (not_down - up)
    said = read_rows(made, "S0", rows.x[0])[0]
    assert np.abs(said - truth).mean() < off
    part = prepare(rows, options).train[0]
    assert made.record.metrics["neither_share"] == pytest.approx((not_down - up)[part].mean(), abs=0.03)
    assert made.record.label == {"kind": "direction", "horizon_bars": 1, "no_trade": True, "cost": cost}


def test_parent_that_means_something_else_is_refused() -> None:
    dataset = planted()
    parent = read_artefact(train(dataset, OPTIONS).data)
    options = replace(OPTIONS, inputs=("rsi_14",), is_fine_tuned=True)

    with pytest.raises(DataError, match=r"the parent's inputs .* train afresh"):
        train(dataset, options, parent=parent)


def test_tuning_keeps_the_scaling_of_the_parent() -> None:
    parent = read_artefact(train(planted(), OPTIONS).data)
    later = planted(seed=8)

    tuned = read_artefact(train(later, replace(OPTIONS, is_fine_tuned=True), parent=parent).data)

    afresh = read_artefact(train(later, OPTIONS, parent=parent).data)
    assert tuned.tensors["mean"].tobytes() == parent.tensors["mean"].tobytes()
    assert afresh.tensors["mean"].tobytes() != parent.tensors["mean"].tobytes()
