"""
Source: one file as an importer sees it, unpacked, with its first bytes as text.

What a file is, is told by its bytes. Its name and folders are hints, used only for what the bytes do not say.
"""

import gzip
import io
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from papertape.engine.errors import DataError

HEAD_BYTES = 65_536
UNPACKED_BYTES_MAX = 4 << 30  # a zip that grows beyond this is refused before it fills the memory

_ZIP_MAGIC = b"PK\x03\x04"
_EMPTY_ZIP_MAGIC = b"PK\x05\x06"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, eq=False)
class FileSource:
    """
    A file, or one member of a zip.

    path    of the file itself
    name    for messages: the file's name, with the member's behind it
    inner   the member's name in a zip, otherwise the file's own
    data    the unpacked bytes
    """

    path: Path
    name: str
    inner: str
    data: bytes = field(repr=False)
    is_zip: bool = False

    @cached_property
    def head(self) -> str | None:
        """Return the first characters, or None when this is not UTF-8 text."""
        part = self.data[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")
        if b"\0" in part:
            return None
        for cut in range(4):  # the limit may split a character
            try:
                return part[: len(part) - cut].decode()
            except UnicodeDecodeError:
                if len(self.data) <= HEAD_BYTES:
                    return None
        return None

    @cached_property
    def lines(self) -> list[str]:
        """Return the first whole lines that are not blank, at most 50, without their ends."""
        if self.head is None:
            return []
        lines = self.head.splitlines()
        if len(self.data) > HEAD_BYTES:
            lines = lines[:-1]
        return [line.strip() for line in lines if line.strip()][:50]

    @property
    def text(self) -> bytes:
        """Return the bytes without a byte order mark."""
        return self.data.removeprefix(b"\xef\xbb\xbf")

    @property
    def hints(self) -> str:
        """Return names and folders as one text to look for hints in, nearest last."""
        folders = [part for part in self.path.absolute().parts[-6:-1] if part != "/"]
        return "/".join([*folders, self.path.name, self.inner])


def open_sources(path: Path) -> list[FileSource]:
    """
    Return what a file holds: itself, unpacked if it is gzip, or the members of a zip in the order of their names.

    Raises DataError when it is missing, empty or damaged.
    """
    data = _read(path)
    if not data:
        raise DataError(f"{path.name}: the file is empty")
    if data.startswith((_ZIP_MAGIC, _EMPTY_ZIP_MAGIC)):
        return _members(path, data)
    if data.startswith(_GZIP_MAGIC):
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(UNPACKED_BYTES_MAX + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path.name}: the gzip file is truncated or damaged") from error
        _refuse_huge(path.name, len(data))
    return [FileSource(path, path.name, re.sub(r"\.gz$", "", path.name), data)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _members(path: Path, data: bytes) -> list[FileSource]:
    """Return the files of a zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # What macOS keeps of its own beside the files stands in a folder of that name.
            infos = [
                info
                for info in archive.infolist()
                if not (info.is_dir() or info.filename.startswith("__MACOSX/"))
            ]
            _refuse_huge(path.name, sum(info.file_size for info in infos))
            found = [(info.filename, archive.read(info)) for info in infos]
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        RuntimeError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise DataError(f"{path.name}: the zip file is truncated, damaged or locked") from error
    if not found:
        raise DataError(f"{path.name}: the zip file holds no file")
    return [
        FileSource(path, f"{path.name}/{inner}", inner, content, is_zip=True)
        for inner, content in sorted(found)
    ]


def _refuse_huge(name: str, size: int) -> None:
    if size > UNPACKED_BYTES_MAX:
        raise DataError(f"{name}: unpacks to more than {UNPACKED_BYTES_MAX >> 30} GiB; split it")
