"""What is tried is put on record, and told how it stands; trouble with the ledger costs no result and is said."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from papertape.engine.errors import DataError
from papertape.engine.performance.standing import Standing
from papertape.replay.backtesting.doubts import with_standing
from papertape.replay.backtesting.result import Result
from papertape.replay.config import Config
from papertape.replay.research.trials.entry import TrialEntry, entry_of
from papertape.replay.research.trials.holdout import READ, Holdout
from papertape.replay.research.trials.ledger import Count, Head, opened


def append(entries: Iterable[TrialEntry], *, only_new: bool = False) -> Standing:
    """
    Append trials to the ledger, all or none of them, and return how they stand: counts are of all their tapes together.

    only_new  leave out those that are on record already, by configuration and tapes

    Raises nothing for a ledger that is off, full, read-only, damaged or newer: `problem` says what it is, and `trials` is None
    where not even the trials before could be read.
    """
    kept = list(entries)
    tapes = sorted({tape for entry in kept for _, tape in entry.tapes})
    try:
        with opened(is_writing=True) as ledger:
            head = ledger.append(kept, only_new=only_new)
            count = ledger.count(tapes, head.sequence)
            return _stood(count, head)
    except DataError as error:
        return _unrecorded(kept, tapes, str(error))


def on_record(
    config: Config,
    result: Result,
    kind: str = "replay",
    held_out: Sequence[Holdout] = (),
    models: Sequence[tuple[int, bytes]] = (),
) -> Result:
    """
    Put a finished replay on record, and write into its summary how it stands; return it.

    held_out  what it read of what is held out; models: those it was given in place of training its own
    """
    if held_out:
        kind = READ
        result.summary["holdout"] = [lock.to_json() for lock in held_out]
    with_standing(result.summary, append([entry_of(kind, config, result, models)]))
    return result


def standing_faults(summary: Mapping[str, Any]) -> tuple[list[str], str]:
    """
    Return what the ledger here says against a result, and a sentence where it can say nothing.

    The row that was the newest when the result was made must still be there, and everything before it count as it did.
    """
    try:
        saved = Standing.of_json(summary["trials"])
    except KeyError:
        return [], "its trials were not counted when it was made"
    if not saved.sequence:
        return [], saved.problem or "its trials were not counted when it was made"
    try:
        with opened() as ledger:
            if ledger.head().ledger != saved.ledger:
                return [], f"it was counted by another ledger than {ledger.path}"
            faults = ledger.faults()
            if ledger.hash_at(saved.sequence) != saved.head:
                faults.append(
                    f"trial {saved.sequence:,}, the newest when the result was made, is not there or another"
                )
            elif not saved.problem:
                tapes = [tape["sha256"] for tape in summary["tapes"]]
                count = ledger.count(tapes, saved.sequence)
                if not _says(saved, count):
                    faults.append(f"{saved.trials} trials are said, and {count.trials} were on record")
            return [f"trial ledger: {fault}" for fault in faults], ""
    except DataError as error:
        return [], str(error)


def standing_on(tapes: list[str], problem: str = "") -> Standing:
    """Return how many trials are on record on any of these tapes; problem: why some may not be."""
    try:
        with opened() as ledger:
            head = ledger.head()
            return _stood(ledger.count(tapes, head.sequence), head, problem)
    except DataError as error:
        return Standing(None, None, problem or str(error))


def _unrecorded(entries: list[TrialEntry], tapes: list[str], problem: str) -> Standing:
    """Return how trials stand that could not be appended, by what can still be read."""
    try:
        with opened() as ledger:
            head = ledger.head()
            count = ledger.count_with(tapes, entries)
    except DataError:
        return Standing(None, None, problem)
    return _stood(count, head, problem)


def _stood(count: Count, head: Head, problem: str = "") -> Standing:
    return Standing(
        count.trials, None, problem, head.ledger, head.sequence, head.hash, count.spread, count.spread_trials
    )


def _says(saved: Standing, count: Count) -> bool:
    """Return whether a result says what the ledger counts, by the rule of the version that made it."""
    if saved.spread_trials is None:
        return (saved.trials, saved.deviation) == (count.trials, count.deviation)
    return (saved.trials, saved.spread, saved.spread_trials) == count[:3]
