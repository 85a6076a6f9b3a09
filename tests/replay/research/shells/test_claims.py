"""A trial is one shell's at a time, whatever clocks say, until that shell shows no life."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from papertape.engine.errors import DataError
from papertape.replay.research.shells.claims import BEAT_S, SILENT_S, Claims


class Clock:
    """A steady clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


Shell = Callable[[str], Claims]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shell(tmp_path: Path, clock: Clock) -> Shell:
    (tmp_path / "shells").mkdir()

    def begin(name: str) -> Claims:
        own = tmp_path / "shells" / name
        own.touch()
        os.utime(own, ns=(0, 0))  # of the wall's time nothing depends
        return Claims(tmp_path / "claims", own, clock)

    return begin


def stand_at(tmp_path: Path, name: str, time_ns: int) -> None:
    os.utime(tmp_path / "shells" / name, ns=(time_ns, time_ns))


def test_a_trial_is_taken_once(shell: Shell) -> None:
    one, other = shell("one"), shell("other")

    assert [one.take(n) for n in (1, 2)] == [True, True]
    assert [other.take(n) for n in (1, 2, 3)] == [False, False, True]
    assert one.take(3) is False


def test_what_is_left_or_finished_can_be_taken(shell: Shell, tmp_path: Path) -> None:
    one, other = shell("one"), shell("other")
    assert one.take(1)
    assert one.take(2)

    one.drop(1)
    one.close(lambda number: False)

    assert other.take(1)
    assert other.take(2)
    other.finish(1)
    other.finish(1)
    other.close(lambda number: False)
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_silent_shell_loses_its_trials_to_one_other(shell: Shell, clock: Clock, tmp_path: Path) -> None:
    dead, first, second = shell("dead"), shell("first"), shell("second")
    assert dead.take(7)
    assert [first.take(7), second.take(7)] == [False, False]  # both begin to watch it

    clock.now_s = SILENT_S
    assert first.take(7) is False
    clock.now_s = SILENT_S + 1.0
    assert [first.take(7), second.take(7)] == [True, False]

    # The third takes it from the second of its holders, and only when that is silent as well.
    stand_at(tmp_path, "first", 5)
    assert second.take(7) is False
    clock.now_s += SILENT_S + 1.0
    assert second.take(7)
    second.finish(7)
    assert list((tmp_path / "claims").iterdir()) == []


@pytest.mark.parametrize("times", [(10**18, 10**17, 10**19), (3, 2, 1), (1, 2, 3)])
def test_a_clock_that_lies_kills_nobody(
    shell: Shell, clock: Clock, tmp_path: Path, times: tuple[int, ...]
) -> None:
    """Years ahead, backwards or standing nearly still: a time that changes is a life."""
    one, other = shell("one"), shell("other")
    assert one.take(1)
    assert other.take(1) is False

    for time_ns in times:
        clock.now_s += SILENT_S - 1.0
        stand_at(tmp_path, "one", time_ns)
        assert other.take(1) is False


def test_a_claim_whose_maker_said_no_name_goes_on_in_time(shell: Shell, clock: Clock, tmp_path: Path) -> None:
    other = shell("other")
    (tmp_path / "claims" / "4").touch()
    (tmp_path / "claims" / "5").write_text("a-shell-whose-file-was-removed")

    assert [other.take(4), other.take(5)] == [False, False]
    clock.now_s = SILENT_S + 1.0
    assert [other.take(4), other.take(5)] == [True, True]


def test_claims_on_what_is_finished_are_swept(shell: Shell, tmp_path: Path) -> None:
    killed, other = shell("killed"), shell("other")
    assert all(killed.take(number) for number in (3, 12))

    other.close(lambda number: number == 12)

    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["3"]


def test_only_who_shows_life_is_at_work(shell: Shell, clock: Clock, tmp_path: Path) -> None:
    one = shell("one")
    shell("ended")
    shell("other")
    others = [tmp_path / "shells" / name for name in ("ended", "other")]
    assert one.at_work(others) == 1

    clock.now_s = BEAT_S
    stand_at(tmp_path, "other", 3)

    assert one.at_work(others) == 2
    clock.now_s += SILENT_S
    assert one.at_work(others) == 1


def test_a_beat_sets_the_time_anew(shell: Shell, tmp_path: Path) -> None:
    one = shell("one")

    one.beat()

    assert (tmp_path / "shells" / "one").stat().st_mtime_ns > 0


def test_a_claim_that_cannot_be_made_is_said(shell: Shell, tmp_path: Path) -> None:
    one = shell("one")
    (tmp_path / "claims").rmdir()

    with pytest.raises(DataError, match=r"claims/1: a trial cannot be claimed: no such file"):
        one.take(1)


def test_what_a_server_of_files_does_with_removed_ones_is_borne(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removed while it was open elsewhere, a claim is there under another name, or its reading says that it was there."""
    one = shell("one")
    assert one.take(1)
    (tmp_path / "claims" / ".nfs0000000000000001").touch()

    def stale(*_: object, **__: object) -> str:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", stale)
        assert shell("other").take(2)  # no claim on it, whatever was there
        patch.setattr(Path, "open", stale)
        assert one.is_silent(tmp_path / "shells" / "third") is False  # looked at for the first time
    one.close(lambda number: True)

    assert [path.name for path in (tmp_path / "claims").iterdir()] == [".nfs0000000000000001"]
