"""Make `tests.support` and `tests.oracles` importable, whichever way pytest was started; fixtures of every folder."""

import atexit
import gc
import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

gc.disable()  # until all is collected: modules and tests are no garbage, and a third of the time went into asking

TESTS = Path(__file__).resolve().parent
WAITS = TESTS / "deploy" / "test_demo_live.py"

# No test, and no process that one starts, puts anything into the ledger of whoever runs them.
LEDGERS = Path(tempfile.mkdtemp(prefix="papertape-trials-"))
atexit.register(shutil.rmtree, LEDGERS, ignore_errors=True)
os.environ["PAPERTAPE_TRIALS"] = str(LEDGERS / "shared.sqlite3")
NUMBERS = itertools.count()

# A script that began this with `&` lets it hear no interrupt, nor anything that it starts; at a terminal all do.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from tests.support.commands import Inside


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Leave what was collected out of every later look for garbage."""
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Begin with what waits for minutes and computes little, then the files beside this one: pages, idioms and tapes as a whole
    are the long ones, and by name the last.
    """
    items.sort(key=lambda item: (item.path != WAITS, item.path.parent != TESTS))


@pytest.fixture(autouse=True)
def trials(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the ledger of a test alone: what others tried does not count in it."""
    path = LEDGERS / f"{next(NUMBERS)}.sqlite3"
    monkeypatch.setenv("PAPERTAPE_TRIALS", str(path))
    return path


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Inside":
    """Return a way to run commands without a process of their own."""
    from tests.support.commands import Inside

    return Inside(monkeypatch, capsys)
