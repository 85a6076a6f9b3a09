"""Writes the trials of one search to the trial ledger: a batch every second, and after a kill what was missed at the next start."""

import time
from collections.abc import Iterable
from typing import Final

from papertape.engine.errors import DataError
from papertape.engine.performance.standing import Standing
from papertape.replay.research.sweep.axes import CODE_KEYS, with_changes
from papertape.replay.research.sweep.trial import TrialRow, TrialRunner
from papertape.replay.research.trials.entry import TrialEntry, defined, now_ms
from papertape.replay.research.trials.identity import code_digest
from papertape.replay.research.trials.ledger import opened
from papertape.replay.research.trials.recording import standing_on

_BATCH: Final = 256
_EVERY_S: Final = 1.0
_NAME: Final = "strategy.name"


class LedgerWriter:
    """Records finished trials, each once; an error of the ledger ends no search and is reported in its standing."""

    def __init__(self, runner: TrialRunner, kind: str = "sweep") -> None:
        self._runner, self._kind = runner, kind
        self._waiting: list[TrialEntry] = []
        self._flushed_s = time.monotonic()
        self._tapes: set[str] = set()
        self._codes: dict[str, str] = {}
        self._problem = ""

    def add(self, row: TrialRow) -> None:
        """Record one trial; one that was not run has shown nobody anything."""
        if row.outcome not in ("done", "pruned"):
            return
        self._tapes.update(row.tapes)
        if self._problem:
            return
        self._waiting.append(self._entry(row))
        if len(self._waiting) >= _BATCH or time.monotonic() - self._flushed_s > _EVERY_S:
            self.close()

    def add_all(self, rows: Iterable[TrialRow]) -> None:
        """Record the trials of a file that is resumed: a kill may have left out the newest of them."""
        for row in rows:
            self.add(row)

    def close(self) -> None:
        """Write what is pending."""
        entries, self._waiting = self._waiting, []
        self._flushed_s = time.monotonic()
        try:
            if entries:
                with opened(is_writing=True) as ledger:
                    ledger.append(entries, only_new=True)
        except DataError as error:
            self._problem = str(error)

    def standing(self) -> Standing:
        """Return how these trials stand among all that are on record for their tapes."""
        return standing_on(sorted(self._tapes), self._problem)

    def _entry(self, row: TrialRow) -> TrialEntry:
        symbols = self._runner.symbols
        strategy = str(row.changes.get(_NAME, self._runner.config.strategy.name))
        changes = {key: row.changes[key] for key in CODE_KEYS if key in row.changes}
        if repr(changes) not in self._codes:
            self._codes[repr(changes)] = code_digest(with_changes(self._runner.config, changes))
        return TrialEntry(
            self._kind,
            strategy,
            [(symbols[tape], tape) for tape in row.tapes],
            row.configuration,
            self._codes[repr(changes)],
            row.digest,
            defined(row.metrics),
            row.returns,
            now_ms(),
        )
