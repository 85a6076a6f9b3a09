"""
The service that keeps shadow records up to date while a daemon runs: after closes, in a thread, a small share of one core at most.

It reads what is on the disk and writes what it found. Nothing waits for it, and where it did not get to the end before a kill,
the next start finds the same.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from papertape.daemon.journal import Journal, Writer
from papertape.daemon.journal.attempts import ShadowRow, ShadowTotal, write_shadows
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.learning.retraining import News
from papertape.daemon.learning.shadow import shadow_records
from papertape.engine.errors import DataError
from papertape.engine.report import Report
from papertape.replay.learning.settings import LearningSettings

REST: Final = 50.0  # times as long as a look took: 2 % of a core, however long the record is

OnShadows = Callable[[ShadowTotal], None]


class ShadowWatch:
    """
    A sink that notices closes, and a service that measures what models would have made of them.

    symbols    that models are asked about, in the engine's order; length_ms: of the strategy's timeframe
    on_look    called with what all models would have earned, once there is a record
    on_trouble called with what went wrong, in a sentence, once until it is something else
    """

    def __init__(
        self,
        state: Path,
        writer: Writer,
        store: ModelStore,
        symbols: Sequence[str],
        length_ms: int,
        settings: LearningSettings,
        on_look: OnShadows,
        on_trouble: Callable[[str], None],
    ) -> None:
        self._state, self._writer, self._store = state, writer, store
        self._symbols, self._length_ms, self._settings = tuple(symbols), length_ms, settings
        self._on_look, self._on_trouble = on_look, on_trouble
        self._due = asyncio.Event()
        self._due.set()  # a start looks at once
        self._closed_ms = 0
        self._trouble = ""

    def __call__(self, report: Report) -> None:
        """Notice that candles of the strategy have closed."""
        if len(report.marks):
            closed_ms = int(report.marks["time_ms"][-1]) // self._length_ms
            if closed_ms != self._closed_ms:
                self._closed_ms = closed_ms
                self._due.set()

    def on_retrain(self, news: News) -> None:
        """Notice that there is another model."""
        if news.version:
            self._due.set()

    async def run(self) -> None:
        """Look whenever something has closed, until cancelled."""
        stopping = threading.Event()
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                took_s = await self.look()
                # By the machine's clock, whatever the loop goes by.
                await asyncio.to_thread(stopping.wait, REST * took_s)
        finally:
            stopping.set()

    async def look(self) -> float:
        """Measure and write down what there is to be told, and return the seconds that it took."""
        await self._writer.submit(_nothing)  # what was told up to here is on the disk
        started_s = time.monotonic()
        try:
            found = await asyncio.to_thread(self._records)
        except DataError as error:
            self._tell(str(error))
        else:
            self._tell("")
            total = await self._writer.submit(write_shadows(found))
            if total is not None:
                self._on_look(total)
        return time.monotonic() - started_s

    def _records(self) -> list[ShadowRow]:
        with Journal.read(self._state) as journal:
            return shadow_records(journal, self._symbols, self._length_ms, self._settings, self._store.read)

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            self._on_trouble(f"the shadow record stands still: {trouble}")
        self._trouble = trouble


def _nothing(journal: Journal) -> None:
    """Do nothing; it is done when everything before it is on the disk."""
