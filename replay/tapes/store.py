"""
The candle store: a folder with one file per market and timeframe, `venue_SYMBOL_timeframe.parquet`.

What a tape and its file are is in `papertape.replay.tapes.tape`; its names are here too, because readers look for them here.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from papertape.engine.errors import DataError, did_you_mean
from papertape.engine.jit import join_rows
from papertape.replay.runtime.files import held_folder
from papertape.replay.tapes.cleaning import Keep, clean
from papertape.replay.tapes.quality import measure
from papertape.replay.tapes.raw import PRICES, Part, Raw
from papertape.replay.tapes.tape import (
    COLUMNS,
    FORMAT,
    Tape,
    hash_columns,
    iter_candles,
    read_metadata,
    read_tape,
    time_ms,
    write_tape,
)
from papertape.replay.tapes.timestamps import utc_text

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "COLUMNS",
    "FORMAT",
    "Store",
    "Tape",
    "TapeEntry",
    "hash_columns",
    "iter_candles",
    "merge_tapes",
    "read_metadata",
    "read_tape",
    "time_ms",
    "write_tape",
]

ENVIRONMENT = "PAPERTAPE_TAPES"
DEFAULT_DIRECTORY = "tapes"


class TapeEntry(NamedTuple):
    """One file of a store: what it says about itself, or why it cannot be read."""

    path: Path
    about: dict[str, Any]
    problem: str | None

    @property
    def name(self) -> str:
        """Return the name that finds it."""
        return self.path.stem

    def answers_to(self, wanted: str) -> bool:
        """Return whether a user means this tape by `wanted`, in upper or lower case."""
        venue, symbol, timeframe = (
            str(self.about.get(name, "")) for name in ("venue", "symbol", "timeframe")
        )
        names = {
            self.name,
            self.path.name,
            symbol,
            f"{venue}_{symbol}",
            f"{venue}:{symbol}",
            f"{symbol}_{timeframe}",
        }
        return wanted.casefold() in {name.casefold() for name in names}


class Store:
    """
    A folder of tapes: the one given, or $PAPERTAPE_TAPES, or `tapes` in the working directory.

    >>> from papertape.replay.tapes.synthetic import synthesize
    >>> store = Store("my_tapes")
    >>> print(store.save(synthesize("noise", 100, "1h")))
    my_tapes/synthetic_SYNTH_1h.parquet
    >>> len(store.find("SYNTH").candles)
    100
    """

    def __init__(self, directory: Path | str | None = None) -> None:
        self.directory = Path(directory or os.environ.get(ENVIRONMENT) or DEFAULT_DIRECTORY)

    def __repr__(self) -> str:
        return f"Store({str(self.directory)!r})"

    def table(self) -> "DataFrame":
        """Return one row per tape: what it is, from when to when, and the problem of one that cannot be read."""
        from pandas import DataFrame, to_datetime

        names = ("venue", "symbol", "timeframe", "kind", "rows", "first_ms", "last_ms")
        rows = [
            {"name": e.name, **{n: e.about.get(n) for n in names}, "problem": e.problem}
            for e in self.entries()
        ]
        table = DataFrame(rows, columns=["name", *names, "problem"])
        for name in ("first", "last"):
            table[name] = to_datetime(table.pop(f"{name}_ms"), unit="ms", utc=True)
        return table

    def path_of(self, tape: Tape) -> Path:
        """Return where a tape lives in this store."""
        return self.directory / f"{tape.name}.parquet"

    def entries(self) -> list[TapeEntry]:
        """Return every tape by name, without reading candles; unreadable files carry their problem."""
        found = []
        for path in sorted(self.directory.glob("*.parquet")):
            if path.name.startswith("."):
                continue  # left by a writer that was killed
            try:
                found.append(TapeEntry(path, read_metadata(path), None))
            except DataError as error:
                found.append(TapeEntry(path, {}, str(error)))
        return found

    def entry(self, name: str) -> TapeEntry:
        """Return the one tape that `name` means: its name, symbol, venue_symbol or symbol_timeframe."""
        entries = self.entries()
        if not entries:
            raise DataError(
                f"{name}: the store {self.directory} holds no tape; "
                "bring one in with `papertape tape import FILE`"
            )
        found = [entry for entry in entries if entry.answers_to(name)]
        exact = [entry for entry in found if entry.name == name]
        if exact:
            return exact[0]
        if not found:
            known = [entry.name for entry in entries]
            raise DataError(f"no tape {name!r} in {self.directory}{did_you_mean(name, known)}")
        if len(found) > 1:
            names = ", ".join(entry.name for entry in found)
            raise DataError(f"{name}: several tapes in {self.directory} have it; say which: {names}")
        return found[0]

    def find(self, name: str) -> Tape:
        """Return the one tape that `name` means, or raise DataError that lists what there is."""
        entry = self.entry(name)
        if entry.problem is not None:
            raise DataError(entry.problem)
        return read_tape(entry.path)

    def save(
        self,
        tape: Tape,
        *,
        replace: bool = False,
        merge: bool = False,
        keep: Keep | None = None,
        grown_from: str | None = None,
    ) -> Path:
        """
        Keep a tape and return its path.

        The same tape again is fine. A different one of that name is refused unless `replace` puts the new one in
        its place or `merge` joins both; candles that both have must then be equal, unless `keep` says whose counts.

        grown_from  hash of the tape that this one has all candles of, empty for none: another one is not replaced
        """
        path = self.path_of(tape)
        # Of two that merge at once, the second reads what the first has written.
        with held_folder(self.directory):
            if grown_from is not None and path.exists():
                self._refuse_other(path, grown_from)
            chosen = self.prepare(tape, replace=replace, merge=merge, keep=keep)
            if chosen is not None:
                write_tape(chosen, path)
        return path

    def _refuse_other(self, path: Path, known: str) -> None:
        """Raise DataError where a tape is not the one that is known."""
        if read_metadata(path)["sha256"] != known:
            raise DataError(
                f"{path}: another process wrote it meanwhile, and it was left so; the same command goes on from there"
            )

    def prepare(
        self, tape: Tape, *, replace: bool = False, merge: bool = False, keep: Keep | None = None
    ) -> Tape | None:
        """Return what `save` would write, None if that is there already; DataError if it would refuse."""
        path = self.path_of(tape)
        if replace or not path.exists():
            return tape
        old = read_tape(path)
        if old.sha256 == tape.sha256:
            return None
        if not merge:
            raise DataError(
                f"{path}: holds another tape ({_span(old)}; the new one: {_span(tape)}); "
                "--merge joins them, --replace puts the new one in its place"
            )
        return merge_tapes(old, tape, keep=keep)


def _span(tape: Tape) -> str:
    stamps = tape.candles["open_ms"]
    return f"{len(stamps):,} candles {utc_text(stamps[0])} … {utc_text(stamps[-1])}"


def merge_tapes(old: Tape, new: Tape, *, keep: Keep | None = None) -> Tape:
    """
    Return two tapes of one market and timeframe as one.

    keep  which candle counts where they differ: of the `first` (old) or the `last` (new) tape; None refuses
    """
    for what in ("venue", "symbol", "timeframe", "kind"):
        if getattr(old, what) != getattr(new, what):
            raise DataError(
                f"{new.name}: {what} {getattr(new, what)} is not {getattr(old, what)} of the tape "
                "to merge it with"
            )
    _, here, there = np.intersect1d(
        old.candles["open_ms"], new.candles["open_ms"], assume_unique=True, return_indices=True
    )
    same = np.ones(len(here), dtype=np.bool_)
    for name in (*PRICES, "volume"):
        same &= old.candles[name][here] == new.candles[name][there]
    is_added = np.ones(len(new.candles), dtype=np.bool_)
    is_added[there[same]] = False
    added = np.ascontiguousarray(new.candles[is_added])
    parts = (Part(0, f"{old.name} (stored)", 1), Part(len(old.candles), f"{new.name} (new)", 1))
    raw = Raw(join_rows([old.candles, added]), "papertape", parts)
    candles, repairs = clean(raw, old.timeframe, keep=keep)
    sources = dict.fromkeys(part for part in (old.source, new.source) if part)
    told = [f"merged: {len(here):,} candles in both, {repairs.resolved:,} of them different"]
    return replace(
        old,
        candles=candles,
        source="; ".join(sources),
        notes=tuple(dict.fromkeys([*old.notes, *new.notes, *told])),
        quality=measure(candles, old.timeframe).as_dict(),
    )
