"""Processes that do pieces of work, and die: between two pieces, within an answer, as they begin."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from papertape.replay.research.sweep import workers
from papertape.replay.research.sweep.workers import Worker, beside, in_workers


def lost(number: int, how: str) -> bytes:
    return f"{number} {how}".encode()


def test_one_that_dies_costs_its_piece_a_second_try(tmp_path: Path) -> None:
    def work(number: int) -> bytes:
        if number == 3 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return str(number).encode()

    found = sorted(in_workers(iter(range(8)), work, 2, lost))

    assert found[:5] == [b"0", b"1", b"2", b"3", b"4"]
    assert found[5].startswith(b"5 its process was killed by signal 9 (SIGKILL")
    assert found[6:] == [b"6", b"7"]


def test_what_is_done_beside_is_done_in_another_process() -> None:
    with beside(lambda: str(os.getpid()).encode()) as answer:
        assert int(answer()) != os.getpid()


def test_what_is_done_beside_is_done_here_when_its_process_dies() -> None:
    parent = os.getpid()

    def work() -> bytes:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return b"done here"

    with beside(work) as answer:
        assert answer() == b"done here"


def test_nobody_waits_for_what_is_done_beside_when_it_is_not_asked_for() -> None:
    started_s = time.monotonic()

    with beside(lambda: bytes(int(time.sleep(60.0) or 0))), contextlib.suppress(RuntimeError):
        raise RuntimeError

    assert time.monotonic() - started_s < 30.0
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("count", [1, 4])
def test_one_that_dies_between_two_pieces_costs_nothing(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    started: list[Worker] = []
    start = workers._start

    def started_again(*arguments: object) -> Worker:
        started.append(start(*arguments))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(workers, "_start", started_again)

    def numbers() -> Iterator[int]:
        """Yield pieces; the first process has died when its second one is asked for, and at the end."""
        yield 0
        os.kill(started[0].pid, signal.SIGKILL)
        os.waitid(os.P_PID, started[0].pid, os.WEXITED | os.WNOWAIT)
        yield from range(1, count)

    def work(number: int) -> bytes:
        return str(number).encode()

    # Its answer lies in the pipe when it is killed.
    monkeypatch.setattr(workers, "wait", lambda pipes: [pipe for pipe in pipes if pipe.poll(60)])
    found = list(in_workers(numbers(), work, 1, lost))

    assert found == [str(number).encode() for number in range(count)]


def test_one_that_dies_within_its_answer_costs_its_piece_a_second_try(tmp_path: Path) -> None:

    def work(number: int) -> bytes:
        if number == 1 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            Connection.send_bytes = die_within  # type: ignore[method-assign,assignment] # of this process alone
        return str(number).encode()

    def die_within(pipe: Connection, answer: bytes) -> None:
        os.write(pipe.fileno(), (1_000).to_bytes(4, "big") + answer)
        os.kill(os.getpid(), signal.SIGKILL)

    assert sorted(in_workers(iter(range(3)), work, 1, lost)) == [b"0", b"1", b"2"]


def test_an_interrupt_in_its_first_moment_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    fork = os.fork

    def interrupted() -> int:
        child = fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGINT)  # as a terminal sends it to all
            time.sleep(0)
        return child

    monkeypatch.setattr(os, "fork", interrupted)

    assert list(in_workers(iter([7]), lambda number: b"done", 1, lost)) == [b"done"]
