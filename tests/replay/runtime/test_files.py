"""Files that are whole or absent, whoever writes at the same time."""

import fcntl
import os
import signal
import stat
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from papertape.engine.errors import DataError
from papertape.replay.runtime import files
from papertape.replay.runtime.files import held_folder, whole_folder, write_whole


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_has_the_mode_that_the_process_gives_new_ones(tmp_path: Path, mask: int, mode: int) -> None:
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

    with pytest.raises(DataError, match="a: cannot be written: no space left on device; nothing was changed"):
        write_whole(path, fail)
    with pytest.raises(DataError, match="cannot be written"):
        write_whole(path / "b", lambda file: file.write(b"1"))  # below a file

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


NAMES = ("a", "b")


def save(folder: Path, text: str) -> None:
    with whole_folder(folder) as new:
        for name in NAMES:
            (new / name).write_text(text)


def held_in(folder: Path) -> set[str]:
    """Return what a folder says: one text for a whole one."""
    return {(folder / name).read_text() if (folder / name).exists() else "" for name in NAMES}


def is_killed_at(step: int, folder: Path, text: str) -> bool:
    """Save in a process that is killed before the n-th thing that it asks of the disk; return whether it was."""
    left = [step]

    def look(event: str, _: object) -> None:
        if event.startswith(("os.", "shutil.", "open")):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    if (child := os.fork()) == 0:
        sys.addaudithook(look)
        save(folder, text)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_kill_while_a_folder_is_written_leaves_the_old_one_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: object())
    folder, seen, step = tmp_path / "a[1]", [], 0  # a name that is a pattern, too
    save(folder, "old")
    while is_killed_at(step := step + 1, folder, "new"):
        if can_exchange or folder.exists():
            seen += held_in(folder)
        else:
            beside = [held_in(path) for path in tmp_path.iterdir()]
            assert {"old"} in beside
            assert {"new"} in beside
        save(folder, "old")
        assert list(tmp_path.iterdir()) == [folder]
        assert held_in(folder) == {"old"}

    assert step > 10
    assert set(seen) == {"old", "new"}
    assert held_in(folder) == {"new"}


def test_a_folder_that_somebody_writes_now_is_not_taken_for_one_that_was_left(tmp_path: Path) -> None:
    folder = tmp_path / "a"

    with whole_folder(folder) as new:
        for name in NAMES:
            (new / name).write_text("first")
        save(folder, "second")
        assert held_in(folder) == {"second"}

    assert held_in(folder) == {"first"}
    assert list(tmp_path.iterdir()) == [folder]


def test_only_what_was_written_to_have_the_same_name_is_taken_for_what_was_left(tmp_path: Path) -> None:
    """Of `a.b` the only whole ones may lie beside its name; a folder of a user's own is nobody's."""
    others = {tmp_path / name for name in (".a.b.0123abcd.tmp", ".a.of-monday.tmp")}
    left = tmp_path / ".a.0123abcd.tmp"
    for path in (*others, left):
        path.mkdir()

    save(tmp_path / "a", "new")

    assert set(tmp_path.iterdir()) == {tmp_path / "a", *others}


def test_names_in_a_folder_are_on_the_disk_before_it_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    by_itself = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda number: (flushed.append(os.fstat(number).st_ino), by_itself(number))
    )

    with whole_folder(tmp_path / "a") as new:
        (new / "inner").mkdir()
        (new / "inner" / "file").write_text("text")
        asked = {path.stat().st_ino for path in (new, *new.rglob("*"))}

    assert set(flushed) == asked | {tmp_path.stat().st_ino}


def test_a_folder_that_its_holder_removes_is_held_by_one_of_those_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever had opened it before held a folder that was gone, and somebody else the new one of that name."""
    place, real = tmp_path / "place", fcntl.flock

    def removed_first(number: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        place.rmdir()  # its holder ends between the opening and the lock
        real(number, how)

    monkeypatch.setattr(fcntl, "flock", removed_first)

    with held_folder(place, "it is held"):
        assert place.is_dir()
        with pytest.raises(DataError, match="it is held"), held_folder(place, "it is held"):
            pass
