"""Which room may import which, what the engine must not touch, and that the packages are what they say."""

import ast
from functools import cache
from pathlib import Path

import pytest

from papertape import daemon, engine, replay
from tests.support.sources import ROOMS, ROOT, modules, nodes_of, tree_of

ALLOWED = {"engine": {"engine"}, "replay": {"engine", "replay"}, "daemon": set(ROOMS)}

# The engine computes. Files, sockets, clocks, logs and unseeded randomness are for other rooms.
FORBIDDEN_IN_ENGINE = {
    "aiohttp", "asyncio", "ccxt", "datetime", "logging", "pandas", "prometheus_client", "pyarrow",
    "random", "secrets", "socket", "sqlite3", "structlog", "subprocess", "tempfile", "threading",
    "time", "uuid",
}  # fmt: skip
# The kernel cache is the one thing of the engine that has a place on disk.
FILES_ALLOWED = {"engine/jit/cache.py", "engine/jit/__init__.py"}


@cache
def imported(path: Path) -> set[str]:
    """Return the top-level names that a file imports, at any depth."""
    names = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            names |= {_top(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names |= {alias.name for alias in node.names} if module == "papertape" else {_top(module)}
    return names


def _top(module: str) -> str:
    """Return the room or the package that a module belongs to."""
    return module.removeprefix("papertape.").split(".")[0]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_in_one_direction(room: str) -> None:
    files = modules(room)
    assert files

    for path in files:
        assert imported(path) & set(ROOMS) <= ALLOWED[room], path


def test_engine_is_pure() -> None:
    for path in modules("engine"):
        assert not imported(path) & FORBIDDEN_IN_ENGINE, path
        calls = {
            node.func.id
            for node in nodes_of(path)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"open", "print", "input", "eval", "exec"}, path
        if str(path.relative_to(ROOT)) not in FILES_ALLOWED:
            assert "pathlib" not in imported(path), path


def on_import(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that run when a module is imported: not in functions, not for type checkers alone."""
    found: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        found.append(node)
        for name in ("body", "orelse", "finalbody"):
            if not (is_for_types and name == "body"):
                found += on_import(getattr(node, name, []))
        for handler in getattr(node, "handlers", []):
            found += on_import(handler.body)
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_module_never_imports_torch(room: str) -> None:
    """It costs a second and 200 MB, which only a process that trains should pay."""
    for path in modules(room):
        for node in on_import(tree_of(path).body):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert "torch" not in {name.split(".")[0] for name in names}, path
        if room == "engine" and "model" not in path.parts:
            assert "torch" not in imported(path), path


def test_only_the_loop_and_feeds_are_asynchronous() -> None:
    asynchronous = {
        str(path.relative_to(ROOT))
        for path in modules("engine")
        if any(isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor) for node in nodes_of(path))
    }

    assert asynchronous == {"engine/loop.py"}


def test_nothing_is_unpickled() -> None:
    for room in ROOMS:
        for path in modules(room):
            assert not imported(path) & {"pickle", "joblib", "dill", "marshal", "shelve"}, path


def test_no_file_grows_beyond_reading() -> None:
    for room in ROOMS:
        for path in modules(room):
            lines = path.read_text(encoding="utf-8").count("\n")
            assert lines <= 400, f"{path}: {lines} lines"


# Two are loops over instants, which hand dozens of arrays on to their parts; of the other most lines are its manual.
LONG_FUNCTIONS = {"engine/decisions/closes.py run_closes", "replay/front/backtest.py backtest"}


def test_no_function_grows_beyond_reading() -> None:
    for room in ROOMS:
        for path in modules(room):
            for node in nodes_of(path):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    where = f"{path.relative_to(ROOT)} {node.name}"
                    assert node.end_lineno is not None
                    is_short = node.end_lineno - node.lineno < 70
                    assert is_short or where in LONG_FUNCTIONS, where


def test_rooms_are_typed_and_list_their_public_names() -> None:
    for room in (engine, replay, daemon):
        assert room.__doc__
        assert (Path(str(room.__file__)).parent / "py.typed").is_file()
    for room in (engine, replay):
        for name in room.__all__:
            assert getattr(room, name).__doc__, name


def test_top_level_is_the_one_agreed() -> None:
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")}
    # what builds and runs leave behind
    folders -= {"build", "dist", "results", "tapes", "models", "state", "papertape.egg-info"}

    assert folders <= {"engine", "replay", "daemon", "tests", "deploy"}
