"""
Artefacts: a model as one value of bytes, which a journal can carry and a file can hold.

The bytes are a safetensors file, readable by any tool that knows the format: float64 weights, and in its metadata, under
`papertape`, the record as JSON with a sha256 over record and weights. Nothing is unpickled; what is damaged, foreign or
newer is refused with the reason.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.errors import DataError, did_you_mean
from engine.jit import FloatArray
from engine.model.kinds import KINDS, Kind
from engine.model.record import FORMAT, ModelRecord

_KEY: Final = "papertape"
_LENGTH_BYTES: Final = 8  # a safetensors file begins with the length of its header


@dataclass(frozen=True, slots=True)
class Artefact:
    """A model that was read and checked; `weights` is the flat vector that its kernel takes."""

    record: ModelRecord
    tensors: dict[str, FloatArray]

    @property
    def kind(self) -> Kind:
        """Return its row in the table of kinds."""
        return KINDS[self.record.kind]

    @property
    def weights(self) -> FloatArray:
        """Return the tensors one after the other, in the kind's order."""
        order = self.kind.shapes(len(self.record.columns))
        return np.concatenate([self.tensors[name].reshape(-1) for name in order])


def write_artefact(record: ModelRecord, tensors: Mapping[str, FloatArray]) -> bytes:
    """Return a model as bytes, or raise DataError for weights that `read_artefact` would refuse."""
    owned = {name: np.ascontiguousarray(value, np.float64) for name, value in tensors.items()}
    _check_tensors(record, owned)
    values = record.to_json()
    values["sha256"] = _checksum(values, owned)
    return save(owned, {_KEY: json.dumps(values, sort_keys=True, allow_nan=False)})


def read_artefact(data: bytes) -> Artefact:
    """Return the model that the bytes hold, every part checked, or raise DataError."""
    values = _read_record(data)
    try:
        tensors: dict[str, Any] = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"artefact: the weights are not readable; the file is damaged: {error}"
        ) from error
    if values.pop("sha256", None) != _checksum(values, tensors):
        raise DataError("artefact: the checksum does not match; the file is damaged")
    record = ModelRecord.from_json(values)
    _check_tensors(record, tensors)
    return Artefact(record, tensors)


def with_version(data: bytes, version: int) -> bytes:
    """Return the same model under a version number."""
    artefact = read_artefact(data)
    return write_artefact(replace(artefact.record, version=version), artefact.tensors)


def _read_record(data: bytes) -> dict[str, Any]:
    """Return the record's JSON after its format was checked."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < _LENGTH_BYTES or length > len(data) - _LENGTH_BYTES:
        raise DataError(f"artefact: {len(data)} bytes are not a whole safetensors file")
    try:
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        text = header["__metadata__"][_KEY]
    except (ValueError, RecursionError) as error:
        raise DataError("artefact: the header is not readable; the file is damaged") from error
    except (KeyError, TypeError) as error:
        raise DataError("artefact: it is a foreign file: it holds no papertape record") from error
    try:
        values = json.loads(text)
        version = values["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError("artefact: the record is not readable; the file is damaged") from error
    if not isinstance(version, int) or version < 1:
        raise DataError(f"artefact: format {version!r} is unknown")
    if version > FORMAT:
        raise DataError(f"artefact: format {version} is newer than {FORMAT}; update papertape")
    assert isinstance(values, dict)
    return values


def _checksum(values: Mapping[str, Any], tensors: Mapping[str, Any]) -> str:
    """Return the sha256 over a record and its weights."""
    digest = hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _check_tensors(record: ModelRecord, tensors: Mapping[str, Any]) -> None:
    """Raise DataError unless the weights are those of the record's kind, finite and in range."""
    if record.kind not in KINDS:
        raise DataError(f"artefact: unknown kind {record.kind!r}{did_you_mean(record.kind, KINDS)}")
    kind = KINDS[record.kind]
    wanted = kind.shapes(len(record.columns))
    if set(tensors) != set(wanted):
        raise DataError(f"artefact: weights {sorted(tensors)} are not {sorted(wanted)}")
    for name, shape in wanted.items():
        value = tensors[name]
        if value.dtype != np.float64 or value.shape != shape:
            raise DataError(
                f"artefact: {name} of type {value.dtype} and shape {value.shape} is not float64 {shape}"
            )
        if not np.isfinite(value).all():
            raise DataError(f"artefact: {name} holds a value that is not finite")
        if name in kind.positive and not (value > 0.0).all():
            raise DataError(f"artefact: {name} holds a value that is not above 0")
