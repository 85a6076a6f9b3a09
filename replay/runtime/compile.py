"""
A cold start on two cores: while this process compiles features and what models need, others compile structure and the broker.

Each of the others leaves machine code in the kernel cache, where this one finds it. Nothing depends on them: without them
(no folder to write to, no second process, one that was killed or takes too long) the engine compiles what is missing.
Of two starts at once, of two daemons say, one compiles a kernel and the other waits for it (`papertape.engine.jit.cache.KernelTurn`).
"""

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from papertape.engine.broker.execution import execute
from papertape.engine.features.smc.feature import smc
from papertape.engine.jit import is_stored
from papertape.engine.model.kinds import infer
from papertape.engine.spec import EngineSpec
from papertape.replay.runtime.process import child_environment
from papertape.replay.runtime.warm import compile_features, compile_model

LIMIT_S: Final = (
    300.0  # for each of the others, which take twenty on cores of their own and longer beside much else
)
ABOUT_S: Final = 60  # of a cold start on two cores that have nothing else to do
# Of the compiler's many objects hardly any is garbage: at the usual thresholds the collector takes a tenth of its time.
_THRESHOLDS: Final = (100_000, 50, 100)
HELPER: Final = (
    "import gc, sys\n"
    f"gc.set_threshold{_THRESHOLDS}\n"
    "from papertape.replay.runtime import warm\n"
    "from papertape.replay.runtime.process import end_with_parent\n"
    "end_with_parent()\n"
    "getattr(warm, sys.argv[1])()"
)


def compile_kernels(spec: EngineSpec, on_begin: Callable[[], None] | None = None) -> None:
    """
    Compile what an engine of this specification needs, in several processes, unless it is on disk already.

    on_begin  called before, unless it is
    """
    names = (*spec.requests, *spec.extra_features, *spec.model_features)
    has_structure = any(name.startswith("smc") for name in names)
    parts = {"compile_execution": execute, **({"compile_structure": smc} if has_structure else {})}
    missing = [part for part, kernel in parts.items() if not is_stored(kernel)]
    if missing and on_begin is not None:
        on_begin()
    if missing and (os.cpu_count() or 1) > 1:
        has_model = bool(spec.model_features) and not is_stored(infer)
        compile_beside(missing, has_model=has_model)


def compile_beside(parts: Sequence[str], *, has_model: bool = False) -> None:
    """
    Compile each of some parts in a process of its own and the rest in this one; wait for them, but not for ever.

    parts  names of functions of `papertape.replay.runtime.warm`
    """
    with _helpers(parts) as helpers, _collecting_rarely():
        compile_features()
        if has_model:
            compile_model()
        with contextlib.suppress(subprocess.TimeoutExpired):
            for helper in helpers:
                helper.wait(LIMIT_S)


@contextlib.contextmanager
def _helpers(parts: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run a process for each part, as many as can be started, and leave none behind."""
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        with contextlib.suppress(OSError):
            for part in parts:
                helpers.append(_start(part))  # noqa: PERF401 # those before one that fails are kept
        yield helpers
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()


def _start(part: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and a constant
        [sys.executable, "-c", HELPER, part],
        cwd=Path(__file__).parents[3],  # the very sources that run here
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def _collecting_rarely() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
