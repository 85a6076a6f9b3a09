"""The page on learning: its commands, in its order, print what is shown."""

import shlex
from pathlib import Path

import pytest

from tests.support.commands import Inside
from tests.test_readme import BLOCK, commands, is_shown, mask

PAGE = Path(__file__).resolve().parents[1] / "deploy" / "docs" / "learning.md"


@pytest.mark.slow
def test_learning_commands_print_what_is_shown(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAPERTAPE_MODELS", raising=False)
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    lines = [line for kind, body in blocks if kind == "console" for line in commands(body)]
    assert len(lines) == 6

    for command, code, shown in lines:
        program, *words = shlex.split(command)
        done = inside(*words, cwd=tmp_path)

        assert program == "papertape"
        assert done.returncode == code, done.stderr
        masked = mask([line for line in shown if line])
        assert is_shown(masked, "\n".join(mask(done.stdout.splitlines()))), f"{command}\n{done.stdout}"
