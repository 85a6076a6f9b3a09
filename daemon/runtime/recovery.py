"""
From a state directory back to the engine as it was: the newest good snapshot, then every later input again.

What the engine reported for those inputs is taken back first and written anew, so the tables are those of a run that
was never interrupted. When the engine's sources have changed, no snapshot fits and everything is stepped again from
the first input; where the new version decides otherwise than the old one did is told.
"""

import json
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from papertape.daemon.chapters.chapter import CHAPTER
from papertape.daemon.chapters.stepping import Stepper
from papertape.daemon.journal import Input, Journal, Late, Snapshot, Work, encode, take_back, write_report
from papertape.daemon.journal.archive import all_inputs
from papertape.daemon.journal.closes import MOST_CLOSES, CloseKeeper, SeenClose, rearrange_closes
from papertape.daemon.journal.codec import MARKET
from papertape.daemon.journal.identity import Identity
from papertape.engine.broker.account import PAUSED_BY_FAULT
from papertape.engine.broker.ledger import DECIMALS, units_per_quote
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Action, Command, MarketChange
from papertape.engine.report import Report
from papertape.replay.runtime.compile import compile_kernels

_GROUP: Final = 256  # inputs per transaction
# Inputs before the snapshot whose chain is checked at a start: 0.3 s. The audit checks all of them.
CHECKED: Final = 100_000

Progress = Callable[[str, int, int], None]


class Recovered(NamedTuple):
    """
    An engine that has taken every input of a journal.

    after_ms  open time of the newest candle; None before the first
    stepped   inputs that were stepped again
    told      what an operator should know, in sentences
    closes    what hands over what the engine sees at its closes
    """

    engine: Engine
    after_ms: int | None
    stepped: int
    told: tuple[str, ...]
    closes: CloseKeeper


def recover(
    journal: Journal, on_progress: Progress | None = None, on_compile: Callable[[], None] | None = None
) -> Recovered:
    """
    Return the engine after the journal's last input.

    on_compile  called before kernels are compiled, where some are not on disk

    Raises InvariantError where an input is missing, was changed or is refused by the engine.
    """
    state = journal.path.parent
    stepper = Stepper(state, journal)
    newest = stepper.lineage.accounts[-1].spec
    compile_kernels(newest, on_compile)
    is_stale = journal.meta("tables_stale") is not None
    start, told = (0, ["the tables are made again"]) if is_stale else _restore(journal, stepper)
    # What is kept of closes has the newest account's columns, whichever account was in force.
    columns = Engine(newest).frames.columns
    since_ms = (journal.last_candle_ms() or 0) - MOST_CLOSES * stepper.engine.length_ms
    closes = CloseKeeper(stepper.engine, since_ms, columns)
    _check_before(journal, start)
    older = {s.sequence: s.digest for s in journal.snapshots() if s.is_whole} if start == 0 else {}
    journal.commit([lambda j: take_back(j.connection, start), lambda j: _set_columns(j, closes.columns)])
    inputs = all_inputs(state, journal, start)
    done, changed_at, fault = start, 0, ""
    while group := list(islice(inputs, _GROUP)):
        reports: list[tuple[Report, list[SeenClose]]] = []
        try:
            for found in group:
                report = stepper.step(found)
                if found.kind == CHAPTER:
                    closes = CloseKeeper(stepper.engine, since_ms, columns)
                reports.append((report, closes.take(report)))
                if report.faults:
                    fault = str(report.faults[-1])
                digest = stepper.engine.digest
                if not changed_at and older.get(found.sequence, digest) != digest:
                    changed_at = found.sequence
        finally:  # what an error ends is told up to the input that raised it
            journal.commit([_write_reports(stepper.engine, group[: len(reports)], reports)])
        done = group[-1].sequence
        if on_progress is not None:
            on_progress("recovering", done - start, journal.sequence - start)
    engine = stepper.engine
    if engine.account[0].is_paused & PAUSED_BY_FAULT:
        told.append(f"entries are paused: {fault or _last_fault(journal)}")
    if changed_at:
        told.append(
            f"this version decides otherwise than the one before, from an input up to {changed_at} on; "
            "decisions, fills and equity are now as this version would have had them"
        )
    if is_stale:
        journal.commit([lambda j: j.connection.execute("DELETE FROM meta WHERE key = 'tables_stale'")])
    assert done == journal.sequence
    return Recovered(engine, journal.last_candle_ms(), done - start, tuple(told), closes)


def _last_fault(journal: Journal) -> str:
    """Return the strategy's newest fault that the journal tells of, from before the snapshot."""
    found = journal.all("SELECT detail FROM notices WHERE kind = 'strategy' ORDER BY id DESC LIMIT 1")
    return str(found[0][0]) if found else "the strategy was at fault"


def _check_before(journal: Journal, start: int) -> None:
    """Raise InvariantError where a newer input of those that need no stepping is missing or was changed."""
    first = max(journal.first_sequence - 1, start - CHECKED)
    for found in journal.inputs(first):
        if found.sequence >= start:
            return


def _set_columns(journal: Journal, columns: Sequence[str]) -> None:
    """Let the features of closes that are kept stand in the order of these columns."""
    before = journal.meta("close_columns")
    if before is not None and json.loads(before) != list(columns):
        rearrange_closes(journal.connection, json.loads(before), columns)
    journal.set_meta(close_columns=list(columns))


def _restore(journal: Journal, stepper: Stepper) -> tuple[int, list[str]]:
    """Go on behind the newest snapshot that fits; return its sequence, 0 for none, and what was wrong."""
    told: list[str] = []
    for snapshot in journal.snapshots():
        where = f"snapshot {snapshot.sequence}"
        if not snapshot.is_whole:
            told.append(f"{where} is damaged; an older one is used")
        elif not stepper.fits(snapshot):
            told.append(f"{where} is of other sources; every input is stepped again")
            break
        elif not _follows(journal, snapshot):
            told.append(f"{where} is not of this journal; an older one is used")
        else:
            try:
                stepper.load(snapshot)
            except DataError as error:
                told.append(f"{where}: {error}; an older one is used")
                continue
            return snapshot.sequence, told
    return 0, told


def _follows(journal: Journal, snapshot: Snapshot) -> bool:
    """Return whether the input that a snapshot ends with is the one of the journal."""
    if not journal.first_sequence - 1 <= snapshot.sequence <= journal.sequence:
        return False
    return journal.hash_of(snapshot.sequence) == snapshot.hash


def begin(identity: Identity) -> Work[None]:
    """
    Return the work that begins a journal: with history to come, entries are paused until it is over.

    The account opens when the daemon does. Trades of candles from before that would be results that nobody could
    have had; features and models warm up on them all the same.

    In calm operation a candle comes within `grace_s` of its close, declared absent if nothing else, plus the
    `deadline_s` that the venue's history may take to answer. What comes later than that was missed: the daemon was
    down or cut off.
    """
    live = identity.config.live

    def work(journal: Journal) -> None:
        limit_ms = round(1000.0 * (live.grace_s + live.deadline_s))
        journal.set_meta(identity=identity.as_json(), limit_ms=limit_ms)
        decimals = identity.config.account.decimals
        if decimals != DECIMALS:
            journal.set_meta(units_per_quote=units_per_quote(decimals))
        if live.history_bars:
            journal.add_input(encode(Command(Action.PAUSE)), 0)
        else:
            journal.set_meta(first_live=1)

    return work


def limit_of(journal: Journal) -> int:
    """Return how long after its close a candle is too late to act on, in ms; fixed when the journal begins."""
    return int(journal.meta("limit_ms") or 0)


def first_live(journal: Journal) -> int | None:
    """Return the first input after the warm-up, None while it lasts: history that was fetched is never late."""
    found = journal.meta("first_live")
    return int(found) if found else None


def _write_reports(
    engine: Engine, inputs: list[Input], reports: list[tuple[Report, list[SeenClose]]]
) -> Work[None]:
    """Return the work that writes what these inputs led to."""

    def work(journal: Journal) -> None:
        live_from, limit_ms = first_live(journal), limit_of(journal)
        for found, (report, closes) in zip(inputs, reports, strict=True):
            event = found.event if found.kind == MARKET else None
            if isinstance(event, MarketChange):  # an earlier version did not keep it apart
                journal.tell_market(engine.symbols[event.symbol], event.figures)
            is_live = live_from is not None and found.sequence >= live_from
            late = Late(found.received_ms, limit_ms) if is_live else None
            write_report(
                journal.connection, report, found.sequence, engine.symbols, late, closes, engine.length_ms
            )

    return work
