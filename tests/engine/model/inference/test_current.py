"""
The model in force, for every kind in the table: rings, warm-up, absent and missing rows, predictions, restart.

Kinds get random weights; what they should say of the rows is what the kernel says when it reads them one by one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from papertape.engine.candles import FLAG_ABSENT, HOUR_MS
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import NewModel
from papertape.engine.features import evaluate
from papertape.engine.jit import Rows
from papertape.engine.model import KINDS, ModelRecord, read_artefact, write_artefact
from papertape.engine.model.inference.current import read_rows
from papertape.engine.model.inference.recent import RECENT
from papertape.engine.model.kinds import CLIP
from papertape.engine.spec import EngineSpec, Market
from tests.support.helpers import Outcome, Scripted, interleave, random_candles

FEATURES = ("rsi_14", "log_return_6", "candle_shape")
SYMBOLS = ("A", "B")


def artefact(kind: str, seed: int, n_scalings: int = 1, **fields: Any) -> bytes:
    """Return a model with random weights, small enough that it is never sure."""
    record = ModelRecord(kind, FEATURES, "1h", 4, symbols=SYMBOLS, sizes=dict(KINDS[kind].sizes))
    record = replace(record, **fields)
    random = np.random.default_rng(seed)
    n = len(record.inputs)
    many = (record.members,) if record.members > 1 else ()
    tensors: dict[str, Any] = {
        name: random.normal(0.0, 0.3, many + shape)
        for name, shape in KINDS[kind].shapes(n, record.sizes).items()
    }
    for name in KINDS[kind].positive:
        tensors[name] = np.abs(tensors[name]) + 0.1
    for name in KINDS[kind].places:
        tensors[name] = random.integers(0, n, tensors[name].shape).astype(np.float64)
    tensors["temperature"] = np.array([1.5])
    if record.is_per_symbol:
        n_scalings = len(SYMBOLS)
        places = KINDS[kind].places
        tensors = {
            name: np.stack([value, value if name in places else 0.5 * value])
            for name, value in tensors.items()
        }
    tensors["mean"] = random.normal(0.0, 0.1, (n_scalings, n))
    tensors["scale"] = random.uniform(0.5, 2.0, (n_scalings, n))
    column = record.inputs.index("rsi_14")
    tensors["mean"][:, column], tensors["scale"][:, column] = 50.0, 10.0
    return write_artefact(record, tensors)


def make_engine(features: Sequence[str] = FEATURES, symbols: Sequence[str] = SYMBOLS) -> Engine:
    markets = [Market(symbol) for symbol in symbols]
    return Engine(EngineSpec(markets, Scripted({}), "1h", "1h", model_features=features))


def candles_for(n: int, absent: Sequence[int] = (40, 41, 90, 300)) -> Rows:
    """Return hours of both symbols, some of them absent on one or both."""
    tapes = [random_candles(n, seed=30 + s) for s in range(2)]
    for i in absent:
        if i < n:
            for tape in tapes[: 1 + i % 2]:
                row = tape[i]
                row.open = row.high = row.low = row.close = tape[i - 1].close
                row.volume, row.flag_bits = 0.0, FLAG_ABSENT
    return interleave(tapes)


def columns_of(candles: Rows, symbol: int) -> np.ndarray:
    """Return the feature rows of one symbol by the batch functions, NaN where absent, shape (n, columns)."""
    tape = np.ascontiguousarray(candles[symbol::2])
    rows = np.vstack([evaluate(name, tape) for name in FEATURES]).T
    rows[tape["flag_bits"] & FLAG_ABSENT != 0] = np.nan
    return rows


def one_by_one(data: bytes, symbol: int, rows: np.ndarray) -> np.ndarray:
    """Return what a model says of rows that it reads one at a time, carrying its state by hand; see `read_one`."""
    made = read_artefact(data)
    state = np.zeros(made.state_length)
    return np.array([read_one(made, SYMBOLS[symbol], row, state) for row in rows])


def read_one(made: Any, symbol: str, row: np.ndarray, state: np.ndarray) -> float:
    """Return the probability by the rule of the table in numpy, around the kind's own step."""
    from papertape.engine.model import kinds

    if not np.isfinite(row).all():
        return float("nan")
    n = len(row)
    weights = made.weights_for(symbol)
    x = np.clip((row - weights[:n]) / weights[n : 2 * n], -CLIP, CLIP)
    module = {"lightgbm": "trees"}.get(made.record.kind, made.record.kind)
    step = getattr(kinds, module).step
    z = step(x, n, weights, 2 * n + 1, made.sizes, state, made.scratch()[n:])
    return float(expit(z / weights[2 * n]))


def step_all(engine: Engine, events: Sequence[Any]) -> Outcome:
    return Outcome(engine, [engine.step(event) for event in events])


def mixed(candles: Rows, swaps: Sequence[tuple[int, bytes]], batch: int) -> list[Any]:
    """Return candles in batches of so many rows, with models that take over after so many instants."""
    events: list[Any] = []
    start = 0
    for number, (instants, data) in enumerate([*swaps, (len(candles) // 2, b"")], start=1):
        rows = candles[start : 2 * instants]
        events += [rows[i : i + batch] for i in range(0, len(rows), batch)]
        start = 2 * instants
        if data:
            events.append(NewModel(number, data))
    return events


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_what_the_kind_says_of_the_features_row_by_row(kind: str) -> None:
    candles, data = candles_for(400), artefact(kind, 1)
    outcome = step_all(make_engine(), [NewModel(5, data), candles])

    told = outcome.predictions
    assert np.all(np.diff(told["time_ms"] * 2 + told["symbol"]) > 0)  # by close, then symbol
    for symbol in range(2):
        rows = columns_of(candles, symbol)
        tape = candles[symbol::2]
        is_there = tape["flag_bits"] & FLAG_ABSENT == 0
        mine = told[told["symbol"] == symbol]
        assert mine["time_ms"].tolist() == (tape["open_ms"][is_there] + HOUR_MS).tolist()
        for name in ("open", "high", "low", "close"):
            assert mine[name].tolist() == tape[name][is_there].tolist()
        expected = one_by_one(data, symbol, rows)
        np.testing.assert_allclose(mine["probability"], expected[is_there], rtol=1e-9)
        assert 0.5 < np.isfinite(mine["probability"]).mean() < 1.0  # rsi_14 warms up
        atr = evaluate("atr_14", np.ascontiguousarray(tape))[0]
        assert np.array_equal(mine["atr"], atr[is_there], equal_nan=True)
    assert set(told["version"].tolist()) == {5}


@pytest.mark.parametrize("kind", KINDS)
def test_state_after_a_swap_is_that_of_a_model_which_read_the_recent_rows(kind: str) -> None:
    n = RECENT + 150
    candles, data = candles_for(n), artefact(kind, 2)
    engine = make_engine()
    step_all(engine, [candles[:101], NewModel(1, artefact(kind, 9)), candles[101:], NewModel(2, data)])

    for symbol in range(2):
        rows = columns_of(candles, symbol)[-RECENT:]
        expected = one_by_one(data, symbol, rows)
        kept, probabilities = engine.model.recent(symbol)
        np.testing.assert_array_equal(kept, rows)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-9)
        state = np.zeros(read_artefact(data).state_length)
        for row in rows:
            read_one(read_artefact(data), SYMBOLS[symbol], row, state)
        np.testing.assert_allclose(engine.model.save()["model_state"][symbol], state, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_model_that_takes_over_late_says_what_it_would_have_said_all_along(kind: str) -> None:
    candles, data = candles_for(RECENT), artefact(kind, 3)
    early, late = make_engine(), make_engine()
    first = step_all(early, [NewModel(1, data), candles])
    second = step_all(late, [candles[:800], NewModel(1, data), candles[800:]])

    before = len(first.predictions) - len(second.predictions)
    assert before > 700
    assert second.predictions.tobytes() == first.predictions[before:].tobytes()
    for name, array in early.model.save().items():
        assert array.tobytes() == late.model.save()[name].tobytes(), name


@settings(max_examples=12, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=2),
    swaps=st.lists(st.integers(0, 700), min_size=2, max_size=2, unique=True).map(sorted),
    share=st.floats(0.0, 1.0),
    batch=st.integers(1, 400),
    members=st.sampled_from([1, 3]),
)
def test_batches_and_a_restart_anywhere_change_nothing(
    kinds: list[str], swaps: list[int], share: float, batch: int, members: int
) -> None:
    candles = candles_for(700)
    models = [(at, artefact(kind, at, members=members)) for at, kind in zip(swaps, kinds, strict=True)]
    whole = make_engine()
    expected = step_all(whole, mixed(candles, models, len(candles)))

    events = mixed(candles, models, batch)
    cut = round(share * len(events))
    before, after = make_engine(), make_engine()
    told = [step_all(before, events[:cut]).predictions]
    after.step(NewModel(9, artefact(kinds[0], 77)))  # whatever it had is gone
    after.restore(before.snapshot())
    told.append(step_all(after, events[cut:]).predictions)

    assert np.concatenate(told).tobytes() == expected.predictions.tobytes()
    assert after.snapshot() == whole.snapshot()
    assert after.digest == whole.digest


@pytest.mark.parametrize("is_per_symbol", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_says_what_the_mean_of_its_members_log_odds_is(kind: str, is_per_symbol: bool) -> None:
    rows = columns_of(candles_for(150), 1)
    data = artefact(kind, 11, members=3, is_per_symbol=is_per_symbol)
    made = read_artefact(data)

    found, state = read_rows(made, "B", rows)

    each = [made.member(number) for number in range(3)]
    alone = [one_by_one(write_artefact(one.record, one.tensors), 1, rows) for one in each]
    assert len({said.tobytes() for said in alone}) == 3
    np.testing.assert_allclose(found, expit(np.mean(logit(alone), axis=0)), rtol=1e-9)
    carried = np.concatenate([read_rows(one, "B", rows)[1] for one in each])
    assert state.tobytes() == carried.tobytes()
    assert write_artefact(made.record, made.tensors) == data


def test_absent_candle_and_missing_input_leave_the_state_and_say_nothing() -> None:
    rows = columns_of(candles_for(200), 0)
    rows = rows[np.isfinite(rows).all(axis=1)][:60]
    holes = np.insert(rows, [10, 10, 30], np.nan, axis=0)
    holes[:, 1][33] = np.inf  # row 30 of the whole ones
    for kind in KINDS:
        made = read_artefact(artefact(kind, 4))

        whole = read_rows(made, "A", np.delete(rows, 30, axis=0))
        found = read_rows(made, "A", holes)

        is_said = np.isfinite(found[0])
        assert np.flatnonzero(~is_said).tolist() == [10, 11, 32, 33]
        assert found[0][is_said].tolist() == whole[0].tolist()
        assert found[1].tolist() == whole[1].tolist()


def test_inputs_beyond_eight_deviations_count_as_eight() -> None:
    made = read_artefact(artefact("logistic", 5))
    mean, scale = made.tensors["mean"][0], made.tensors["scale"][0]

    for side in (-1.0, 1.0):
        rows = mean + side * scale * np.array([[CLIP], [80.0], [1e300]])
        assert len(set(read_rows(made, "A", rows)[0].tolist())) == 1


@pytest.mark.parametrize("fields", [{"n_scalings": 2}, {"is_per_symbol": True}])
@pytest.mark.parametrize("kind", KINDS)
def test_symbols_with_weights_of_their_own_get_them(kind: str, fields: dict[str, Any]) -> None:
    candles, data = candles_for(120), artefact(kind, 6, **fields)
    outcome = step_all(make_engine(), [NewModel(1, data), candles])

    for symbol in range(2):
        mine = outcome.predictions[outcome.predictions["symbol"] == symbol]
        is_there = candles[symbol::2]["flag_bits"] & FLAG_ABSENT == 0
        expected = one_by_one(data, symbol, columns_of(candles, symbol))[is_there]
        np.testing.assert_allclose(mine["probability"], expected, rtol=1e-9)
    stranger = make_engine(symbols=("A", "C"))
    with pytest.raises(DataError, match=r"model 1: 'C' is not among the symbols .* on: A, B"):
        stranger.step(NewModel(1, data))
    assert stranger.account[0].model_version == 0


def test_model_reads_its_inputs_by_name_wherever_they_are() -> None:
    candles = candles_for(80)
    inputs = ("candle_shape_body", "rsi_14")
    data = artefact("logistic", 7, inputs=inputs)
    engine = make_engine(("adx_14", *reversed(FEATURES)))
    outcome = step_all(engine, [NewModel(1, data), candles])

    shape = [list(ModelRecord("logistic", FEATURES, "1h", 4).columns).index(name) for name in inputs]
    expected = one_by_one(data, 1, columns_of(candles, 1)[:, shape])
    mine = outcome.predictions[outcome.predictions["symbol"] == 1]
    is_there = candles[1::2]["flag_bits"] & FLAG_ABSENT == 0
    np.testing.assert_allclose(mine["probability"], expected[is_there], rtol=1e-9)


def test_features_that_only_the_strategy_reads_are_not_for_models() -> None:
    strategy = Scripted({})
    strategy.features = FEATURES
    engine = Engine(EngineSpec([Market("A")], strategy, "1h", "1h", model_features=("rsi_14",)))

    with pytest.raises(DataError, match=r"'log_return_6' is not computed here; add it to model_fe"):
        engine.step(NewModel(1, artefact("logistic", 8)))


def test_without_a_model_nothing_is_told_and_rows_are_kept() -> None:
    candles = candles_for(60)
    engine = make_engine()
    outcome = step_all(engine, [candles])

    assert len(outcome.predictions) == 0
    rows, probabilities = engine.model.recent(1)
    np.testing.assert_array_equal(rows, columns_of(candles, 1))
    assert np.isnan(probabilities).all()
    assert len(make_engine(()).model.recent(0).rows) == 0
