"""The cold start: what the second process leaves, and that nothing depends on it."""

import gc
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from papertape.engine.broker.execution import execute
from papertape.engine.core import Engine
from papertape.engine.features.series import advance
from papertape.engine.model.kinds import infer
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies import Confluence, EmaCross
from papertape.replay.runtime import compile, warm
from tests.support.helpers import random_candles

ROOT = Path(__file__).resolve().parents[3]

ONE_KERNEL = """
import json
from papertape.engine.jit import is_stored
from papertape.engine.model.functions import sigmoid
was_stored = is_stored(sigmoid)
value = sigmoid(0.5)
print(json.dumps([was_stored, is_stored(sigmoid), value, sum(sigmoid._cache_hits.values())]))
"""
FROM_A_COPY = """
import os, papertape.engine
assert papertape.engine.__file__.startswith(os.getcwd()), papertape.engine.__file__
"""
WHOLE = """
import gc
from dataclasses import replace
from papertape.engine.jit.dispatch import Kernel
from papertape.replay.runtime.compile import compile_kernels
from tests.bench.candles import make
from tests.bench.work import Batches, drive, everything
spec = replace(everything(use_smc=True), model_features=("rsi_14",))
compile_kernels(spec)
print(drive(spec, Batches(make(500), 1))[1].digest)
for each in gc.get_objects():
    if isinstance(each, Kernel) and each.overloads:
        print(each.py_func.__name__, len(each.overloads), sum(each._cache_hits.values()))
"""


def start(program: str, folder: Path, root: Path = ROOT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=root,
        env={**os.environ, "PAPERTAPE_CACHE_DIR": str(folder), "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    told, _ = process.communicate(timeout=900)
    assert process.returncode == 0
    return told


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count what this process would compile, without compiling it."""
    done: list[str] = []
    monkeypatch.setattr(compile, "compile_features", lambda: done.append("features"))
    monkeypatch.setattr(compile, "compile_model", lambda: done.append("model"))
    return done


def test_another_process_that_is_killed_only_leaves_its_work_undone(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "HELPER", "import os; os.kill(os.getpid(), 9)")

    compile.compile_beside(["compile_structure", "compile_execution"])

    assert compiled == ["features"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Collect the other processes, which wait for ever."""
    found: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def remember(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        found.append(popen(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(compile.subprocess, "Popen", remember)
    monkeypatch.setattr(compile, "HELPER", "import signal; signal.pause()")
    return found


def test_other_processes_that_hang_are_ended(
    compiled: list[str], started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "LIMIT_S", 0.1)

    compile.compile_beside(["compile_structure", "compile_execution"], has_model=True)

    assert compiled == ["features", "model"]
    assert [process.returncode for process in started] == [-9, -9]


def test_no_other_process_stays_when_this_one_is_interrupted(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compile, "compile_features", interrupt)
    before = gc.get_threshold()

    with pytest.raises(KeyboardInterrupt):
        compile.compile_beside(["compile_structure"])

    assert [process.returncode for process in started] == [-9]
    assert gc.get_threshold() == before


def test_without_other_processes_the_engine_compiles_the_rest_by_itself(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    compile.compile_beside(["compile_structure"])

    assert compiled == ["features"]


def test_other_processes_are_for_what_is_needed_and_not_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], bool]] = []
    stored: set[Any] = set()

    def ask(parts: list[str], *, has_model: bool) -> None:
        asked.append((parts, has_model))

    monkeypatch.setattr(compile, "compile_beside", ask)
    monkeypatch.setattr(compile, "is_stored", lambda kernel: kernel in stored)
    monkeypatch.setattr(compile.os, "cpu_count", lambda: 2)
    plain = EngineSpec([Market("X")], EmaCross(), "1m", "1m")
    whole = EngineSpec([Market("X")], Confluence(use_ml=False), "1m", "1m")
    learning = replace(plain, model_features=("rsi_14",))
    begun: list[str] = []

    compile.compile_kernels(plain, lambda: begun.append("plain"))
    compile.compile_kernels(whole)
    compile.compile_kernels(learning)
    stored |= {execute, infer}
    compile.compile_kernels(plain, lambda: begun.append("what is there"))
    compile.compile_kernels(learning)
    compile.compile_kernels(whole)
    monkeypatch.setattr(compile.os, "cpu_count", lambda: 1)
    compile.compile_kernels(whole, lambda: begun.append("on one core"))

    assert begun == ["plain", "on one core"]
    assert asked == [
        (["compile_execution"], False),
        (["compile_execution", "compile_structure"], False),
        (["compile_execution"], True),
        (["compile_structure"], False),
    ]


def test_what_is_compiled_ahead_is_what_an_engine_asks_for() -> None:
    kernels: list[Any] = [advance, execute]
    engine = Engine(EngineSpec([Market("X")], EmaCross(), "1m", "1m"))
    engine.step(random_candles(2, timeframe="1m"))
    asked = [set(each.overloads) for each in kernels]

    warm.compile_features()
    warm.compile_execution()

    assert [set(each.overloads) for each in kernels] == asked


@pytest.mark.slow  # by default tests/engine/jit/test_dispatch.py compiles into a folder of its own
def test_of_two_cold_starts_at_once_one_compiles_and_a_copy_of_the_sources_reads(tmp_path: Path) -> None:
    copy = shutil.copytree(ROOT / "deploy" / "package", tmp_path / "copy")
    one, two = start(ONE_KERNEL, tmp_path), start(ONE_KERNEL, tmp_path)
    first, second = json.loads(finish(one)), json.loads(finish(two))
    third = json.loads(finish(start(f"{FROM_A_COPY}{ONE_KERNEL}", tmp_path, copy)))

    assert first[3] + second[3] == 1
    assert first[1:3] == second[1:3] == third[1:3]
    assert third[0]
    assert third[3] == 1
    assert not list(tmp_path.rglob("*.tmp.*"))


def test_a_cache_folder_that_cannot_be_made_costs_time_and_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")

    was_stored, is_stored, value, hits = json.loads(finish(start(ONE_KERNEL, blocked)))

    assert was_stored  # nobody is sent to store it
    assert is_stored
    assert hits == 0
    assert abs(value - 0.6224593312018546) < 1e-15  # 1 / (1 + exp(-0.5))
    assert blocked.read_text(encoding="utf-8") == "in the way"


@pytest.mark.slow
def test_a_cold_start_in_several_processes_decides_what_a_warm_one_decides(tmp_path: Path) -> None:
    cold = finish(start(WHOLE, tmp_path)).splitlines()
    warm = finish(start(WHOLE, tmp_path)).splitlines()

    assert cold[0] == warm[0]
    assert {"smc 1 1", "execute 1 1"} <= set(cold)  # from the others
    # What was compiled ahead is what an engine asks for: one machine code of each, and all of it was there.
    assert "advance 1 0" in cold
    assert all(line.endswith(" 1 1") for line in warm[1:]), warm
