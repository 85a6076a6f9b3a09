"""The project's own sources as syntax trees, each read once for all tests that look at them."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("engine", "replay", "daemon")


def modules(room: str) -> list[Path]:
    """Return every module of a room."""
    return sorted((ROOT / room).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """Return a module's tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Return every node of a module's tree, parents before their children."""
    return tuple(ast.walk(tree_of(path)))
