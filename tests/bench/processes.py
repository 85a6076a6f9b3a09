"""What needs a process of its own, or a history: start-up, memory, and the cost of a fill after many."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from papertape.engine.core import Engine
from papertape.engine.jit import Rows
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import EmaCross
from tests.bench.candles import make
from tests.bench.work import everything

_ROOT = Path(__file__).resolve().parents[2]

_START = """
import time
started = time.perf_counter()
import sys
from papertape.replay.runtime.compile import compile_kernels
from tests.bench.work import Batches, drive, everything
from tests.bench.candles import make
candles, spec = make(500), everything(use_smc=sys.argv[1:] == ["structure"])
imported = time.perf_counter()
compile_kernels(spec)
drive(spec, Batches(candles, 1))
print(imported - started, time.perf_counter() - started)
"""

_MEMORY = """
import json, os
import numpy as np
from papertape.engine.candles import CANDLE
from tests.bench.work import Batches, drive, w2
candles = np.load(os.environ["CANDLES"]).view(CANDLE)
found = {}
def peak_mb():
    # Not ru_maxrss: a child's begins with what its parent had.
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
drive(w2(), Batches(candles, 2048))
found["1_m_mb"] = peak_mb()
drive(w2(), Batches(candles, 2048, 10))
found["10_m_mb"] = peak_mb()
print(json.dumps(found))
"""


def run_program(program: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=_ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return done.stdout


def start_times() -> dict[str, float]:
    """Return seconds from nothing to the first decisions, with and without compiled kernels on disk."""
    found: dict[str, float] = {}
    for name in ("technical", "structure"):
        with tempfile.TemporaryDirectory() as folder:
            cold = run_program(_START, name, PAPERTAPE_CACHE_DIR=folder).split()
            warm = run_program(_START, name, PAPERTAPE_CACHE_DIR=folder).split()
        found |= {f"{name}_cold_s": float(cold[1]), f"{name}_warm_s": float(warm[1])}
    return {**found, "warm_import_s": float(warm[0])}


def memory() -> dict[str, Any]:
    """
    Return peak memory after one million candles and after ten more, in MB, interpreter and tape included.

    The candles are made here and read there: making them takes more memory than replaying them.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candles.npy"
        np.save(path, make(1_000_000).view(np.uint8))
        found: dict[str, Any] = json.loads(run_program(_MEMORY, CANDLES=str(path)))
    return {**found, "growth_mb": found["10_m_mb"] - found["1_m_mb"]}


def snapshots() -> dict[str, float]:
    """Return size (kB) and restore time (ms) of a one-symbol snapshot without and with market structure."""
    found: dict[str, float] = {}
    for name, use_smc in (("technical", False), ("structure", True)):
        engine = Engine(everything(use_smc=use_smc))
        engine.step(make(6_000))
        data = engine.snapshot()
        seconds = []
        for _ in range(7):
            fresh = Engine(engine.spec)
            started = time.perf_counter()
            fresh.restore(data)
            seconds.append(time.perf_counter() - started)
        assert fresh.digest == engine.digest
        found |= {f"{name}_kb": len(data) / 1e3, f"{name}_restore_ms": float(np.median(seconds)) * 1e3}
    return found


def fill_costs() -> dict[str, float]:
    """
    Return what a fill costs early and late, in microseconds.

    The same candles are stepped by an engine that has made few fills and by one that has made a hundred thousand; an
    engine whose strategy never trades gives what the candles cost without fills.
    """
    candles = _zigzag(4_000)
    quiet = _step(Engine(_spec(fast=399, slow=400)), candles, 0)[0]
    young = Engine(_spec(1, 2))
    early_s, early = _step(young, candles, 0)
    number = 1
    while int(young.account[0].sequence) < 200_000:
        _step(young, candles, number)
        number += 1
    late_s, late = _step(young, candles, number)
    return {
        "early_fills": float(early),
        "early_us": (early_s - quiet) / early * 1e6,
        "late_after_fills": float(int(young.account[0].sequence) // 2),
        "late_us": (late_s - quiet) / late * 1e6,
    }


def _spec(fast: int, slow: int) -> EngineSpec:
    market = Market("X", taker_fee_rate=0.0, half_spread_rate=0.0, slippage_rate=0.0)
    return EngineSpec([market], EmaCross(fast, slow), "1m", "1m", settings=Settings("all_in"))


def _zigzag(n: int) -> Rows:
    """Return candles that turn at every second one, so that a quick cross trades at nearly all of them."""
    candles = make(n).copy()
    price = 30_000.0 + 10.0 * (np.arange(n) % 4 < 2)
    for name in ("open", "high", "low", "close"):
        candles[name] = price
    return candles


def _step(engine: Engine, candles: Rows, number: int) -> tuple[float, int]:
    """Step candles, moved on in time, and return (median seconds of the parts × parts, fills)."""
    moved = candles.copy()
    moved["open_ms"] += number * len(candles) * 60_000
    seconds, fills = [], 0
    for part in np.split(moved, 8):
        rows = np.ascontiguousarray(part)
        started = time.perf_counter()
        report = engine.step(rows)
        seconds.append(time.perf_counter() - started)
        fills += len(report.fills)
    return float(np.median(seconds)) * len(seconds), fills
