"""Files that are whole or absent, whoever writes at the same time."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from papertape.engine.errors import DataError
from papertape.replay.runtime.files import write_whole


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_has_the_mode_that_the_process_gives_new_ones(
    tmp_path: Path, mask: int, mode: int
) -> None:
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "a" / "b", lambda file: file.write(b"1"))
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == mode


def test_the_mask_is_never_another_one_for_other_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the whole process's: who asks by setting it opens every file of another thread to everybody."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail(f"mask set to {mask:o}"))

    write_whole(tmp_path / "a", lambda file: file.write(b"1"))

    assert (tmp_path / "a").read_bytes() == b"1"


def test_of_two_who_write_at_once_one_is_there_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"

    def write(file: BinaryIO) -> None:
        file.write(b"first, ")
        write_whole(path, lambda other: other.write(b"another"))
        file.write(b"second")

    write_whole(path, write)

    assert path.read_bytes() == b"first, second"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(file: BinaryIO) -> None:
        file.write(b"new")
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="a: cannot be written: no space left on device; nothing was changed"):  # fmt: skip
        write_whole(path, fail)
    with pytest.raises(DataError, match="cannot be written"):
        write_whole(path / "b", lambda file: file.write(b"1"))  # below a file

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
