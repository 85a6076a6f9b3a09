"""
Many configurations over the same candles, as whole calls: trials, their file, ledger, table, verdict and check included.

500 pairs of averages and 500 accounts of W2 on the same minutes, with two processes; `confluence` walked forward over the
embedded hours. Beside them one run of backtesting.py on the same candles, as often as there are trials.
"""

import os
import resource
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from papertape.replay.front.sweep import sweep
from papertape.replay.front.walkforward import walkforward
from papertape.replay.importers.named import sample
from papertape.replay.tapes.store import Tape
from tests.bench.candles import make
from tests.bench.whole import frame_of, run_backtesting_py

PAIRS_MUST_S, PAIRS_AIM_S = 0.5, 0.1
BRACKETS_MUST, BRACKETS_AIM = 20e6, 60e6  # configurations × candles a second on two cores
WALK_MUST_S: Final = 60.0
_CANDLES, _WORKERS = 100_000, 2
_QUIET: Final[dict[str, Any]] = {"use_ml": False, "retrain_every": "never", "progress": False}
_PAIRS: Final = {
    "strategy.parameters.fast": list(range(5, 25)),
    "strategy.parameters.slow": list(range(26, 51)),
}
_ACCOUNTS: Final = {
    "account.risk_fraction": [0.0005 + 0.00005 * step for step in range(20)],
    "market.taker_fee_rate": [0.00005 * step for step in range(25)],
}
_RULES: Final = {
    "strategy.parameters.confidence_threshold": [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65],
    "strategy.parameters.stop_atr": [1.0, 1.5, 2.0, 2.5, 3.0],
    "strategy.parameters.target_atr": [1.5, 2.0, 3.0, 4.0, 6.0],
}


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder, with a trial ledger of its own in it."""
    before = os.environ.get("PAPERTAPE_TRIALS")
    with tempfile.TemporaryDirectory() as name:
        os.environ["PAPERTAPE_TRIALS"] = f"{name}/trials.sqlite3"
        try:
            yield Path(name)
        finally:
            if before is None:
                del os.environ["PAPERTAPE_TRIALS"]
            else:
                os.environ["PAPERTAPE_TRIALS"] = before


def _cpu_s() -> float:
    """Return what this process and its ended workers have computed, in seconds: on a shared machine a time by the clock tells little."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _swept(grid: dict[str, Any], trials: int, **arguments: Any) -> dict[str, Any]:
    """Return the seconds of a sweep of so many trials, kernels compiled before, and what its largest worker held."""
    tape = Tape(make(_CANDLES), "binance-spot", "BENCH", "1m", source="the benchmark's own")
    asked = {**_QUIET, **arguments, "workers": _WORKERS}
    with _folder() as folder:
        few = {key: values[:1] for key, values in grid.items()}
        sweep(few, tape, out=folder / "few", **asked)
        started, before_s = time.perf_counter(), _cpu_s()
        draw = trials if trials < 500 else None
        found = sweep(grid, tape, out=folder / "all", draw=draw, **asked)
        seconds, cpu_s = time.perf_counter() - started, _cpu_s() - before_s
    assert found.counts == {"done": trials}, found.counts
    return {
        "seconds": seconds,
        "cpu_s": cpu_s,
        "candles_per_s_m": trials * _CANDLES / seconds / 1e6,
        "worker_peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024.0,
    }


def pairs(trials: int = 500) -> dict[str, Any]:
    """Return the seconds of pairs of averages beside those of as many runs of backtesting.py, of which one is made."""
    found = _swept(_PAIRS, trials, strategy="ema_cross", account={"sizing": "all_in"})
    must = PAIRS_MUST_S * trials / 500
    row = {"work": f"sweep: {trials} pairs of averages", **found, "must": must, "aim": PAIRS_AIM_S}
    row["is_met"] = row["seconds"] <= must
    if find_spec("backtesting") is not None:
        frame = frame_of(make(_CANDLES))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            started = time.perf_counter()
            run_backtesting_py(frame)
            row["backtesting_py_s_by_one"] = (time.perf_counter() - started) * trials
    return row


def brackets(trials: int = 500) -> dict[str, Any]:
    """Return configurations × candles a second of accounts of W2 with other risks and fees."""
    found = _swept(_ACCOUNTS, trials, strategy="bracket_w2", account={"sizing": "risk"})
    return {
        "work": f"sweep: {trials} accounts of W2",
        **found,
        "must": BRACKETS_MUST,
        "aim": BRACKETS_AIM,
        "is_met": found["candles_per_s_m"] * 1e6 >= BRACKETS_MUST,
    }


def walk(test: str = "90d") -> dict[str, Any]:
    """Return the seconds of a walk-forward of `confluence`, 200 trials a window, on the embedded hours."""
    with _folder() as folder:
        started, before_s = time.perf_counter(), _cpu_s()
        found = walkforward(
            _RULES,
            sample(),
            strategy="confluence",
            train="365d",
            test=test,
            out=folder / "walk",
            workers=_WORKERS,
            **_QUIET,
        )
        seconds, cpu_s = time.perf_counter() - started, _cpu_s() - before_s
    windows = len(found.rows)
    return {
        "work": "walkforward: 200 trials of confluence a window",
        "windows": windows,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "must": WALK_MUST_S,
        "is_met": seconds <= WALK_MUST_S * windows / 12,
    }


if __name__ == "__main__":
    for line in (pairs(), brackets(), walk()):
        print(line)  # noqa: T201
