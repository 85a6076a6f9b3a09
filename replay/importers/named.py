"""Tapes by what a user calls them: a name in the store, the embedded sample's name, or a file of any known format."""

import re
from pathlib import Path
from typing import Any, Final

from papertape.replay.tapes.store import Store, Tape, TapeEntry, read_metadata, read_tape
from papertape.replay.tapes.tape import is_tape_file, tape_name

_SAMPLE: Final = {"venue": "binance-spot", "symbol": "BTCUSDT", "timeframe": "1h"}


def sample() -> Tape:
    """Return the embedded sample."""
    from papertape.replay.importers.sample import (
        sample_tape,  # pandas reads it, and whoever has tapes needs none
    )

    return sample_tape()


def named_tape(name: str, store: Store) -> Tape:
    """Return the tape that a name or a path means; the sample answers to its own where the store has none of it."""
    if is_file(name):
        return read_or_import(Path(name))
    return sample() if _is_sample(name, store) else store.find(name)


def about_tape(name: str, store: Store) -> dict[str, Any]:
    """Return what a tape says about itself; of our own files and of a store no candle is read for it."""
    if is_file(name):
        path = Path(name)
        return read_metadata(path) if is_tape_file(path) else read_or_import(path).metadata()
    return dict(_SAMPLE) if _is_sample(name, store) else store.entry(name).about


def sample_about() -> dict[str, Any]:
    """Return what the sample says about itself."""
    return dict(_SAMPLE)


def _is_sample(name: str, store: Store) -> bool:
    if any(entry.answers_to(name) for entry in store.entries()):
        return False
    return TapeEntry(Path(f"{tape_name(**_SAMPLE)}.parquet"), sample_about(), None).answers_to(name)


def is_file(name: str) -> bool:
    """Return whether a file or a folder of files is meant rather than a name in the store."""
    path = Path(name)
    return name.endswith(".parquet") or path.is_file() or (len(path.parts) > 1 and path.is_dir())


def read_or_import(path: Path, symbol: str | None = None, venue: str | None = None) -> Tape:
    """
    Return the tape of a file: our own Parquet, or any format that can be imported.

    symbol, venue  in place of what the file says; without either, the file's name and `file`
    """
    if symbol is None and venue is None and is_tape_file(path):
        return read_tape(path)
    from papertape.replay.importers.build import build_tape
    from papertape.replay.importers.detect import read_raw
    from papertape.replay.importers.options import Options

    raw = read_raw(path)
    stem = re.sub(r"[^A-Za-z0-9.-]+", "-", path.stem).strip(".-") or "FILE"
    options = Options(venue=venue or raw.venue or "file", symbol=symbol or raw.symbol or stem)
    return build_tape(raw, options).tape
