"""Commands run in the test's own process, where libraries and kernels are loaded already: as typed, but for the second of a start."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from papertape.daemon.cli import app, main
from papertape.engine.errors import PapertapeError


class Inside:
    """Runs commands as the installed one does: its words, its folder, its streams and its exit code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Return the exit code, and what went to stdout and stderr."""
        self._monkeypatch.chdir(cwd)
        self._monkeypatch.setattr(sys, "argv", ["papertape", *arguments])
        self._monkeypatch.setattr(sys, "path", list(sys.path))
        self._monkeypatch.setattr(gc, "freeze", lambda: None)  # what tests have made is no start's
        self._capsys.readouterr()
        before = set(sys.modules)
        with pytest.raises(SystemExit) as ended:
            main()
        for name in set(sys.modules) - before:  # a user's module of this folder is none of the next
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(cwd):
                del sys.modules[name]
        out, error = self._capsys.readouterr()
        code = ended.value.code
        return subprocess.CompletedProcess(
            arguments, code if isinstance(code, int) else int(code is not None), out, error
        )


def invoke(*arguments: str, code: int = 0) -> str:
    """Run a command in this process and return what it printed."""
    done = CliRunner().invoke(app, list(arguments))
    if isinstance(done.exception, PapertapeError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout
