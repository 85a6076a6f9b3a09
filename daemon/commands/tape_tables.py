"""What the tape commands print: checks with their counts and doubts, and the list of a store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.markup import escape
from rich.table import Table

from papertape.daemon.commands.output import say
from papertape.engine.errors import DataError
from papertape.replay.importers.build import build_tape, raw_quality
from papertape.replay.importers.detect import read_raw
from papertape.replay.importers.options import Options
from papertape.replay.tapes.quality import Quality, measure, sentences
from papertape.replay.tapes.store import Tape, TapeEntry
from papertape.replay.tapes.timestamps import utc_text


class Checked(NamedTuple):
    """One tape or file, how good it is, and why it would be refused, if it would."""

    name: str
    dialect: str
    sha256: str | None
    quality: Quality
    notes: tuple[str, ...]
    refusal: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**self._asdict(), "quality": self.quality.as_dict(), "notes": list(self.notes)}


def checked_tape(tape: Tape, quality: Quality | None = None) -> Checked:
    """Return the check of a tape, or of the file that it was made from."""
    found = quality or measure(tape.candles, tape.timeframe)
    return Checked(tape.name, tape.source, tape.sha256, found, tape.notes, None)


def checked_file(path: Path, options: Options) -> Checked:
    """Return the check of a file as it stands, and whether an import with these options would take it."""
    raw = read_raw(path, options)
    quality = raw_quality(raw, options)
    try:
        made = build_tape(raw, options)
    except DataError as error:
        return Checked(raw.name, raw.dialect, None, quality, raw.notes, str(error))
    return Checked(raw.name, raw.dialect, None, quality, made.tape.notes, None)


def print_checks(checks: Sequence[Checked]) -> None:
    """Print each check: what it is, then its doubts, then what was assumed and done."""
    for check in checks:
        q = check.quality
        span = f"{utc_text(q.first_ms)} … {utc_text(q.last_ms)}"
        lines = [f"{check.name} · {q.timeframe} · {q.rows:,} candles · {span}"]
        lines += [f"  ! {text}" for text in sentences(q)] or ["  no gap, no doubt"]
        lines += [f"  {note}" for note in check.notes]
        flags = [f"{n:,} {name}" for name, n in q.flags.items() if n]
        lines += [f"  flags: {', '.join(flags)}"] if flags else []
        lines += [f"  REFUSED {check.refusal}"] if check.refusal else []
        for line in lines:
            say(line)


def tape_table(entries: Sequence[TapeEntry]) -> Table:
    """Return the list of a store."""
    table = Table(box=None, pad_edge=False)
    for name in ("tape", "candles", "first", "last", "hash"):
        table.add_column(name, justify="right" if name == "candles" else "left", no_wrap=True)
    for entry in entries:
        if entry.problem is not None:
            table.add_row(escape(entry.name), "", "unreadable", "", "")
            continue
        about = entry.about
        first, last = (utc_text(int(about.get(name, 0))) for name in ("first_ms", "last_ms"))
        rows = f"{int(about.get('rows', 0)):,}"
        table.add_row(escape(entry.name), rows, first, last, str(about["sha256"])[:12])
    return table
