"""Make `tests.support` and `tests.oracles` importable, whichever way pytest was started; fixtures of every folder."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

TESTS = Path(__file__).resolve().parent

if TYPE_CHECKING:
    from tests.support.commands import Inside


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files beside this one: pages, idioms and tapes as a whole are the long ones, and by name the last."""
    items.sort(key=lambda item: item.path.parent != TESTS)


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Inside":
    """Return a way to run commands without a process of their own."""
    from tests.support.commands import Inside

    return Inside(monkeypatch, capsys)
