"""
Models on disk: every version that was ever added, and which one is the champion.

    v000001.safetensors   artefacts, written whole and never changed
    champion.json         the versions in the order of their promotion; the last one is the champion
    lock                  held by whoever changes the store

An artefact appears under its name complete or not at all, and so does a new champion.json; nothing else decides what the
store says, so a kill between any two steps leaves the state before or the state after. What is damaged, foreign or newer
is refused with the reason, and the champion stays.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from papertape.engine.errors import DataError
from papertape.engine.events import NewModel
from papertape.engine.model import ModelRecord, read_artefact, with_version
from papertape.replay.runtime.files import write_whole

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT: Final = 1
_ENVIRONMENT: Final = "PAPERTAPE_MODELS"
_NAME: Final = re.compile(r"v(\d{6})\.safetensors")
_LARGEST_VERSION: Final = 999_999


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One version in the store; `record` is None and `fault` says why when its file cannot be used."""

    version: int
    record: ModelRecord | None
    fault: str
    is_champion: bool


def read_model(path: Path) -> tuple[bytes, ModelRecord]:
    """Return the artefact in a file, after every part of it was checked, and its record, or raise DataError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return data, read_artefact(data).record
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


class ModelStore:
    """
    A folder of models.

    folder  default: $PAPERTAPE_MODELS, then models/
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder or os.environ.get(_ENVIRONMENT) or "models")

    def __repr__(self) -> str:
        return f"ModelStore({str(self.folder)!r})"

    def table(self) -> "DataFrame":
        """Return one row per version: what it is, whether it is the champion, and the fault of one that cannot be used."""
        from pandas import DataFrame

        names = ("kind", "timeframe", "symbols", "start_ms", "end_ms")
        rows = [
            {
                "version": e.version,
                "is_champion": e.is_champion,
                **{n: getattr(e.record, n, None) for n in names},
                "fault": e.fault,
            }
            for e in self.entries()
        ]
        return DataFrame(rows, columns=["version", "is_champion", *names, "fault"])

    def add(self, artefact: bytes) -> int:
        """Store a model under the next version and return that; it is not promoted by this."""
        read_artefact(artefact)  # a refusal leaves no folder behind
        with self._locked():
            version = max(self.versions(), default=0) + 1
            if version > _LARGEST_VERSION:
                raise DataError(f"{self.folder}: it holds {_LARGEST_VERSION} versions; start another")
            data = with_version(artefact, version)
            write_whole(self.path(version), lambda file: file.write(data))
        return version

    def add_once(self, artefact: bytes, after: int | None = None) -> int:
        """
        Store a model unless it is there already, and return its version: asked twice, it is there once.

        after  it is looked for among the versions behind this one; None: it would be the newest
        """
        versions = self.versions()
        for version in versions[-1:] if after is None else [v for v in versions if v > after]:
            try:
                if self.read(version) == with_version(artefact, version):
                    return version
            except DataError:  # a damaged file is not this model
                pass
        return self.add(artefact)

    def tidy(self) -> None:
        """Remove what processes that were killed while they wrote have left; whoever writes now holds the lock."""
        if self.folder.is_dir():
            with self._locked():
                for path in self.folder.glob(".*.tmp"):
                    path.unlink()

    def path(self, version: int) -> Path:
        """Return where a version lies, whether it exists or not."""
        return self.folder / f"v{version:06d}.safetensors"

    def versions(self) -> list[int]:
        """Return the numbers of all versions, damaged ones included, in order."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def read(self, version: int) -> bytes:
        """Return the artefact of a version after every part of it was checked, or raise DataError."""
        path = self.path(version)
        try:
            data, record = read_model(path)
        except DataError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            known = ", ".join(str(number) for number in self.versions()[-5:])
            hint = f"the newest are {known}" if known else "it holds no model"
            raise DataError(f"{self.folder}: there is no model {version}; {hint}") from None
        if record.version != version:
            raise DataError(f"{path}: its record says version {record.version}; the file was renamed")
        return data

    def show(self, version: int) -> ModelRecord:
        """Return the record of a version, or raise DataError."""
        return read_artefact(self.read(version)).record

    def entries(self) -> list[ModelEntry]:
        """Return every version, oldest first; one that cannot be used carries its fault."""
        champion = self.champion()
        entries = []
        for version in self.versions():
            record, fault = None, ""
            try:
                record = self.show(version)
            except DataError as error:
                fault = str(error)
            entries.append(ModelEntry(version, record, fault, version == champion))
        return entries

    def champion(self) -> int:
        """Return the version of the champion; 0 = none."""
        return (self.promoted() or [0])[-1]

    def champion_event(self) -> NewModel | None:
        """Return the champion as the event that lets it take over; None without one."""
        version = self.champion()
        return NewModel(version, self.read(version)) if version else None

    def promote(self, version: int) -> None:
        """Make a version the champion, or raise DataError, and the champion stays."""
        with self._locked():
            self.read(version)
            promoted = self.promoted()
            if promoted[-1:] == [version]:
                raise DataError(f"{self.folder}: model {version} is the champion already")
            self._write_promoted([*promoted, version])

    def retire(self) -> None:
        """Let there be no champion; the one before is still known, and `rollback` brings it back."""
        with self._locked():
            promoted = self.promoted()
            if promoted and promoted[-1]:
                self._write_promoted([*promoted, 0])

    def rollback(self) -> int:
        """Make the champion before this one the champion again and return its version, or raise DataError."""
        with self._locked():
            kept = self.promoted()[:-1]
            while kept and not kept[-1]:  # there was none
                kept = kept[:-1]
            if not kept:
                raise DataError(f"{self.folder}: there is no champion to go back to")
            self.read(kept[-1])
            self._write_promoted(kept)
        return kept[-1]

    def promoted(self) -> list[int]:
        """Return the versions in the order of their promotion; 0 where the champion of the time was demoted."""
        path = self.folder / "champion.json"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            form, promoted = values["format"], values["promoted"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: damaged; remove it and promote a version anew") from error
        if type(form) is int and form > FORMAT:
            raise DataError(f"{path}: format {form} is newer than {FORMAT}; update papertape")
        if type(form) is not int or form < 1 or not isinstance(promoted, list):
            raise DataError(f"{path}: damaged; remove it and promote a version anew")
        if not all(type(number) is int for number in promoted):
            raise DataError(f"{path}: damaged; remove it and promote a version anew")
        return promoted

    def _write_promoted(self, promoted: list[int]) -> None:
        text = json.dumps({"format": FORMAT, "promoted": promoted})
        write_whole(self.folder / "champion.json", lambda file: file.write(text.encode()))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from changing the store meanwhile; a killed one lets go by itself."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            number = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"{self.folder}: cannot be changed: {reason}") from error
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
            yield
        finally:
            os.close(number)
