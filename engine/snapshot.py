"""
Restart and equality: snapshots of named arrays, and the digest of a run.

No pickle; a damaged or foreign snapshot is refused.

Layout: one line of JSON (format, fingerprint of the configuration, sha256 of the payload, and name, type and shape of
every array in order), a newline, the arrays' bytes one after the other.
"""

import hashlib
import json
from functools import cache
from typing import Any, Final

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import Rows

FORMAT: Final = 1
_BLOCK_BYTES: Final = 1 << 16


@cache
def _describe(dtype: np.dtype[Any]) -> Any:
    """Return a type as JSON: nested lists of fields, or a string."""
    if dtype.names is None:
        return dtype.str
    fields = []
    for name in dtype.names:
        field: np.dtype[Any] = dtype[name]
        base, shape = field.subdtype or (field, ())
        fields.append([name, _describe(base), list(shape)])
    return fields


def pack(arrays: dict[str, Rows], fingerprint: str) -> bytes:
    """Return arrays as bytes that `unpack` accepts for the same fingerprint."""
    payload = b"".join(array.tobytes() for array in arrays.values())
    header = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "sha256": hashlib.sha256(payload).hexdigest(),
        "arrays": [[name, _describe(array.dtype), list(array.shape)] for name, array in arrays.items()],
    }
    return json.dumps(header).encode() + b"\n" + payload


def unpack(data: bytes, fingerprint: str, like: dict[str, Rows]) -> dict[str, Rows]:
    """
    Return the arrays of a snapshot.

    like  arrays of the same names and types, as a fresh engine has them; first dimensions may differ

    Raises DataError when the snapshot is damaged, newer, or of another configuration.
    """
    line, _, payload = data.partition(b"\n")
    try:
        header = json.loads(line)
        version, found = header["format"], header["fingerprint"]
        digest, described = header["sha256"], header["arrays"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError("snapshot: the header is not readable; the file is damaged") from error
    if version != FORMAT:
        raise DataError(f"snapshot: format {version} is not {FORMAT}; use the version that wrote it")
    if found != fingerprint:
        raise DataError(
            "snapshot: it was made with another configuration or other sources; start from the tape"
        )
    if hashlib.sha256(payload).hexdigest() != digest:
        raise DataError("snapshot: the checksum does not match; the file is damaged")
    arrays: dict[str, Rows] = {}
    offset = 0
    for name, kind, shape in described:
        if name not in like or _describe(like[name].dtype) != kind:
            raise DataError(f"snapshot: array {name!r} is not of the expected type")
        count = int(np.prod(shape))
        array = np.frombuffer(payload, like[name].dtype, count, offset).reshape(shape)
        arrays[name] = array.copy()
        offset += array.nbytes
    lacking = [name for name in like if name not in arrays]
    if lacking:
        raise DataError(f"snapshot: there is no array {lacking[0]!r}; it is of another configuration")
    return arrays


class StreamDigest:
    """
    SHA-256 chained over a stream of records; it can be stopped, saved and continued, and does not depend on batching.

    The bytes are cut into blocks of fixed size: digest = sha256(digest before + block). The hash objects of the standard
    library cannot be saved; 32 bytes and the unfinished block can.
    """

    def __init__(self) -> None:
        self._chain = bytes(32)
        self._rest = bytearray()

    def update(self, records: Rows) -> None:
        """Add the bytes of some records."""
        if not len(records):
            return
        data = np.ascontiguousarray(records).view(np.uint8).reshape(-1).data
        while len(self._rest) + len(data) >= _BLOCK_BYTES:
            taken = _BLOCK_BYTES - len(self._rest)
            block = hashlib.sha256(self._chain)
            block.update(self._rest)
            block.update(data[:taken])
            self._chain, data = block.digest(), data[taken:]
            self._rest.clear()
        self._rest += data

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was added yet."""
        return not self._rest and self._chain == bytes(32)

    def digest(self) -> bytes:
        """Return the digest of everything added so far."""
        return hashlib.sha256(self._chain + self._rest).digest()

    def save(self) -> Rows:
        """Return the state as bytes in an array."""
        return np.frombuffer(self._chain + bytes(self._rest), np.uint8).copy()

    def load(self, saved: Rows) -> None:
        """Take over what `save` returned."""
        data = saved.tobytes()
        self._chain, self._rest = data[:32], bytearray(data[32:])
