"""The seam between the engine and everything that can feed it."""

from collections.abc import AsyncIterator
from typing import Protocol

from papertape.engine.events import Event


class Feed(Protocol):
    """
    An async iterator of events: small arrays of final candles in (open_ms, symbol) order, or commands.

    Whatever has arrived is one batch. The size of a batch never changes a result.
    """

    def __aiter__(self) -> AsyncIterator[Event]:
        """Return an iterator that ends when the recording does, or never."""
        ...
