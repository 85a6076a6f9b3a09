"""
An engine that takes a journal's inputs, from chapter to chapter.

At a chapter a new engine looks at every input before it: candles, series, settlements and models, in order and unasked. What
it knows then is what an engine would know that had been there from the beginning, so nothing warms up anew and nothing is
known too early. It takes the account over, and goes on. All of it follows from the inputs alone.
"""

from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Final

import numpy as np

from papertape.daemon.chapters.changes import costs_said
from papertape.daemon.chapters.chapter import CHAPTER, Chapter
from papertape.daemon.chapters.lineage import lineage_of
from papertape.daemon.journal import Input, Journal, Snapshot
from papertape.daemon.journal.archive import all_inputs
from papertape.daemon.journal.codec import CANDLES, FUNDING, MODEL, SERIES
from papertape.engine.chapters import carry
from papertape.engine.core import Engine
from papertape.engine.errors import DataError, InvariantError
from papertape.engine.events import NewModel
from papertape.engine.jit import Rows, join_rows
from papertape.engine.report import Report
from papertape.replay.config.user_code import refuse_code

_JOINED: Final = 4_096  # inputs with candles that are stepped together
_LOOKED_AT: Final = (CANDLES, FUNDING, SERIES, MODEL)  # the rest concerns the account


class Stepper:
    """
    The engine of a journal, wherever it stands.

    engine   after the newest input that was taken; lineage: the accounts that it is one after the other
    """

    def __init__(self, state: Path, journal: Journal) -> None:
        """Begin before the first input; state: where archived inputs are."""
        self._state, self._journal = state, journal
        self.lineage = lineage_of(journal)
        self.engine = Engine(self.lineage.accounts[0].spec)

    def fits(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot is of these sources and of the account that was in force."""
        return snapshot.fingerprint == self.lineage.at(snapshot.sequence).spec.fingerprint()

    def load(self, snapshot: Snapshot) -> None:
        """Go on behind a snapshot, or raise DataError and stay."""
        engine = Engine(self.lineage.at(snapshot.sequence).spec)
        engine.restore(snapshot.state)
        self.engine = engine

    def step(self, found: Input) -> Report:
        """Step one journalled input; it was accepted once, so a refusal is a broken promise: InvariantError."""
        try:
            if found.kind == CHAPTER:
                chapter = Chapter.of(found, self._journal.money_decimals)
                return self._begin(chapter, found.sequence)
            return self.engine.step(found.event)
        except DataError as error:
            raise InvariantError(f"{self._journal.path}: input {found.sequence}: {error}") from error

    def _begin(self, chapter: Chapter, sequence: int) -> Report:
        """Let the account go on in an engine of the chapter's."""
        if self.engine.spec.fingerprint() != chapter.before.spec.fingerprint():
            raise DataError(f"chapter {chapter.name!r} does not follow the account that was stepped")
        after = Engine(chapter.after.spec)
        earlier = all_inputs(self._state, self._journal)
        look_on(after, takewhile(lambda found: found.sequence < sequence, earlier))
        config, changes = chapter.after.config, chapter.changes
        said = {symbol: costs_said(symbol, config, changes) for symbol in after.symbols}
        report = carry(self.engine, after, closes=chapter.closes, said=said)
        self.engine = after
        return report


def refuse_code_of(journal: Journal, state: Path, trust_code: bool) -> None:
    """Raise ConfigError where an account of a journal, before or after a chapter, names code that is not trusted."""
    for account in lineage_of(journal).accounts:
        refuse_code(account.config, state, trust_code)


def look_on(engine: Engine, inputs: Iterable[Input]) -> None:
    """Let an engine whose strategy is not asked yet see inputs; a model that it cannot read leaves it without one."""
    waiting: list[Rows] = []
    for found in inputs:
        event = found.event if found.kind in _LOOKED_AT else None
        if isinstance(event, np.ndarray):
            waiting.append(event)
            event = None
        if waiting and (event is not None or len(waiting) == _JOINED):
            engine.step(join_rows(waiting))
            waiting.clear()
        if event is None:
            continue
        try:
            engine.step(event)
        except DataError:
            if not isinstance(event, NewModel):
                raise
            engine.step(NewModel(0, b""))
    if waiting:
        engine.step(join_rows(waiting))
