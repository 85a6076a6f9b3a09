"""Artefacts: what comes back is what went in, and everything else is refused with the reason."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from engine.errors import DataError
from engine.model import ModelRecord, read_artefact, with_version, write_artefact

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
)
N = 4  # rsi_14, adx_14 and its two directional lines


def tensors() -> dict[str, Any]:
    return {
        "mean": np.arange(N, dtype=np.float64),
        "scale": np.full(N, 2.0),
        "coefficients": np.linspace(-1.0, 1.0, N),
        "intercept": np.array([0.25]),
        "temperature": np.array([1.5]),
    }


def test_record_and_weights_come_back_as_they_were() -> None:
    data = write_artefact(RECORD, tensors())

    artefact = read_artefact(data)

    assert artefact.record == RECORD
    assert artefact.record.columns[1] == "adx_14@4h"
    parts = (np.arange(N), np.full(N, 2.0), np.linspace(-1.0, 1.0, N), [0.25], [1.5])
    assert artefact.weights.tolist() == np.concatenate(parts).tolist()
    assert write_artefact(artefact.record, artefact.tensors) == data


def test_any_reader_of_safetensors_can_read_the_weights() -> None:
    found = load(write_artefact(RECORD, tensors()))

    assert found["coefficients"].tolist() == np.linspace(-1.0, 1.0, N).tolist()


def test_version_is_all_that_with_version_changes() -> None:
    artefact = read_artefact(with_version(write_artefact(RECORD, tensors()), 7))

    assert artefact.record == replace(RECORD, version=7)
    assert (
        artefact.weights.tolist()
        == read_artefact(write_artefact(RECORD, tensors())).weights.tolist()
    )


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
    from engine.model.artefact import _checksum

    values = {**RECORD.to_json(), **changes}
    values = {name: value for name, value in values.items() if value is not ...}
    values["sha256"] = _checksum(values, tensors())
    return save(tensors(), {"papertape": json.dumps(values)})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, "format 2 is newer than 1; update papertape"),
        ({"format": 0}, "format 0 is unknown"),
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
        ("mean", np.full(N, np.nan), "mean holds a value that is not finite"),
        ("coefficients", np.full(N, np.inf), "coefficients holds a value that is not finite"),
        ("scale", np.zeros(N), "scale holds a value that is not above 0"),
        ("temperature", np.array([-1.0]), "temperature holds a value that is not above 0"),
        ("mean", np.zeros(N + 1), r"mean of type float64 and shape \(5,\) is not float64 \(4,\)"),
        ("extra", np.zeros(1), "are not"),
    ],
)
def test_weights_that_cannot_be_run_are_refused(name: str, value: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        write_artefact(RECORD, {**tensors(), name: value})


def test_weights_of_another_type_are_refused_when_read() -> None:
    from engine.model.artefact import _checksum

    found = {name: value.astype(np.float32) for name, value in tensors().items()}
    values = RECORD.to_json()
    values["sha256"] = _checksum(values, found)

    with pytest.raises(DataError, match="type float32"):
        read_artefact(save(found, {"papertape": json.dumps(values)}))
