"""
A digest of a run that can be stopped, saved and continued, and that does not depend on batching.

The bytes of the records are cut into blocks of fixed size and chained: digest = sha256(digest before + block). The
hash objects of the standard library cannot be saved; 32 bytes and the unfinished block can.
"""

import hashlib
from typing import Final

import numpy as np

from papertape.engine.jit import Rows

_BLOCK_BYTES: Final = 1 << 16


class StreamDigest:
    """SHA-256 chained over a stream of bytes."""

    def __init__(self) -> None:
        self._chain = bytes(32)
        self._rest = bytearray()

    def update(self, records: Rows) -> None:
        """Add the bytes of some records."""
        if not len(records):
            return
        self._rest += records.tobytes()
        done = len(self._rest) - len(self._rest) % _BLOCK_BYTES
        for start in range(0, done, _BLOCK_BYTES):
            block = self._rest[start : start + _BLOCK_BYTES]
            self._chain = hashlib.sha256(self._chain + block).digest()
        del self._rest[:done]

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
