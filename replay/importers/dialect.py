"""What an importer is: a row of the table in `papertape.replay.importers.detect`."""

from collections.abc import Callable
from typing import NamedTuple

from papertape.replay.importers.options import Options
from papertape.replay.importers.source import FileSource
from papertape.replay.tapes.raw import Raw


class Importer(NamedTuple):
    """
    One dialect.

    matches  tells from the content whether a source is of this dialect; never raises
    read     returns its candles as they are, or raises DataError
    """

    name: str
    what: str
    matches: Callable[[FileSource], bool]
    read: Callable[[FileSource, Options], Raw]
