"""Coroutines from code that is not asynchronous: an interrupt is heard, even one that Python drops."""

import subprocess
import sys

import pytest

from papertape.replay.runtime.sync import wait_for

DROPPED = """
import os, signal, time
from papertape.replay.runtime.sync import wait_for

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)  # here it is raised, and here Python drops it

async def work():
    Swallows()
    print("dropped", flush=True)
    time.sleep(20)

signal.signal(signal.SIGINT, signal.default_int_handler)
wait_for(work())
"""


def test_a_result_comes_back_and_an_error_is_raised() -> None:
    async def three() -> int:
        return 3

    async def fails() -> None:
        raise ValueError("no")

    assert wait_for(three()) == 3
    with pytest.raises(ValueError, match="no"):
        wait_for(fails())


def test_an_interrupt_that_was_dropped_is_raised_again() -> None:
    ended = subprocess.run([sys.executable, "-c", DROPPED], capture_output=True, text=True, timeout=15)

    assert "dropped" in ended.stdout
    assert ended.stderr.rstrip().endswith("KeyboardInterrupt")
