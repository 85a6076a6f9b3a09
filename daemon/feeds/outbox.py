"""What a feed has ready for its reader: whatever has arrived is one batch, and a slow reader slows the writer."""

import asyncio

from papertape.engine.jit import Rows, join_rows

MAX_ROWS = 65_536


class Outbox:
    """A bounded place for candles between the task that makes them and the one that reads them."""

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self._parts: list[Rows] = []
        self._n_rows = 0
        self._is_closed = False
        self._changed = asyncio.Condition()

    async def put(self, rows: Rows) -> None:
        """Add candles; wait while the reader is far behind."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._n_rows < self._max_rows)
            self._parts.append(rows)
            self._n_rows += len(rows)
            self._changed.notify_all()

    async def take(self) -> Rows | None:
        """Return everything that has arrived, at least one candle; None when it is closed and empty."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._n_rows > 0 or self._is_closed)
            if not self._n_rows:
                return None
            rows = join_rows(self._parts)
            self._parts, self._n_rows = [], 0
            self._changed.notify_all()
            return rows

    async def close(self) -> None:
        """Let the reader finish."""
        async with self._changed:
            self._is_closed = True
            self._changed.notify_all()
