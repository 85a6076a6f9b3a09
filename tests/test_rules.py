"""Nothing of the product is there for tests alone, and every module has its tests."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.sources import ROOMS, ROOT, modules, nodes_of, tree_of

PUBLIC = ROOT / "deploy" / "package" / "papertape" / "__init__.py"  # what users import

# Names that no module of the product uses, and who does.
FOR_USERS = {
    "replay/backtesting/result.py fill_table": "a result in a notebook",
    "replay/backtesting/result.py decision_table": "a result in a notebook",
    "replay/backtesting/result.py order_table": "a result in a notebook",
    "replay/backtesting/result.py limit_table": "a result in a notebook",
    "replay/tapes/tape.py iter_candles": "a tape larger than memory",
    "replay/exchange/faults.py single": "a scenario of one's own on the local exchange",
    "daemon/metrics/catalogue.py markdown": "deploy/docs/metrics.md is made by it",
    "replay/tapes/quality.py bad_rows": "a quality report in a notebook, like the counts that it adds up",
    "engine/jit/dispatch.py ensure_cache_path": "numba calls it by this name",
    "engine/features/smc/gaps.py HALF": "a stage that a gap reaches by counting",
}
# What calls by name: commands, validators, a library's hooks, and how a notebook shows a value.
CALLED_BY_NAME = ("command", "validator", "serializer", "overload")
HOOKS = {"add_llvm_module", "load_overload", "add_overload", "typeof", "get_code", "on_broken_pipe"}


def every_module() -> list[Path]:
    return [path for room in ROOMS for path in modules(room)]


def is_only_mentioned(node: ast.AST) -> bool:
    """Return whether what stands in it is no use: a docstring, or a list of public names."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)


def definitions(path: Path) -> Iterator[str]:
    """Yield the public names that a module defines: functions, classes, methods and constants."""
    for node in tree_of(path).body:
        yield from named(node)
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from named(member)


def named(node: ast.stmt) -> Iterator[str]:
    names: list[str] = []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        by = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
        names = [] if any(word in by for word in CALLED_BY_NAME) else [node.name]
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        names = [node.target.id]
    yield from (name for name in names if not name.startswith("_") and name not in HOOKS)


def used(path: Path) -> Iterator[str]:
    """Yield the names that a module reads, asks of something, passes or writes in a string; imports are no use."""
    mentioned = set[int]()
    for node in nodes_of(path):
        if is_only_mentioned(node):
            mentioned |= {id(part) for part in ast.walk(node)}
        elif id(node) in mentioned:
            continue
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from node.value.replace(":", " ").replace("(", " ").replace(".", " ").split()


def test_no_name_is_there_for_tests_alone() -> None:
    in_use = {name for path in (*every_module(), PUBLIC) for name in used(path)}
    unused = {
        f"{path.relative_to(ROOT)} {name}"
        for path in every_module()
        for name in definitions(path)
        if name not in in_use
    }

    assert sorted(unused - set(FOR_USERS)) == []
    assert sorted(set(FOR_USERS) - unused) == [], "no longer unused: strike it from the list"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("papertape", *parts)).removesuffix(".__init__")


# Started as processes of their own, or by a name in a table.
STARTED = (
    "papertape.daemon.commands.",
    "papertape.daemon.cli",
    "papertape.daemon.backtests.worker",
    "papertape.daemon.learning.worker",
    "papertape.replay.honesty.worker",
    "papertape.replay.learning.jobs.worker",
)


def test_no_module_is_there_for_tests_alone() -> None:
    imported = set()
    for path in (*every_module(), PUBLIC):
        for node in nodes_of(path):
            if isinstance(node, ast.ImportFrom):
                imported |= {str(node.module), *(f"{node.module}.{a.name}" for a in node.names)}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                imported |= {f"{module_of(path)}.{node.value}"}  # a package that loads on demand
    lonely = {
        module_of(path)
        for path in every_module()
        if path.name != "__init__.py" and module_of(path) not in imported
    }

    assert sorted(name for name in lonely if not name.startswith(STARTED)) == []


# Modules that no test names, because they are parts of something: by place, and the tests that hold them.
COVERED_BY = {
    "engine/broker/": "tests/engine/broker",
    "engine/options.py": "tests/engine/broker/risk/test_limits.py",
    "engine/check.py": "tests/engine/test_core.py",
    "engine/decisions/": "tests/engine/decisions",
    "engine/features/": "tests/engine/features/test_contract.py",
    "engine/features/smc/": "tests/engine/features/smc",
    "engine/jit/native.py": "tests/engine/decisions/test_compiled.py",
    "engine/loop.py": "tests/test_parity.py",
    "engine/model/gate/": "tests/engine/model/gate/test_gate.py",
    "engine/model/inference/": "tests/engine/model/inference/test_current.py",
    "engine/model/kinds/": "tests/engine/model/kinds/test_kinds.py",
    "engine/performance/": "tests/engine/performance/test_measure.py",
    "engine/state.py": "tests/engine/test_core.py",
    "engine/strategies/": "tests/engine/decisions",
    "engine/user_code/compiling.py": "tests/engine/decisions/test_compiled.py",
    "engine/user_code/raised.py": "tests/engine/decisions",
    "replay/backtesting/": "tests/replay/backtesting/test_edges.py",
    "replay/config/": "tests/replay/config",
    "replay/exchange/": "tests/replay/exchange",
    "replay/front/": "tests/test_front_door.py",
    "replay/research/learn_study/": "tests/replay/research/learn_study",
    "replay/research/optimize/": "tests/replay/research/optimize",
    "replay/research/surface/": "tests/replay/research/surface",
    "replay/research/sweep/": "tests/replay/research/sweep",
    "replay/research/walkforward/": "tests/replay/research/walkforward",
    "replay/honesty/": "tests/replay/honesty/test_honesty.py",
    "replay/importers/": "tests/replay/importers/test_importers.py",
    "replay/learning/": "tests/replay/learning/test_walk_forward.py",
    "replay/learning/jobs/": "tests/replay/runtime/test_worker.py",
    "replay/runtime/allocation.py": "tests/replay/backtesting/test_result_memory.py",
    "replay/sources/ccxt": "tests/replay/sources/test_ccxt_history.py",
    "replay/sources/": "tests/replay/sources/test_delta_rest.py",
    "daemon/backtests/worker.py": "tests/daemon/backtests/test_service.py",
    "daemon/commands/": "tests/daemon/commands",
    "daemon/doctor/": "tests/daemon/doctor/test_examine.py",
    "daemon/feeds/": "tests/daemon/feeds/delta/test_feed.py",
    "daemon/feeds/ccxt/": "tests/daemon/feeds/ccxt/test_feed.py",
    "daemon/journal/crash_points.py": "tests/daemon/test_crashes.py",
    "daemon/learning/": "tests/daemon/learning/test_retraining.py",
    "daemon/metrics/": "tests/daemon/metrics/test_catalogue.py",
    "daemon/monitoring/": "tests/daemon/monitoring/test_server.py",
    "daemon/runtime/": "tests/daemon/runtime/test_daemon.py",
}


def named_by_tests() -> set[str]:
    """Return the modules from which a test imports something, packages followed to where the name comes from."""
    homes = {}
    for path in every_module():
        for node in nodes_of(path) if path.name == "__init__.py" else ():
            if isinstance(node, ast.ImportFrom):
                origin = str(node.module)
                homes |= {(module_of(path), a.asname or a.name): (origin, a.name) for a in node.names}
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in nodes_of(path):
            for alias in node.names if isinstance(node, ast.ImportFrom) else ():
                home = (str(node.module), alias.name)  # type: ignore[union-attr]
                for _ in range(4):  # packages within packages
                    found |= {home[0], ".".join(home)}
                    home = homes.get(home, home)
    return found


def test_every_module_has_its_tests() -> None:
    """A test of its name, one that imports it, or a line in `COVERED_BY`; none of those lines is idle."""
    by_name, idle = named_by_tests(), set(COVERED_BY)
    for path in every_module():
        place = str(path.relative_to(ROOT))
        own = ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.name}")
        if path.name == "__init__.py" or own.is_file() or module_of(path) in by_name:
            continue
        lines = [line for line in COVERED_BY if place.startswith(line)]
        assert lines, f"{place}: no test names it, and no line of COVERED_BY says which one holds it"
        idle.discard(max(lines, key=len))

    assert sorted(idle) == []
    assert all((ROOT / test).exists() for test in COVERED_BY.values())
