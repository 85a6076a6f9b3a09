"""Make `tests.support` and `tests.oracles` importable, whichever way pytest was started; fixtures of every folder."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from tests.support.commands import Inside


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Inside":
    """Return a way to run commands without a process of their own."""
    from tests.support.commands import Inside

    return Inside(monkeypatch, capsys)
