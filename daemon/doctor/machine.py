"""The machine: is it fit for the daemon, with this configuration?"""

import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from papertape.daemon.doctor.finding import Finding, FindingStatus
from papertape.engine.errors import PapertapeError
from papertape.engine.jit.cache import cache_directory
from papertape.replay.config import Config
from papertape.replay.config.user_code import check_code

PYTHON: Final = (3, 11)
FREE_BYTES: Final = 1 << 30
FSYNC_MS: Final = 25.0  # every input is committed before the engine sees it
FSYNCS: Final = 20
CLOCK_STEP_MS: Final = 50.0
EARLIEST_S: Final = 1_704_067_200  # 2024-01-01: no machine's clock is right and before that
PINNED: Final = {"aiohttp": "3.14.", "ccxt": "4.5."}


def examine_machine(folder: Path) -> list[Finding]:
    """Return what is found about the interpreter, cores, disk, clock and the kernels' cache."""
    return [
        _python(),
        *_libraries(),
        _cores(),
        _disk_space(folder),
        _fsync(folder),
        _clock(),
        _kernel_cache(),
    ]


def examine_config(config: Config, name: str) -> Finding:
    """Return whether what a configuration names exists; that it is well-formed is known already."""
    try:
        check_code(config)
    except PapertapeError as error:
        return _row(f"configuration {name}", "fit to run", str(error), FindingStatus.FAILED)
    if not config.live.symbols:
        return _row(f"configuration {name}", "fit to run", "fine; no live.symbols", FindingStatus.OK)
    told = f"{config.live.venue}, {', '.join(config.live.symbols)} at {config.live.timeframe}"
    return _row(f"configuration {name}", "fit to run", told, FindingStatus.OK)


def _row(check: str, expected: str, observed: str, status: FindingStatus) -> Finding:
    return Finding("machine", check, expected, observed, status)


def _judge(is_good: bool, otherwise: FindingStatus = FindingStatus.FAILED) -> FindingStatus:
    return FindingStatus.OK if is_good else otherwise


def _python() -> Finding:
    found = sys.version_info
    told = f"{found.major}.{found.minor}.{found.micro}"
    return _row("Python", "3.11 or later", told, _judge(found[:2] >= PYTHON))


def _libraries() -> list[Finding]:
    rows = []
    for name, wanted in PINNED.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            rows.append(_row(name, f"{wanted}x", "not installed", FindingStatus.FAILED))
            continue
        status = _judge(found.startswith(wanted), FindingStatus.DIFFERS)
        rows.append(_row(name, f"{wanted}x", found, status))
    return rows


def _cores() -> Finding:
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    told = f"{n_cores or 1} usable"
    return _row("cores", "2 or more: one trains", told, _judge((n_cores or 1) >= 2, FindingStatus.DIFFERS))


def _disk_space(folder: Path) -> Finding:
    place = _existing(folder)
    free = shutil.disk_usage(place).free
    told = f"{free / (1 << 30):,.1f} GiB free at {place}"
    return _row("disk space", "1 GiB or more", told, _judge(free >= FREE_BYTES))


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    place = folder.absolute()
    while not place.is_dir():
        place = place.parent
    return place


def _fsync(folder: Path) -> Finding:
    """Time what every journalled input waits for: four kilobytes to the disk."""
    place = _existing(folder)
    times_ms = []
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor.") as file:
            for _ in range(FSYNCS):
                before_s = time.perf_counter()
                file.write(b"\0" * 4096)
                file.flush()
                os.fsync(file.fileno())
                times_ms.append((time.perf_counter() - before_s) * 1000.0)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return _row(
            "fsync", "the state's folder can be written to", f"{place}: {reason}", FindingStatus.FAILED
        )
    median_ms = statistics.median(times_ms)
    told = f"{median_ms:.1f} ms, at most {max(times_ms):.1f} ms of {FSYNCS}"
    status = _judge(median_ms <= FSYNC_MS, FindingStatus.DIFFERS)
    return _row("fsync", f"{FSYNC_MS:g} ms or less", told, status)


def _clock() -> Finding:
    """Compare the wall's clock with the monotonic one for a moment."""
    wall_s, steady_s = time.time(), time.monotonic()
    time.sleep(0.05)
    step_ms = abs((time.time() - wall_s) - (time.monotonic() - steady_s)) * 1000.0
    told = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(wall_s))
    if wall_s < EARLIEST_S:
        return _row("clock", "a date of these years", told, FindingStatus.FAILED)
    status = _judge(step_ms <= CLOCK_STEP_MS, FindingStatus.DIFFERS)
    return _row("clock", "a date of these years, no steps", f"{told}, steps {step_ms:.1f} ms", status)


def _kernel_cache() -> Finding:
    folder = cache_directory()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor."):
            n_kernels = sum(1 for _ in folder.rglob("*.nbi"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        told = f"{folder}: {reason}; every start compiles for some 15 s: set PAPERTAPE_CACHE_DIR"
        return _row("kernel cache", "can be written to", told, FindingStatus.DIFFERS)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # only when it was made just now, and is empty
    told = f"{folder}, {n_kernels} kernels{_passed_over()}"
    return _row("kernel cache", "can be written to", told, FindingStatus.OK)


def _passed_over() -> str:
    """Return, as the end of a sentence, which variables name no place for the kernel cache, for they are relative."""
    if os.environ.get("PAPERTAPE_CACHE_DIR"):
        return ""
    named = {name: os.environ.get(name, "") for name in ("XDG_CACHE_HOME", "HOME")}
    relative = [f"{name}={path}" for name, path in named.items() if path and not Path(path).is_absolute()]
    return f"; {' and '.join(relative)} passed over: not absolute" if relative else ""
