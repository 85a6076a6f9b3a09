"""Artefacts: what comes back is what went in, and everything else is refused with the reason."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from papertape.engine.errors import DataError
from papertape.engine.model import ModelRecord, read_artefact, with_version, write_artefact

RECORD = ModelRecord(
    kind="logistic",
    features=("rsi_14", "adx_14@4h"),
    timeframe="1h",
    horizon_bars=6,
    symbols=("BTCUSDT",),
    tapes=("ab" * 32,),
    start_ms=1,
    end_ms=2,
    code="0123",
    metrics={"log_loss": 0.69},
    gate={"passed": True},
    label={"kind": "direction", "horizon_bars": 6},
    curve=[[0.25, 0.5, 10]],
)
N = 4  # rsi_14, adx_14 and its two directional lines


def tensors() -> dict[str, Any]:
    return {
        "mean": np.arange(N, dtype=np.float64).reshape(1, N),
        "scale": np.full((1, N), 2.0),
        "coefficients": np.linspace(-1.0, 1.0, N),
        "intercept": np.array([0.25]),
        "temperature": np.array([1.5]),
    }


def test_record_and_weights_come_back_as_they_were() -> None:
    data = write_artefact(RECORD, tensors())

    artefact = read_artefact(data)

    assert artefact.record == RECORD
    assert artefact.record.columns[1] == "adx_14@4h"
    parts = (np.arange(N), np.full(N, 2.0), [1.5], np.linspace(-1.0, 1.0, N), [0.25])
    assert artefact.is_shared
    assert artefact.weights_for("ANYTHING").tolist() == np.concatenate(parts).tolist()
    assert write_artefact(artefact.record, artefact.tensors) == data


def test_any_reader_of_safetensors_can_read_the_weights() -> None:
    found = load(write_artefact(RECORD, tensors()))

    assert found["coefficients"].tolist() == np.linspace(-1.0, 1.0, N).tolist()


def test_version_is_all_that_with_version_changes() -> None:
    artefact = read_artefact(with_version(write_artefact(RECORD, tensors()), 7))

    assert artefact.record == replace(RECORD, version=7)
    assert {name: value.tolist() for name, value in artefact.tensors.items()} == {
        name: value.tolist() for name, value in tensors().items()
    }


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_one_changed_or_missing_byte_is_refused(data: st.DataObject) -> None:
    whole = write_artefact(RECORD, tensors())
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        changed = bytearray(whole)
        changed[place] ^= data.draw(st.integers(1, 255))
        damaged = bytes(changed)
    else:
        damaged = whole[:place]

    try:
        artefact = read_artefact(damaged)
    except DataError:
        return
    # white space in the header, and the case of an escape, say the same
    assert write_artefact(artefact.record, artefact.tensors) == whole


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="artefact: "):
        read_artefact(data)


def rewritten(**changes: Any) -> bytes:
    """Return an artefact whose record says something else, with a checksum that fits."""
    from papertape.engine.model.artefact import _checksum

    values = {**RECORD.to_json(), **changes}
    values = {name: value for name, value in values.items() if value is not ...}
    values["sha256"] = _checksum(values, tensors())
    return save(tensors(), {"papertape": json.dumps(values)})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 3}, "format 3 is newer than 2; update papertape"),
        ({"format": 0}, "format 0 is unknown"),
        ({"members": 1}, "members 1 is not a whole number from 2 to 32"),
        ({"members": 33}, "members 33 is not a whole number from 2 to 32"),
        ({"members": 2}, r"coefficients of type float64 and shape \(4,\) is not float64 \(2, 4\)"),
        ({"format": "x"}, "format 'x' is unknown"),
        ({"kind": "logistics"}, "unknown kind 'logistics': did you mean 'logistic'"),
        ({"kind": 3}, "kind 3 is not text"),
        ({"features": []}, r"features \[\] is not a list of features"),
        ({"features": ["ema_14x"]}, "cannot compute its features"),
        ({"features": ["rsi_15", "adx_14@4h"]}, "give other columns than when it was trained"),
        ({"timeframe": "7m"}, "timeframe '7m' is not a timeframe"),
        ({"timeframe": ["1h"]}, "is not a timeframe"),
        ({"horizon_bars": 0}, "horizon_bars 0 is not a whole number above 0"),
        ({"seed": True}, "seed True is not a whole number"),
        ({"metrics": {"a": "b"}}, "is not a table of finite numbers"),
        ({"gate": None}, "gate None is not a table"),
        ({"parent": ...}, "the record has no 'parent'"),
        ({"inputs": ...}, "the record has no 'inputs'"),
        ({"inputs": []}, r"inputs \[\] is not a list of columns"),
        ({"inputs": ["rsi_14", "roc_9"]}, "input 'roc_9' is not a column of its features"),
        ({"inputs": ["rsi_14", "rsi_14"]}, "input 'rsi_14' is there twice"),
        ({"inputs": ["rsi_14"]}, r"mean of type float64 and shape \(1, 4\) is not"),
        ({"sizes": {"hidden": 8}}, r"sizes \['hidden'\] are not \[\]"),
        ({"sizes": {"hidden": 0}}, "is not a table of whole numbers above 0"),
        ({"is_per_symbol": 1}, "is_per_symbol 1 is not true or false"),
        ({"is_per_symbol": True, "symbols": []}, r"need symbols, each once, not \[\]"),
        ({"importance": {"rsi_14": "much"}}, "importance .* is not a table of finite numbers"),
    ],
)
def test_record_that_is_not_ours_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_artefact(rewritten(**changes))


def test_safetensors_file_of_another_program_is_refused() -> None:
    for metadata in (None, {"format": "pt"}):
        with pytest.raises(DataError, match="foreign file: it holds no papertape record"):
            read_artefact(save(tensors(), metadata))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("mean", np.full((1, N), np.nan), "mean holds a value that is not finite"),
        ("coefficients", np.full(N, np.inf), "coefficients holds a value that is not finite"),
        ("scale", np.zeros((1, N)), "scale holds a value that is not above 0"),
        ("temperature", np.array([-1.0]), "temperature holds a value that is not above 0"),
        ("mean", np.zeros((1, 5)), r"mean of type float64 and shape \(1, 5\) is not float64 \(1, 4\)"),
        ("mean", np.zeros(N), r"mean of type float64 and shape \(4,\) is not float64 \(1, 4\)"),
        ("scale", np.zeros((2, N)), r"shape \(2, 4\) is not float64 \(1, 4\)"),
        ("extra", np.zeros(1), "are not"),
    ],
)
def test_weights_that_cannot_be_run_are_refused(name: str, value: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        write_artefact(RECORD, {**tensors(), name: value})


@pytest.mark.parametrize("place", [-1.0, float(N), 0.5])
def test_trees_that_split_on_no_input_are_refused(place: float) -> None:
    record = replace(RECORD, kind="lightgbm", sizes={"trees": 1, "depth": 1})
    own = {
        "split_inputs": np.array([[place]]),
        "thresholds": np.zeros((1, 1)),
        "values": np.zeros((1, 2)),
        "bias": np.zeros(1),
    }
    shared = {name: tensors()[name] for name in ("mean", "scale", "temperature")}

    with pytest.raises(DataError, match="split_inputs holds a value that is not the number of one of 4"):
        write_artefact(record, {**shared, **own})
    write_artefact(record, {**shared, **own, "split_inputs": np.array([[N - 1.0]])})


def test_weights_of_another_type_are_refused_when_read() -> None:
    from papertape.engine.model.artefact import _checksum

    found = {name: value.astype(np.float32) for name, value in tensors().items()}
    values = RECORD.to_json()
    values["sha256"] = _checksum(values, found)

    with pytest.raises(DataError, match="type float32"):
        read_artefact(save(found, {"papertape": json.dumps(values)}))


def format_1(**changes: Any) -> bytes:
    """Return an artefact as the version before wrote it: fewer fields, and one scaling without an axis of its own."""
    from papertape.engine.model.artefact import _checksum

    later = ("inputs", "sizes", "label", "options", "is_per_symbol", "reference", "curve")
    values = {**RECORD.to_json(), "format": 1, **changes}
    values = {name: v for name, v in values.items() if name not in (*later, "importance")}
    weights = {**tensors(), "mean": np.arange(N, dtype=np.float64), "scale": np.full(N, 2.0)}
    values["sha256"] = _checksum(values, weights)
    return save(weights, {"papertape": json.dumps(values, sort_keys=True)})


def test_artefact_of_format_1_is_read_with_the_defaults_of_what_it_lacks() -> None:
    artefact = read_artefact(format_1())

    assert artefact.record == replace(RECORD, label={}, curve=[])
    assert artefact.record.inputs == artefact.record.columns
    today = read_artefact(write_artefact(RECORD, tensors()))
    assert artefact.weights_for("X").tolist() == today.weights_for("X").tolist()
    assert read_artefact(with_version(format_1(), 3)).record.version == 3
    with pytest.raises(DataError, match="seed True is not a whole number"):
        read_artefact(format_1(seed=True))


def stacked(n: int, *names: str) -> dict[str, Any]:
    """Return tensors of which some are there once per symbol: those of symbol s are multiplied by s + 1."""
    made = tensors()
    for name in names:
        one = made[name][0] if name in ("mean", "scale") else made[name]
        made[name] = np.stack([one * (s + 1) for s in range(n)])
    return made


def test_scaling_by_symbol_is_found_by_name() -> None:
    record = replace(RECORD, symbols=("ETH", "BTC"))

    artefact = read_artefact(write_artefact(record, stacked(2, "mean", "scale")))

    for place, symbol in enumerate(record.symbols, start=1):
        parts = (place * np.arange(N), np.full(N, 2.0 * place), [1.5], np.linspace(-1, 1, N), [0.25])
        assert artefact.weights_for(symbol).tolist() == np.concatenate(parts).tolist()
    with pytest.raises(DataError, match=r"'XRP' is not among the symbols .* on: ETH, BTC"):
        artefact.weights_for("XRP")


def test_model_per_symbol_has_every_weight_of_its_own() -> None:
    record = replace(RECORD, symbols=("ETH", "BTC"), is_per_symbol=True, inputs=RECORD.columns)

    artefact = read_artefact(write_artefact(record, stacked(2, *tensors())))

    first, second = (artefact.weights_for(symbol) for symbol in record.symbols)
    assert second.tolist() == (2.0 * first).tolist()
    with pytest.raises(DataError, match=r"temperature of type float64 and shape \(1,\) is not"):
        write_artefact(record, stacked(2, "mean", "scale"))
    with pytest.raises(DataError, match="need symbols, each once, not"):
        write_artefact(replace(record, symbols=("ETH", "ETH")), stacked(2, *tensors()))


def test_one_symbol_of_its_own_is_not_for_every_symbol() -> None:
    record = replace(RECORD, is_per_symbol=True)

    artefact = read_artefact(write_artefact(record, stacked(1, *tensors())))

    assert not artefact.is_shared
    with pytest.raises(DataError, match="'ETHUSDT' is not among the symbols"):
        artefact.weights_for("ETHUSDT")


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_record_that_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match="the record holds what JSON cannot say"):
        write_artefact(replace(RECORD, options={"x": value}), tensors())


def test_record_reads_back_as_json_said_it() -> None:
    record = replace(RECORD, reference={"edges": (0.1, 0.2)}, options={1: "one", 10: "ten", 9: "nine"})

    found = read_artefact(write_artefact(record, tensors())).record

    assert found.reference == {"edges": [0.1, 0.2]}
    assert found.options == {"1": "one", "10": "ten", "9": "nine"}


def test_model_reads_the_inputs_it_names_in_its_own_order() -> None:
    record = replace(RECORD, inputs=("adx_14@4h", "rsi_14"))
    two = {**tensors(), "mean": [[1.0, 2.0]], "scale": [[3.0, 4.0]], "coefficients": [5.0, 6.0]}

    artefact = read_artefact(write_artefact(record, two))

    assert artefact.record.inputs == ("adx_14@4h", "rsi_14")
    assert artefact.weights_for("X").tolist() == [1.0, 2.0, 3.0, 4.0, 1.5, 5.0, 6.0, 0.25]
