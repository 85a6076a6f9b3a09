"""What every copy begins with is begun once; what a copy does is gone with it."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from papertape.engine.errors import ConfigError, DataError
from papertape.engine.jit import Rows
from papertape.replay.runtime import isolated
from papertape.replay.runtime.fork_server import ForkServer
from papertape.replay.runtime.isolated import run_apart
from tests.support.helpers import random_candles

KEPT: list[str] = []
ONE, TWO = random_candles(7, 1), random_candles(5, 2)


def begin() -> None:
    KEPT.append("begun")


def work(tapes: list[Rows], batch: int) -> tuple[dict[str, Any], dict[str, Any]]:
    KEPT.append("worked")
    tapes[0]["close"][0] += 1.0
    values = {"kept": KEPT, "batch": batch, "closes": [float(t["close"].sum()) for t in tapes]}
    return values, {"high": tapes[-1]["high"]}


def test_every_run_begins_alike_and_sees_its_candles() -> None:
    with contextlib.closing(ForkServer(begin, work)) as server:
        answers = [server.run([ONE, TWO], batch) for batch in (0, 1, 64)]
        alone = server.run([TWO], 0)

    for batch, answer in zip((0, 1, 64), answers, strict=True):
        assert answer.values == {
            "kept": ["begun", "worked"],
            "batch": batch,
            "closes": [pytest.approx(ONE["close"].sum() + 1.0), pytest.approx(TWO["close"].sum())],
        }
        np.testing.assert_array_equal(answer.arrays["high"], TWO["high"])
    assert alone.values["closes"] == [pytest.approx(TWO["close"].sum() + 1.0)]
    assert KEPT == []


def test_what_beginning_reads_is_told_of_every_run(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1")

    with contextlib.closing(ForkServer(path.read_text, work)) as server:
        first, second = server.run([ONE], 0), server.run([ONE], 0)

    assert first.reads == second.reads == (str(path),)


def fails(error: BaseException) -> Callable[..., Any]:
    def raise_it(*_: Any) -> Any:
        raise error

    return raise_it


@pytest.mark.parametrize(("error", "kind"), [(DataError("no"), DataError), (ValueError("x"), ConfigError)])
@pytest.mark.parametrize("where", ["begin", "work"])
def test_errors_come_back_and_the_server_goes_on(where: str, error: Exception, kind: type[Exception]) -> None:
    parts = (fails(error), work) if where == "begin" else (begin, fails(error))

    with contextlib.closing(ForkServer(*parts)) as server:
        for _ in range(2):
            with pytest.raises(kind, match=str(error)):
                server.run([ONE], 0)


def test_a_copy_that_dies_is_told_and_the_next_one_works() -> None:
    def die(tapes: list[Rows], batch: int) -> Any:
        if batch:
            os._exit(3)
        return {"is_alive": True}, {}

    with contextlib.closing(ForkServer(begin, die)) as server:
        with pytest.raises(ConfigError, match="ended without an answer"):
            server.run([ONE], 1)
        assert server.run([ONE], 0).values == {"is_alive": True}


@pytest.mark.parametrize("has_server", [True, False])
def test_a_copy_that_dies_within_its_answer_has_given_none(
    monkeypatch: pytest.MonkeyPatch, has_server: bool
) -> None:
    def half(pipe: BinaryIO, answer: bytes) -> None:
        pipe.write(len(answer).to_bytes(8, "little"))
        pipe.write(answer[: len(answer) // 2])
        pipe.flush()
        os._exit(1)

    monkeypatch.setattr(isolated, "send", half)

    with contextlib.closing(ForkServer(begin, work)) as server:
        for batch in (1, 2):
            with pytest.raises(ConfigError, match="ended without an answer"):
                server.run([ONE], batch) if has_server else run_apart(lambda: ({}, {}))


def is_alive(pid: int) -> bool:
    """Return whether a process is there and works; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_in(path: Path) -> int:
    """Wait until a process has said its number."""
    while not path.exists() or not path.read_text():
        time.sleep(0.01)
    return int(path.read_text())


def wait_until_gone(pid: int) -> None:
    for _ in range(500):
        if not is_alive(pid):
            break
        time.sleep(0.01)
    assert not is_alive(pid)


def test_work_that_never_ends_is_ended_with_its_server(tmp_path: Path) -> None:
    path = tmp_path / "pid"

    def never_ends(tapes: list[Rows], batch: int) -> Any:
        path.write_text(str(os.getpid()))
        time.sleep(600)

    server = ForkServer(begin, never_ends)
    server._orders.write(b'{"lengths": [], "batch": 0}\n')
    server._orders.flush()
    copy = pid_in(path)

    server.close()

    wait_until_gone(copy)


@pytest.mark.parametrize("has_server", [True, False])
def test_work_that_never_ends_is_ended_with_whoever_asked(tmp_path: Path, has_server: bool) -> None:
    path = tmp_path / "pid"

    def never_ends(*_: Any) -> Any:
        path.write_text(str(os.getpid()))
        time.sleep(600)

    asker = os.fork()
    if asker == 0:
        try:
            if has_server:
                ForkServer(begin, never_ends).run([ONE], 0)
            run_apart(never_ends)
        finally:
            os._exit(1)
    copy = pid_in(path)

    os.kill(asker, signal.SIGKILL)
    os.waitpid(asker, 0)

    wait_until_gone(copy)


@pytest.fixture
def another_thread() -> Iterator[None]:
    """Have a thread that takes interrupts which the main one does not, as libraries and shells have them."""
    is_over = threading.Event()
    thread = threading.Thread(target=is_over.wait)
    thread.start()
    yield
    is_over.set()
    thread.join()


@pytest.mark.usefixtures("another_thread")
def test_an_interrupt_while_a_copy_begins_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    fork, begun = os.fork, []

    def interrupted() -> int:
        begun.append(fork())
        if begun[-1]:
            os.kill(os.getpid(), signal.SIGINT)
        return begun[-1]

    monkeypatch.setattr(os, "fork", interrupted)

    for begins in (lambda: run_apart(lambda: time.sleep(600)), lambda: ForkServer(begin, work)):  # type: ignore[arg-type,return-value]
        with pytest.raises(KeyboardInterrupt):
            begins()

    assert not [pid for pid in begun if Path(f"/proc/{pid}").exists()]


def test_arrays_of_every_kind_come_as_they_were() -> None:
    times = np.arange(3)
    sent = {
        "times": times,
        "again": times,
        "none": np.zeros((0, 4)),
        "table": np.array([[1.5, np.nan], [-0.0, 2.0]]).T,
        "words": np.array(["a", "longer"]),
        "flags": np.array([True, False, True]),
        "candles": ONE,
        "one": np.float32(0.1),
    }

    arrays = run_apart(lambda: ({}, sent)).arrays

    assert list(arrays) == list(sent)
    for name, array in sent.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()
