"""Child processes: whose they are, and how their end is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from papertape.replay.runtime.process import PARENT, child_environment, how_it_ended

CHILDREN = (
    "papertape.replay.learning.jobs.worker",
    "papertape.replay.honesty.worker",
    "papertape.daemon.learning.worker",
    "papertape.daemon.runtime.audit",
)
WAITS = "from papertape.replay.runtime.process import end_with_parent; end_with_parent(); print('goes on')"


def run(*arguments: str, parent: str | None) -> subprocess.CompletedProcess[str]:
    environment = child_environment()
    del environment[PARENT]
    if parent is not None:
        environment[PARENT] = parent
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("module", CHILDREN)
def test_a_child_whose_parent_is_gone_ends_and_says_so(module: str, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    found = run("-m", module, str(tmp_path), parent=str(gone.pid))

    assert found.returncode == 1
    told = f"process {gone.pid}, which started this one, is gone; the parent is process {os.getpid()} now"
    assert found.stderr.strip().splitlines()[-1] == told


@pytest.mark.parametrize("parent", [str(os.getpid()), None, "", "not a number"], ids=["own", "none", "empty", "no number"])  # fmt: skip
def test_a_child_of_whoever_started_it_goes_on_and_so_does_one_started_by_hand(
    parent: str | None,
) -> None:
    assert run("-c", WAITS, parent=parent).stdout == "goes on\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, "ended with code 0"),
        (3, "ended with code 3"),
        (-9, "was killed by signal 9 (SIGKILL, as the system does when memory runs out)"),
        (-11, "was killed by signal 11 (SIGSEGV)"),
        (-35, "was killed by signal 35"),
    ],
)
def test_the_end_of_a_process_is_told_in_words(code: int, told: str) -> None:
    assert how_it_ended(code) == told
