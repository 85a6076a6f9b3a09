"""The page on research: its commands print what is shown, and its Python runs."""

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Inside
from tests.support.shown import BLOCK, check_page

PAGE = Path(__file__).resolve().parents[1] / "deploy" / "docs" / "research.md"


def test_python_makes_a_table_of_both_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (body,) = [body for kind, body in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if kind == "python"]
    *before, last = ast.parse(body).body
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(before, []), str(PAGE), "exec"), names)  # noqa: S102 - the page's own lines

    table = eval(compile(ast.Expression(last.value), str(PAGE), "eval"), names)  # noqa: S307

    assert (list(table.index), list(table.columns)) == ([10, 20], [30, 60, 90])
    assert table.notna().all(axis=None)


@pytest.mark.slow
def test_research_commands_print_what_is_shown(tmp_path: Path, inside: Inside) -> None:
    assert check_page(PAGE, inside, tmp_path) == 22
