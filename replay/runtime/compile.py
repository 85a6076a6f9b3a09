"""
A cold start on two cores: while this process compiles the kernels of every run, a second one compiles structure.

The second process leaves machine code in the kernel cache, where this one finds it. Nothing depends on it: without it
(no folder to write to, no second process, one that was killed or takes too long) the engine compiles what is missing.
Two starts at once, of two daemons say, compile the same twice; files in the cache appear by renaming.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from papertape.engine.features.smc.feature import smc
from papertape.engine.jit import is_stored
from papertape.engine.spec import EngineSpec
from papertape.replay.runtime.process import child_environment
from papertape.replay.runtime.warm import compile_common

LIMIT_S: Final = 60.0  # for the second process, which takes ten
HELPER: Final = (
    "from papertape.replay.runtime.warm import compile_structure\n"
    "from papertape.replay.runtime.process import end_with_parent\n"
    "end_with_parent()\n"
    "compile_structure()"
)


def compile_kernels(spec: EngineSpec) -> None:
    """Compile what an engine of this specification needs, in two processes, unless it is on disk already."""
    names = (*spec.requests, *spec.extra_features, *spec.model_features)
    has_structure = any(name.startswith("smc") for name in names)
    if has_structure and not is_stored(smc) and (os.cpu_count() or 1) > 1:
        compile_in_two()


def compile_in_two() -> None:
    """Compile structure in a second process and the rest in this one; wait for the other, but not for ever."""
    try:
        helper = subprocess.Popen(  # noqa: S603 - our own interpreter and a constant
            [sys.executable, "-c", HELPER],
            cwd=Path(__file__).parents[3],  # the very sources that run here
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return
    try:
        compile_common()
        with contextlib.suppress(subprocess.TimeoutExpired):
            helper.wait(LIMIT_S)
    finally:
        helper.kill()
        helper.wait()
