"""`papertape trials`: what was ever tried on which tape, and whether the ledger of it is whole. Nothing takes a trial out."""

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from papertape.daemon.commands.options import AsJson
from papertape.daemon.commands.output import console, print_json, say
from papertape.engine.errors import DataError
from papertape.engine.performance.ratios import DAYS_PER_YEAR
from papertape.replay.backtesting.verify import read_summary
from papertape.replay.config import make_config
from papertape.replay.config.spec import load_tapes
from papertape.replay.research.trials.holdout import lock_holdout, locked
from papertape.replay.research.trials.ledger import TapeTrials, opened
from papertape.replay.research.trials.matrix import verdict
from papertape.replay.research.trials.recording import standing_faults
from papertape.replay.tapes.quality import counted
from papertape.replay.tapes.store import time_ms
from papertape.replay.tapes.timestamps import utc_text

trials_app = typer.Typer(
    help="The ledger of all trials: what was tried on which tape, and whether it is whole.",
    no_args_is_help=True,
)
_FAILED = 1


@trials_app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """
    List how much was tried on every tape: distinct configurations, whatever their strategies were called.

    Example: papertape trials list
    """
    with opened() as ledger:
        head, found = ledger.head(), ledger.by_tape()
    if as_json:
        rows = [one._asdict() for one in found]
        print_json({"path": str(ledger.path), **head._asdict(), "tapes": rows})
        return
    console.print(_table(found))
    console.print(f"{head.sequence:,} on record, the newest {head.hash[:16]}", markup=False)
    say(f"ledger {ledger.path}")


@trials_app.command("show")
def show_command(
    tape: Annotated[str, typer.Argument(help="its symbol or the beginning of its hash")],
    as_json: AsJson = False,
) -> None:
    """
    Judge all that was tried on one tape together: overfitting and step-down over the returns on record.

    Example: papertape trials show BTCUSDT
    """
    with opened() as ledger:
        known = ledger.by_tape()
        found = [one for one in known if tape == one.symbol or one.tape.startswith(tape)]
        if len(found) != 1:
            hashes = ", ".join(one.tape[:12] for one in found or known)
            said = f"{len(found)} tapes are called so" if found else "nothing was tried on it"
            raise DataError(f"{tape}: {said}; on record are {hashes or 'none'}")
        judged = verdict(entry.returns for entry in ledger.on(found[0].tape))
    if as_json:
        print_json({**found[0]._asdict(), "verdict": judged.to_json()})
        return
    console.print(_table(found))
    for line in judged.sentences():
        say(line)


@trials_app.command("lock")
def lock_command(
    tape: Annotated[str, typer.Argument(help="a name in the store or a file; BTCUSDT: the embedded sample")],
    start: Annotated[str, typer.Option("--from", help="the first that is held out, in UTC: 2023-01-01")],
    as_json: AsJson = False,
) -> None:
    """
    Hold the candles of a tape out from a time on: every search and replay refuses them but one `papertape replay --holdout`.

    Example: papertape trials lock BTCUSDT --from 2023-01-01
    """
    (chosen,) = load_tapes(make_config({"data": {"tapes": [tape]}}))
    made = lock_holdout(chosen, time_ms(start))
    if as_json:
        print_json(made.to_json())
        return
    say(f"{made.symbol}: {made}")
    if made.seen:
        say(f"! {counted(made.seen, 'trial')} on record, on this very tape, had seen some of them already")


@trials_app.command("locks")
def locks_command(as_json: AsJson = False) -> None:
    """
    List what is held out, since when, and which configuration has read it.

    Example: papertape trials locks
    """
    found = locked()
    if as_json:
        print_json({"locks": [lock.to_json() for lock in found]})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("tape", "hash", "from", "locked", "read", "by configuration"):
        table.add_column(name)
    for lock in found:
        reading = lock.reading
        read = ("–", "–") if reading is None else (utc_text(reading.time_ms)[:16], reading.configuration[:12])
        table.add_row(
            escape(lock.symbol), lock.tape[:12], utc_text(lock.start_ms), utc_text(lock.time_ms)[:16], *read
        )
    console.print(table)


@trials_app.command("verify")
def verify_command(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="result folders that must still be on record", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Hash every row again: one that was removed, changed or moved is named, and so is an end that was cut off.

    Every result carries the newest hash of when it was made, so results that are named are looked for.

    Example: papertape trials verify
    """
    with opened() as ledger:
        faults, head = ledger.faults(), ledger.head()
    for folder in results or ():
        said, note = standing_faults(read_summary(folder))
        faults += [f"{folder}: {line}" for line in (*said, *([note] if note else []))]
    if as_json:
        print_json({**head._asdict(), "faults": faults})
    elif faults:
        for line in faults:
            say(f"broken: {line}")
    else:
        console.print(f"whole: {head.sequence:,} trials, the newest {head.hash[:16]}", markup=False)
    if faults:
        raise typer.Exit(_FAILED)


def _table(found: list[TapeTrials]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("tape")
    for name in ("hash", "trials", "strategies", "best Sharpe", "worst Sharpe"):
        table.add_column(name, justify="left" if name == "hash" else "right")
    for one in found:
        annual = [
            "–" if value is None else f"{value * math.sqrt(DAYS_PER_YEAR):.2f}"
            for value in (one.best, one.worst)
        ]
        table.add_row(escape(one.symbol), one.tape[:12], f"{one.trials:,}", f"{one.strategies:,}", *annual)
    return table
