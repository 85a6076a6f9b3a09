"""The table of importers, and which of them a file gets."""

from collections.abc import Sequence
from pathlib import Path

from papertape.engine.errors import DataError, did_you_mean
from papertape.replay.importers import binance, bitfinex, cryptodatadownload, freqtrade, generic, kraken, lean
from papertape.replay.importers.dialect import Importer
from papertape.replay.importers.options import Options
from papertape.replay.importers.refuse import refuse_known, refuse_unknown
from papertape.replay.importers.source import FileSource, open_sources
from papertape.replay.tapes.raw import Raw, join_raws

# The first that matches the content reads the file: the particular before the general.
IMPORTERS: dict[str, Importer] = {
    importer.name: importer
    for importer in (
        generic.PARQUET,
        freqtrade.FEATHER,
        lean.LEAN,
        binance.BINANCE,
        cryptodatadownload.CRYPTODATADOWNLOAD,
        kraken.REST,
        bitfinex.BITFINEX,
        freqtrade.JSON,
        kraken.CSV,
        generic.TABLE,
    )
}


def detect(source: FileSource) -> Importer:
    """Return the importer for a source by its content, or raise DataError that says what it seems to be."""
    refuse_known(source)
    for importer in IMPORTERS.values():
        if importer.matches(source):
            return importer
    raise refuse_unknown(source, ", ".join(IMPORTERS))


def read_raw(path: Path, options: Options | None = None) -> Raw:
    """
    Return what a file, a zip with several files, or a folder of such files holds, as one.

    Raises DataError, and nothing else, for whatever is wrong with it.
    """
    options = options or Options()
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if p.is_file() and not _is_aside(p)]
        if not files:
            raise DataError(f"{path}: the folder holds no file")
        return join_raws([_read_sources(open_sources(file), options) for file in files])
    return _read_sources(open_sources(path), options)


def _is_aside(path: Path) -> bool:
    """Return whether a file lies beside data without being any."""
    return path.name.startswith(".") or path.suffix == ".CHECKSUM"


def _read_sources(sources: Sequence[FileSource], options: Options) -> Raw:
    return join_raws([_read_source(source, options) for source in sources])


def _read_source(source: FileSource, options: Options) -> Raw:
    if options.format is None:
        if not options.for_tables:
            return detect(source).read(source, options)
        refuse_known(source)
        if generic.matches_parquet(source):
            return generic.read_parquet(source, options)
        return generic.read_csv(source, options)
    if options.format not in IMPORTERS:
        raise DataError(f"--format {options.format}: unknown{did_you_mean(options.format, IMPORTERS)}")
    if options.for_tables and options.format not in (generic.TABLE.name, generic.PARQUET.name):
        raise DataError(f"{' and '.join(options.for_tables)}: for tables, not with --format {options.format}")
    refuse_known(source)
    return IMPORTERS[options.format].read(source, options)
