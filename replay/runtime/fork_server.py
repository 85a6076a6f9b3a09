"""
A process that begins something once and then works in copies of itself: what takes long to begin is not begun each time.

The copies are forked from what `begin` left, so what one of them keeps is gone before the next. Candles go in and answers
come out through pipes, as bytes; the server ends with its pipe, whatever becomes of who asked.
"""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import numpy as np

from papertape.engine.candles import CANDLE
from papertape.engine.jit import Rows
from papertape.replay.runtime.isolated import (
    Arrays,
    ForkResult,
    answer_apart,
    answer_of,
    read_answer,
    receive,
    send,
)
from papertape.replay.runtime.process import fork

Work = Callable[[list[Rows], int], tuple[dict[str, Any], Arrays]]


class ForkServer:
    """
    Works on candles in processes that all begin alike.

    begin  what is done once; work: what is done with the candles of every symbol and a number of them at a time
    """

    def __init__(self, begin: Callable[[], object], work: Work) -> None:
        order_reading, order_writing = os.pipe()
        answer_reading, answer_writing = os.pipe()
        self._pid = fork()
        if self._pid:
            with contextlib.suppress(OSError):
                os.setpgid(self._pid, self._pid)  # whoever of the two comes first
        else:
            os.close(order_writing)
            os.close(answer_reading)
            _serve(begin, work, order_reading, answer_writing)
        os.close(order_reading)
        os.close(answer_writing)
        self._orders: BinaryIO = os.fdopen(order_writing, "wb")
        self._answers: BinaryIO = os.fdopen(answer_reading, "rb")

    def run(self, tapes: Sequence[Rows], batch: int) -> ForkResult:
        """
        Return what the work returns, done in a process of its own.

        Raises what is ours as it was raised there, and ConfigError for any other error of a user's code.
        """
        order = {"lengths": [len(tape) for tape in tapes], "batch": batch}
        with contextlib.suppress(BrokenPipeError):  # it ended: there is no answer then
            self._orders.write(json.dumps(order).encode() + b"\n")
            for tape in tapes:
                self._orders.write(tape.tobytes())
            self._orders.flush()
        return read_answer(receive(self._answers))

    def close(self) -> None:
        """End the server and whatever it is at."""
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()
        self._answers.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)  # a user's code may never end
        os.waitpid(self._pid, 0)


def _serve(begin: Callable[[], object], work: Work, reading: int, writing: int) -> None:
    """Begin, and answer order after order until there are no more; never returns."""
    code = 1
    try:
        os.setpgid(0, 0)  # with its copies; an interrupt is heard by who asked, and ends the group

        def begun() -> tuple[dict[str, Any], Arrays]:
            begin()
            return {}, {}

        reads: dict[str, None] = {}
        failed = answer_of(begun, reads)
        is_failed = b'"error"' in failed.partition(b"\n")[0]
        with os.fdopen(reading, "rb") as orders, os.fdopen(writing, "wb") as answers:
            while line := orders.readline():
                order = json.loads(line)
                tapes = [_tape(orders, length) for length in order["lengths"]]
                answer = failed
                if not is_failed:
                    answer = answer_apart(lambda: work(tapes, order["batch"]), reads)  # noqa: B023 - done at once
                send(answers, answer)
        code = 0
    finally:
        os._exit(code)


def _tape(orders: BinaryIO, length: int) -> Rows:
    """Return the next candles of an order, which may be written to."""
    return np.frombuffer(orders.read(length * CANDLE.itemsize), CANDLE).copy()
