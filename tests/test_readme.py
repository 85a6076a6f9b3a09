"""The README as a newcomer reads it: its commands run, and what it shows is what they print."""

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from papertape.engine.jit.cache import cache_directory
from tests.support.commands import Inside
from tests.support.helpers import START_MS, needs_torch
from tests.support.shown import BLOCK, commands, is_shown, mask

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def blocks() -> list[tuple[str, str]]:
    return [(kind, body) for kind, body in BLOCK.findall(TEXT)]


def with_windows() -> list[tuple[str, str]]:
    """Return the README's blocks, and of the page on learning the one whose output is shown."""
    page = (ROOT / "deploy/docs/learning-results.md").read_text(encoding="utf-8")
    shown = [block for block in BLOCK.findall(page) if block[1].startswith("$ papertape windows")]
    assert len(shown) == 1
    return blocks() + shown


def run(command: str, folder: Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one line of the README as a user types it."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    if home is not None:
        environment |= {"HOME": str(home), "PAPERTAPE_CACHE_DIR": str(cache_directory().parents[1])}
    return subprocess.run(  # noqa: S602 - the README's own lines, as a user types them
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )


TRAINING = ("demo", "train", "windows", "honesty")
# Seconds of their own, and each has default tests: tests/daemon/commands/test_run.py, tests/replay/research/test_lookahead.py.
LONG = ("run", "verify state/", "prove --strategy")


def group(command: str) -> str:
    """Return which run of the test a command belongs to."""
    words = command.removeprefix("papertape ")
    return "training" if words.startswith(TRAINING) else "long" if words.startswith(LONG) else "quick"


@pytest.mark.parametrize(
    "chosen",
    [
        "quick",
        pytest.param("long", marks=pytest.mark.slow),
        pytest.param("training", marks=[pytest.mark.slow, needs_torch]),
    ],
)
def test_commands_print_what_is_shown(tmp_path: Path, inside: Inside, chosen: str) -> None:
    ran = 0
    for kind, body in with_windows():
        if kind == "python" and body.startswith("# "):
            name, _, program = body[2:].partition("\n")
            (tmp_path / name.strip()).write_text(program, encoding="utf-8")
        for command, code, shown in commands(body) if kind == "console" else ():
            if not command.startswith("papertape ") or "Downloads" in body:
                continue
            if group(command) != chosen:
                continue
            is_first = command == "papertape demo"  # what a newcomer types at first, as it is typed
            words = shlex.split(command)[1:]
            done = run(command, tmp_path) if is_first else inside(*words, cwd=tmp_path)
            ran += 1
            assert done.returncode == code, f"{command}: {done.stderr}"
            masked = (mask(shown), "\n".join(mask(done.stdout.splitlines())))
            is_training = chosen == "training"
            is_there = is_shown(*masked) if is_training else is_shown(shown, done.stdout)
            assert is_there, f"{command} printed\n{done.stdout}"

    assert ran >= 3


def test_importing_your_own_candles_works_as_shown(tmp_path: Path) -> None:
    """The three commands of `Your candles`, on a zip of Binance Vision's spot dialect made here."""
    price = "100.00000000,101.00000000,99.00000000,100.50000000,2.00000000"
    lines = [
        f"{START_MS + 60_000 * i},{price},{START_MS + 60_000 * i + 59_999},200.00000000,3,1.0,100.0,0"
        for i in range(600)
    ]
    (tmp_path / "Downloads").mkdir()
    with zipfile.ZipFile(tmp_path / "Downloads/BTCUSDT-1m-2024-01.zip", "w") as packed:
        packed.writestr("BTCUSDT-1m-2024-01.csv", "\n".join(lines))
    body = next(body for _, body in blocks() if "Downloads" in body)

    for command, code, _ in commands(body):
        done = run(command, tmp_path, home=tmp_path)

        assert done.returncode == code, f"{command}: {done.stderr}"


def test_notebook_example_prints_what_is_shown(tmp_path: Path) -> None:
    kinds = blocks()
    at = next(i for i, (kind, body) in enumerate(kinds) if kind == "python" and "backtest(" in body)

    done = subprocess.run(
        [sys.executable, "-c", kinds[at][1]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert is_shown(kinds[at + 1][1].splitlines(), done.stdout), done.stdout


@pytest.mark.parametrize("target", re.findall(r"^\$ make ([\w-]+)$", TEXT, re.MULTILINE))
def test_make_targets_exist(target: str) -> None:
    done = subprocess.run(
        ["make", "-n", target],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


def test_files_that_the_readme_points_to_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", TEXT)

    assert targets
    for target in targets:
        assert (ROOT / target).exists() or target.startswith("https://"), target
