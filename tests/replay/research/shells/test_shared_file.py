"""Shells that share a folder find what one finds: rows, digests, choices, ledger, also when one of them is killed."""

import errno
import io
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from papertape import optimize, sweep, walkforward
from papertape.engine.errors import DataError, InvariantError
from papertape.replay.research.shells import claims
from papertape.replay.research.shells.shared_file import SharedTrialFile
from papertape.replay.research.sweep import run as sweep_run
from papertape.replay.research.sweep.record import TrialFile
from papertape.replay.research.sweep.result import TrialsFound
from papertape.replay.research.sweep.trial import TrialRow
from papertape.replay.research.trials.ledger import opened
from papertape.replay.tapes.synthetic import synthesize
from papertape.replay.tapes.tape import Tape

CROSS: dict[str, Any] = {
    "strategy": "ema_cross",
    "account": {"sizing": "all_in"},
    "use_ml": False,
    "workers": 1,
    "report": {"sensitivity": False, "random_draws": 0, "benchmarks": False, "regimes": False},
}
GRID: dict[str, Any] = {"strategy.parameters.fast": [5, 10, 20], "strategy.parameters.slow": [15, 40, 50, 60]}
RANGES = {"strategy.parameters.fast": "2:10", "strategy.parameters.slow": "12:60"}
HEADER = {"code": "a", "tapes": ["b"]}
fork = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shell count as ended after a second, and not after half a minute."""
    monkeypatch.setattr(claims, "SILENT_S", 1.0)
    monkeypatch.setattr("papertape.replay.research.shells.shared_file.BEAT_S", 0.1)


def tape(seed: int = 5) -> Tape:
    return synthesize("regimes", 400, "1h", seed=seed)


def plain(found: TrialsFound) -> pd.DataFrame:
    return found.table.drop(columns="wall_s")


def entries() -> list[Any]:
    with opened() as ledger:
        assert ledger.faults() == []
        return sorted((e.kind, e.configuration, e.digest, e.returns) for e in ledger.on(tape().sha256))


def beside(work: Callable[[], Any]) -> Any:
    """Begin a shell of its own, which ends with 0 when its work does."""
    process = fork.Process(target=work)
    process.start()
    return process


def row(number: int, digest: str = "d", outcome: str = "done") -> TrialRow:
    return TrialRow(number, {"x": number}, outcome, digest=digest)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[SharedTrialFile, SharedTrialFile]]:
    with SharedTrialFile(tmp_path, HEADER, 4) as one, SharedTrialFile(tmp_path, HEADER, 4) as other:
        yield one, other


def test_two_files_hand_out_every_trial_once_and_know_both(
    two: tuple[SharedTrialFile, SharedTrialFile],
) -> None:
    one, other = two
    told: list[int] = []
    mine, yours = (next(file.turns(None, lambda row: told.append(row.number))) for file in two)

    assert [next(mine), next(yours), next(mine), next(yours)] == [0, 1, 2, 3]
    assert (next(mine, None), next(yours, None)) == (None, None)
    for file, numbers in ((one, (0, 2)), (other, (1, 3))):
        for number in numbers:
            file.add(row(number))
    assert list(other.turns(None, lambda row: told.append(row.number)))

    assert told == [0, 2]
    assert (other.done, one.done) == (4, 2)
    assert sorted(r.number for r in other.rows()) == [0, 1, 2, 3]
    assert [other.row(n).number for n in range(4)] == [0, 1, 2, 3]
    assert sorted(other.by_shell.values()) == [2, 2]


def test_who_writes_a_result_alone_knows_all_that_others_have_finished(
    two: tuple[SharedTrialFile, SharedTrialFile],
) -> None:
    one, other = two
    one.add(row(0))
    for number in (1, 2, 3):
        other.add(row(number))

    with one.alone():
        known = sorted(each.number for each in one.rows())

    assert known == [0, 1, 2, 3]


@pytest.mark.parametrize("search", [sweep, optimize])
def test_a_shell_that_is_interrupted_writes_its_part_where_no_other_can_write_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: Any
) -> None:
    """It wrote table and page, without what others had finished since, over theirs."""
    module = sys.modules[f"papertape.replay.research.{search.__name__}.run"]
    written: list[tuple[str, bool]] = []
    for name in ("write_table", "write_surface"):
        by_itself = getattr(module, name)

        def looked_at(*told: Any, name: str = name, by_itself: Any = by_itself, **more: Any) -> Any:
            written.append((name, (tmp_path / "a" / "claims" / "12").exists()))
            return by_itself(*told, **more)

        monkeypatch.setattr(module, name, looked_at)

    def stop(what: str, done: int, of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    asked = {**CROSS, "trials": 12} if search is optimize else CROSS
    axes = RANGES if search is optimize else GRID
    found = search(axes, tape(), out=tmp_path / "a", shared=True, progress=stop, **asked)

    assert found.left == 9
    assert written == [("write_table", True), ("write_surface", True)]


def test_what_shells_did_is_gone_on_with_alone(tmp_path: Path) -> None:
    for number in (2, 0):
        with SharedTrialFile(tmp_path, HEADER, 4) as shell:
            shell.add(row(number))
    with TrialFile(tmp_path, HEADER, 4) as alone:
        alone.add(row(1))

    with SharedTrialFile(tmp_path, HEADER, 4) as shell:
        assert list(next(shell.turns(None, lambda row: None))) == [3]
        assert sorted(r.number for r in shell.rows()) == [0, 1, 2]
        assert len(shell.by_shell) == 3
    assert not list((tmp_path / "claims").glob("*"))
    assert len(list((tmp_path / "shells").iterdir())) == 2  # none of who did nothing


def test_a_shell_that_did_nothing_may_end_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SharedTrialFile(tmp_path, HEADER, 4) as one:
        one.add(row(0))
        with SharedTrialFile(tmp_path, HEADER, 4) as idle:
            assert list(next(one.turns([1], lambda row: None))) == [1]  # its file is known to both
            seen = one._others()
        assert not idle.path.exists()
        monkeypatch.setattr(one, "_others", lambda: seen)  # as if it had ended just after the look

        assert list(next(one.turns([2], lambda row: None))) == [2]
        assert [found.number for found in one.rows()] == [0]
        assert one.at_work == 1


@pytest.mark.parametrize("step", ["open", "read"])
def test_a_shell_that_did_nothing_may_end_on_another_machine_while_its_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    opened_file = Path.open

    class Stale(io.BytesIO):
        def __next__(self) -> bytes:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with SharedTrialFile(tmp_path, HEADER, 4) as one, SharedTrialFile(tmp_path, HEADER, 4) as idle:

        def stale(path: Path, *more: Any, **named: Any) -> Any:
            if path != idle.path:
                return opened_file(path, *more, **named)
            return Stale() if step == "read" else next(Stale())

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", stale)
            one._hear(lambda row: None)
        one.add(row(0))
        idle._hear(lambda row: None)

        assert [found.number for found in idle.rows()] == [0]


def test_an_interrupt_behind_the_line_of_a_trial_does_not_lose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with SharedTrialFile(tmp_path, HEADER, 4) as other:
        with SharedTrialFile(tmp_path, HEADER, 4) as one:
            monkeypatch.setattr(one, "_note", interrupt)
            with pytest.raises(KeyboardInterrupt):
                one.add(row(0))

        assert list(next(other.turns([0], lambda row: None))) == []
        assert [found.number for found in other.rows()] == [0]


def test_of_one_who_shares_and_one_alone_one_begins_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_file, append = Path.open, TrialFile._append
    is_at_its_line, may_write = threading.Event(), threading.Event()
    alone: list[TrialFile] = []

    def append_late(file: TrialFile, line: bytes) -> int:
        is_at_its_line.set()
        assert may_write.wait(60)
        return append(file, line)

    other = threading.Thread(target=lambda: alone.append(TrialFile(tmp_path, HEADER, 4)))

    def with_another(path: Path, mode: str = "r", *more: Any) -> Any:
        file = opened_file(path, mode, *more)
        if path.name == "trials.jsonl" and "x" in mode:  # made, and nothing is in it
            other.start()
            assert is_at_its_line.wait(60)
        return file

    monkeypatch.setattr(TrialFile, "_append", append_late)
    monkeypatch.setattr(Path, "open", with_another)
    monkeypatch.setattr("papertape.replay.research.sweep.record._PATIENCE_S", 0.05)

    with pytest.raises(DataError, match="another process writes trials there alone"):
        SharedTrialFile(tmp_path, HEADER, 4)
    may_write.set()
    other.join()
    alone[0].add(row(0))
    alone[0].close()

    with TrialFile(tmp_path, HEADER, 4) as again:
        assert [found.number for found in again.rows()] == [0]


def test_a_search_alone_that_begins_and_ends_before_one_who_shares_is_not_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, opened_file = {**HEADER, "seed": 123_456}, Path.open

    def with_another(path: Path, mode: str = "r", *more: Any) -> Any:
        file = opened_file(path, mode, *more)
        if path.name == "trials.jsonl" and "x" in mode:  # made, and nothing is in it
            with TrialFile(tmp_path, other, 4) as alone:
                alone.add(row(0))
        return file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", with_another)
        with pytest.raises(DataError, match="the trials of another search"):
            SharedTrialFile(tmp_path, {**HEADER, "seed": 1}, 4)

    with TrialFile(tmp_path, other, 4) as again:
        assert [found.number for found in again.rows()] == [0]


def test_other_machines_can_read_the_first_line_as_soon_as_a_shell_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of files has what was flushed or closed, and a shell keeps the file that it begins open."""
    flush, on_server = os.fsync, {}

    def flush_there(number: int) -> None:
        flush(number)
        path = Path(f"/proc/self/fd/{number}").resolve()
        on_server[path] = path.read_bytes()

    monkeypatch.setattr(os, "fsync", flush_there)

    with SharedTrialFile(tmp_path, HEADER, 4):
        path = tmp_path / "trials.jsonl"
        assert on_server[path] == path.read_bytes() != b""


def test_a_trial_that_two_did_is_kept_once_and_must_be_the_same(
    two: tuple[SharedTrialFile, SharedTrialFile],
) -> None:
    one, other = two
    for file in two:
        file.add(row(0))
    other.add(row(1))
    turns = one.turns([3], lambda row: None)
    assert list(next(turns)) == [3]

    assert sorted(r.number for r in one.rows()) == [0, 1]
    one.add(row(1))  # it was under way here as well
    with pytest.raises(InvariantError, match=r"trial 1 .* none of these trials can be trusted"):
        one.add(row(1, "another"))
    one.add(row(2))
    other.add(row(2, "another"))
    with pytest.raises(InvariantError, match="its digest is d by one shell and another by another"):
        next(turns)


def test_a_trial_that_repeats_another_was_run_by_no_shell(
    two: tuple[SharedTrialFile, SharedTrialFile],
) -> None:
    """Every shell of a search notes it by itself; counted with whoever looks, each would print other numbers."""
    one, other = two
    one.add(row(0))
    other.add(row(1))
    for file in two:
        file.add(row(2, "", "repeated"))
        file.add(row(3, "", "repeated"))
    for file in two:
        next(file.turns([], lambda _: None), None)
        with file.alone():
            assert file.done == 4

    assert one.by_shell == other.by_shell
    assert list(one.by_shell.values()) == [1, 1]


def test_a_line_that_a_kill_left_unfinished_is_no_trial(tmp_path: Path) -> None:
    with SharedTrialFile(tmp_path, HEADER, 4) as one:
        one.add(row(1))
        with one.path.open("ab") as file:
            file.write(row(2).line()[:20])

    with SharedTrialFile(tmp_path, HEADER, 4) as other:
        assert other.done == 1
        assert list(next(other.turns(None, lambda row: None))) == [0, 2, 3]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({**HEADER, "code": "z"}, r"another search \(with other code\)"),
        ({**HEADER, "tapes": ["z"]}, r"another search \(with other tapes\)"),
        ({**HEADER, "axes": ["z"]}, r"another search \(with other axes\)"),
    ],
)
def test_other_code_another_tape_or_another_plan_is_refused(
    tmp_path: Path, header: dict[str, Any], said: str
) -> None:
    with SharedTrialFile(tmp_path, HEADER, 4), pytest.raises(DataError, match=said):
        SharedTrialFile(tmp_path, header, 4)

    assert list((tmp_path / "shells").iterdir()) == []


def test_who_shares_and_who_does_not_keep_out_of_each_others_way(tmp_path: Path) -> None:
    with SharedTrialFile(tmp_path, HEADER, 4), pytest.raises(DataError, match="begin both with --shared"):
        TrialFile(tmp_path, HEADER, 4)
    with TrialFile(tmp_path, HEADER, 4), pytest.raises(DataError, match="writes trials there alone"):
        SharedTrialFile(tmp_path, HEADER, 4)


@pytest.mark.parametrize("left", ["", '{"form'])
def test_a_file_that_nobody_began_to_the_end_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """A full disk left it empty, and it had to be removed by hand."""
    monkeypatch.setattr("papertape.replay.research.shells.shared_file._BEGUN_S", 0.0)
    path = tmp_path / "trials.jsonl"
    path.write_text(left)

    with SharedTrialFile(tmp_path, HEADER, 4) as one, SharedTrialFile(tmp_path, HEADER, 4) as other:
        one.add(row(0))
        list(next(other.turns([0], lambda row: None)))
        assert (one.done, other.done) == (1, 1)
        with pytest.raises(DataError, match="the trials of another search"):
            SharedTrialFile(tmp_path, {**HEADER, "seed": 123_456}, 4)

    (line,) = path.read_text().splitlines()
    assert json.loads(line) == {"format": 1, **json.loads(json.dumps(HEADER))}


@pytest.mark.parametrize("error", [BlockingIOError(errno.EAGAIN, "held"), OSError(errno.ENOLCK, "no locks")])
def test_a_file_that_somebody_may_still_begin_is_left_alone_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def held(file: object, kind: int) -> None:
        raise error

    monkeypatch.setattr("papertape.replay.research.shells.shared_file._BEGUN_S", 0.0)
    monkeypatch.setattr("papertape.replay.research.shells.shared_file.hold", held)
    (tmp_path / "trials.jsonl").write_text('{"form')

    with pytest.raises(DataError, match="has written no first line; remove it"):
        SharedTrialFile(tmp_path, HEADER, 4)
    assert (tmp_path / "trials.jsonl").read_text() == '{"form'


def test_two_shells_find_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_TRIALS", str(tmp_path / "alone.sqlite3"))
    alone = sweep(GRID, tape(), out=tmp_path / "alone", **CROSS)
    one_ledger = entries()
    monkeypatch.setenv("PAPERTAPE_TRIALS", str(tmp_path / "shared.sqlite3"))
    seen: list[int] = []

    def at(what: str, done: int, of: int) -> None:
        if what == "shells at work":
            seen.append(done)
        time.sleep(0.1)

    other = beside(lambda: sweep(GRID, tape(), out=tmp_path / "a", shared=True, progress=at, **CROSS))
    found = sweep(GRID, tape(), out=tmp_path / "a", shared=True, progress=at, **CROSS)
    other.join()

    assert other.exitcode == 0
    pd.testing.assert_frame_equal(plain(found), plain(alone))
    assert entries() == one_ledger
    assert (found.counts, found.checked, found.verdict) == (alone.counts, alone.checked, alone.verdict)
    assert [r.number for r in found.best] == [r.number for r in alone.best]
    assert len(found.shells) == 2
    assert sum(found.shells.values()) == 12
    assert set(seen) == {2}


def test_a_killed_shell_costs_the_trial_that_it_was_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = sweep(GRID, tape(), out=tmp_path / "alone", **CROSS)
    run = sweep_run.TrialRunner.run

    def kept() -> int:
        return sum(p.read_bytes().count(b"\n") for p in (tmp_path / "a" / "shells").iterdir())

    def die(self: Any, number: int, *more: Any) -> TrialRow:
        if number == 4:
            # The worker is a trial ahead of whoever writes down what it found, below a line of the search's own.
            until_s = time.monotonic() + 30.0
            while kept() < 1 + 4 and time.monotonic() < until_s:
                time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGKILL)  # of its worker, which dies with it
        return run(self, number, *more)

    def doomed() -> None:
        monkeypatch.setattr(sweep_run.TrialRunner, "run", die)
        sweep(GRID, tape(), out=tmp_path / "a", shared=True, **CROSS)

    killed = beside(doomed)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert (tmp_path / "a" / "claims" / "4").exists()

    found = sweep(GRID, tape(), out=tmp_path / "a", shared=True, **CROSS)

    pd.testing.assert_frame_equal(plain(found), plain(alone))
    assert sorted(found.shells.values()) == [4, 8]


def test_a_search_in_two_shells_proposes_the_same(tmp_path: Path) -> None:
    options: dict[str, Any] = {"trials": 12, "batch": 4, **CROSS}
    alone = optimize(RANGES, tape(), out=tmp_path / "alone", **options)

    other = beside(lambda: optimize(RANGES, tape(), out=tmp_path / "a", shared=True, **options))
    found = optimize(RANGES, tape(), out=tmp_path / "a", shared=True, **options)
    other.join()

    assert other.exitcode == 0
    pd.testing.assert_frame_equal(plain(found), plain(alone))
    assert [one.row.number for one in found.best] == [one.row.number for one in alone.best]


@pytest.mark.slow
def test_a_walk_in_two_shells_chooses_the_same(tmp_path: Path) -> None:
    options: dict[str, Any] = {"train": "8d", "test": "3d", **CROSS}
    alone = walkforward(GRID, tape(), out=tmp_path / "alone", **options)

    other = beside(lambda: walkforward(GRID, tape(), out=tmp_path / "a", shared=True, **options))
    found = walkforward(GRID, tape(), out=tmp_path / "a", shared=True, **options)
    other.join()

    assert other.exitcode == 0
    assert (found.digest, found.rows, found.counts) == (alone.digest, alone.rows, alone.counts)
    assert (tmp_path / "a" / "account" / "result.json").exists()


def test_a_shell_with_another_tape_is_refused_with_one_sentence(tmp_path: Path) -> None:
    sweep(GRID, tape(), out=tmp_path / "a", shared=True, **CROSS)

    with pytest.raises(DataError, match=r"another search \(with other tapes\); choose another --out"):
        sweep(GRID, tape(6), out=tmp_path / "a", shared=True, **CROSS)
