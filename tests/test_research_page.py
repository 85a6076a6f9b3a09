"""The page on research: its commands print what is shown, and its Python runs."""

import ast
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Inside
from tests.test_readme import BLOCK, commands, is_shown

PAGE = Path(__file__).resolve().parents[1] / "deploy" / "docs" / "research.md"
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def test_python_makes_a_table_of_both_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (body,) = [body for kind, body in BLOCKS if kind == "python"]
    *before, last = ast.parse(body).body
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(before, []), str(PAGE), "exec"), names)  # noqa: S102 - the page's own lines

    table = eval(compile(ast.Expression(last.value), str(PAGE), "eval"), names)  # noqa: S307

    assert (list(table.index), list(table.columns)) == ([10, 20], [30, 60, 90])
    assert table.notna().all(axis=None)


@pytest.mark.slow
def test_research_commands_print_what_is_shown(tmp_path: Path, inside: Inside) -> None:
    lines = [line for kind, body in BLOCKS if kind == "console" for line in commands(body)]
    assert len(lines) == 22

    for command, code, shown in lines:
        program, *words = shlex.split(command)
        done = inside(*words, cwd=tmp_path)

        assert program == "papertape"
        assert done.returncode == code, done.stderr
        assert is_shown([line for line in shown if line], done.stdout), done.stdout
