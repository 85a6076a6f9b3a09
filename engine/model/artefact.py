"""
Artefacts: a model as one value of bytes, which a journal can carry and a file can hold.

The bytes are a safetensors file, readable by any tool that knows the format: float64 weights, and in its metadata, under
`papertape`, the record as JSON with a sha256 over record and weights. Nothing is unpickled; what is damaged, foreign or
newer is refused with the reason.

    mean scale     (scalings, inputs)   one scaling for every symbol, or one each for the record's symbols
    temperature    (1,)
    the kind's     as it shapes them

A model with weights of its own per symbol has every tensor once for each: mean and scale (symbols, inputs), all others
with an axis of symbols before their own. An ensemble has the kind's tensors with an axis of members before theirs, behind
that of symbols.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from papertape.engine.errors import DataError, did_you_mean
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.kinds import KINDS, ModelKind
from papertape.engine.model.record import FORMAT, ModelRecord

_KEY: Final = "papertape"
_LENGTH_BYTES: Final = 8  # a safetensors file begins with the length of its header
# of anything a kind lets one choose; memory is taken before it is filled
_LARGEST_SIZE: Final = 4_096
_SHARED: Final = ("mean", "scale", "temperature")  # of every kind, first in the weight vector
_SCALING: Final = ("mean", "scale")  # always by symbol, if only by one for all
_POSITIVE: Final = ("scale", "temperature")
_LINE: Final = 8  # values in a line of memory


@dataclass(frozen=True, slots=True)
class Artefact:
    """A model that was read and checked."""

    record: ModelRecord
    tensors: dict[str, FloatArray]

    @property
    def kind(self) -> ModelKind:
        """Return its row in the table of kinds."""
        return KINDS[self.record.kind]

    @property
    def sizes(self) -> IntArray:
        """Return its sizes as kernels take them."""
        return np.array([self.record.sizes[name] for name in self.kind.sizes], np.int64)

    @property
    def is_shared(self) -> bool:
        """Return whether it knows every symbol: one scaling and one set of weights for all."""
        return not self.record.is_per_symbol and len(self.tensors["mean"]) == 1

    def weights_for(self, symbol: str) -> FloatArray:
        """Return one symbol's weight vector, in the order of the kind, or raise DataError when it is not known."""
        place = 0
        if not self.is_shared:
            if symbol not in self.record.symbols:
                raise DataError(
                    f"{symbol!r} is not among the symbols that it was trained on: "
                    f"{', '.join(self.record.symbols)}"
                )
            place = self.record.symbols.index(symbol)
        chosen = {
            name: tensor[place] if self.record.is_per_symbol or name in _SCALING else tensor
            for name, tensor in self.tensors.items()
        }
        parts = [chosen[name].reshape(-1) for name in _SHARED]
        members = self.record.members
        for member in range(members):
            own = [chosen[name] if members == 1 else chosen[name][member] for name in self._own]
            parts += [tensor.reshape(-1) for tensor in own]
            if members > 1:
                parts.append(np.zeros(-sum(tensor.size for tensor in own) % _LINE))
        # The kind's own begin on a line of memory: vector loads that cross lines cost a third of a step.
        n = sum(len(part) for part in parts)
        room = np.empty(n + _LINE)
        first = -(room.ctypes.data // 8 + 2 * len(self.record.inputs) + 1) % _LINE
        return np.concatenate(parts, out=room[first : first + n])

    @property
    def _own(self) -> dict[str, tuple[int, ...]]:
        """Return the tensors of its kind, with the shapes that they have in one model."""
        return self.kind.shapes(len(self.record.inputs), self.record.sizes)

    def member(self, number: int) -> "Artefact":
        """Return one model of an ensemble by itself, with the scaling and the temperature of all."""
        if self.record.members == 1:
            return self
        axis = int(self.record.is_per_symbol)
        own = {name: np.asarray(self.tensors[name].take(number, axis)) for name in self._own}
        return Artefact(replace(self.record, members=1), {**self.tensors, **own})

    @property
    def state_length(self) -> int:
        """Return how many values it carries from close to close, per symbol."""
        one = self.kind.state_length(len(self.record.inputs), self.record.sizes)
        return self.record.members * one

    def scratch(self) -> FloatArray:
        """Return what its kernel may write on."""
        n = len(self.record.inputs)
        return np.zeros(n + self.kind.work_length(n, self.record.sizes))


def write_artefact(record: ModelRecord, tensors: Mapping[str, FloatArray]) -> bytes:
    """Return a model as bytes, or raise DataError for a record or weights that `read_artefact` would refuse."""
    owned = {name: np.ascontiguousarray(value, np.float64) for name, value in tensors.items()}
    try:
        # as it will be read: keys become texts and tuples lists, before the checksum is taken
        values = json.loads(json.dumps(record.to_json(), allow_nan=False))
    except (ValueError, TypeError) as error:
        raise DataError(f"artefact: the record holds what JSON cannot say: {error}") from error
    _check_tensors(ModelRecord.from_json(values), owned)
    values["sha256"] = _checksum(values, owned)
    return save(owned, {_KEY: json.dumps(values, sort_keys=True, allow_nan=False)})


def read_artefact(data: bytes) -> Artefact:
    """Return the model that the bytes hold, every part checked, or raise DataError."""
    values = _read_record(data)
    try:
        tensors: dict[str, Any] = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"artefact: the weights are not readable; the file is damaged: {error}") from error
    if values.pop("sha256", None) != _checksum(values, tensors):
        raise DataError("artefact: the checksum does not match; the file is damaged")
    record = ModelRecord.from_json(values)
    if values["format"] == 1:
        tensors = _from_format_1(tensors)
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


def _from_format_1(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of a format 1 artefact, whose one scaling had no axis of its own, as they are laid out today."""
    return {
        name: value.reshape(1, *value.shape) if name in ("mean", "scale") else value
        for name, value in tensors.items()
    }


def _shapes(record: ModelRecord, n_scalings: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors that a record asks for, with their shapes."""
    n = len(record.inputs)
    scaling = {"mean": (n_scalings, n), "scale": (n_scalings, n)}
    own = KINDS[record.kind].shapes(n, record.sizes)
    if record.members > 1:
        own = {name: (record.members, *shape) for name, shape in own.items()}
    others = {"temperature": (1,), **own}
    if record.is_per_symbol:
        others = {name: (n_scalings, *shape) for name, shape in others.items()}
    return {**scaling, **others}


def _check_sizes(record: ModelRecord) -> None:
    """Raise DataError unless the record's sizes are those of its kind, each within reason."""
    if record.kind not in KINDS:
        raise DataError(f"artefact: unknown kind {record.kind!r}{did_you_mean(record.kind, KINDS)}")
    wanted = list(KINDS[record.kind].sizes)
    if set(record.sizes) != set(wanted):
        raise DataError(f"artefact: sizes {sorted(record.sizes)} are not {sorted(wanted)}")
    for name, size in record.sizes.items():
        if size > _LARGEST_SIZE:
            raise DataError(f"artefact: {name} {size} is above {_LARGEST_SIZE}")


def _n_scalings(record: ModelRecord, tensors: Mapping[str, Any]) -> int:
    """Return how many scalings there must be: one, or one for each of the record's symbols."""
    mean = tensors.get("mean")
    if not record.is_per_symbol and (mean is None or mean.shape[:1] in ((), (1,))):
        return 1
    if not record.symbols or len(set(record.symbols)) != len(record.symbols):
        raise DataError(f"artefact: weights by symbol need symbols, each once, not {list(record.symbols)}")
    return len(record.symbols)


def _check_tensors(record: ModelRecord, tensors: Mapping[str, Any]) -> None:
    """Raise DataError unless the weights are those of the record's kind, finite and in range."""
    _check_sizes(record)
    wanted = _shapes(record, _n_scalings(record, tensors))
    if set(tensors) != set(wanted):
        raise DataError(f"artefact: weights {sorted(tensors)} are not {sorted(wanted)}")
    positive = (*_POSITIVE, *KINDS[record.kind].positive)
    for name, shape in wanted.items():
        value = tensors[name]
        if value.dtype != np.float64 or value.shape != shape:
            raise DataError(
                f"artefact: {name} of type {value.dtype} and shape {value.shape} is not float64 {shape}"
            )
        if not np.isfinite(value).all():
            raise DataError(f"artefact: {name} holds a value that is not finite")
        if name in positive and not (value > 0.0).all():
            raise DataError(f"artefact: {name} holds a value that is not above 0")
        if name in KINDS[record.kind].places:
            # a kernel reads at these places unlooked
            _check_places(name, value, len(record.inputs))


def _check_places(name: str, value: FloatArray, n_inputs: int) -> None:
    """Raise DataError unless every value is the number of an input."""
    if not ((value >= 0.0) & (value < n_inputs) & (value == np.floor(value))).all():
        raise DataError(f"artefact: {name} holds a value that is not the number of one of {n_inputs} inputs")
