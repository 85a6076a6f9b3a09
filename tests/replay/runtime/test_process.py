"""Child processes: whose they are, and how their end is told."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from papertape.replay.runtime.process import PARENT, child_environment, command_of, fork, how_it_ended, main

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
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.mark.parametrize("module", CHILDREN)
def test_a_child_whose_parent_is_gone_ends_and_says_so(module: str, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    found = run("-m", module, str(tmp_path), parent=str(gone.pid))

    assert found.returncode == 1
    told = f"process {gone.pid}, which started this one, is gone; the parent is process {os.getpid()} now"
    assert found.stderr.strip().splitlines()[-1] == told


@pytest.mark.parametrize(
    "parent", [str(os.getpid()), None, "", "not a number"], ids=["own", "none", "empty", "no number"]
)
def test_a_child_of_whoever_started_it_goes_on_and_so_does_one_started_by_hand(parent: str | None) -> None:
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


@pytest.mark.parametrize("source", ["main = lambda folder: len(folder.name)", "raise SystemExit(5)"])
def test_a_worker_is_loaded_without_a_look_for_garbage(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"worker_{len(source)}"
    (tmp_path / f"{name}.py").write_text(f"import gc\nassert not gc.isenabled()\n{source}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gc, "freeze", lambda: None)  # what tests have made is no start's

    try:
        code = main(name, tmp_path / "seven77")
    except SystemExit as end:
        code = int(str(end.code))

    assert code == (7 if "folder" in source else 5)
    assert gc.isenabled()


def test_a_worker_s_command_lacks_the_folder_alone() -> None:
    assert command_of("a.worker")[-2:] == ("papertape.replay.runtime.process", "a.worker")


def test_a_fork_looks_for_no_garbage_in_what_it_has_of_its_parent() -> None:
    kept = [[] for _ in range(1000)]
    ours, theirs = os.pipe()

    child = fork()
    if child == 0:
        os.write(theirs, str(len(gc.get_objects())).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert int(os.read(ours, 20)) < len(kept) <= len(gc.get_objects())
