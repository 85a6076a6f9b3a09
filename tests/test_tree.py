"""The tree: which unit imports which, how large folders are, what each name means, and maps that are true."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.sources import ROOMS, ROOT, modules, nodes_of, tree_of

# The order inside each room: a unit imports those before it, never those after it.
ORDER = {
    "engine": (
        "errors options user_code jit candles records events snapshot check features broker performance report "
        "model strategies spec state decisions core lanes chapters loop"
    ),
    "replay": (
        "runtime feed tapes importers events config sources report learning exchange backtesting "
        "research honesty front"
    ),
    "daemon": "journal chapters feeds learning doctor metrics runtime app backtests monitoring notifications client venues commands cli",
}
# Folders of equals: one file per member of a family, which nobody has to tell apart.
FAMILIES = {
    "engine/features": "one file per family of signals",
    "engine/performance": "one file per kind of measure",
    "engine/strategies": "one file per strategy, beside what they are made with",
    "engine/features/smc": "one file per concept",
    "replay/importers": "one file per dialect",
    "replay/exchange": "one file per part of the protocol",
    "replay/sources": "one file per endpoint of two venues",
    "daemon/commands": "one file per group of commands",
}
MOST_MODULES = 12
# The same thing on both sides of the wire, which share no code.
TWINS = {
    "Session": "a connection, as the exchange and as its client have it",
    "Subscriptions": "what is asked for, as the exchange and as its client keep it",
}
MOST_PARAMETERS, MOST_OF_A_KERNEL = 8, 14
# The public calls take their options one by one, as commands do.
OPTIONS = ("daemon/commands/", "replay/front/", "daemon/learning/train.py")
WIDE = {
    "execute": "a kernel takes its arrays one by one; a record of arrays is no kernel argument",
    "run_ahead": "the same, and what it writes down",
    "run_closes": "the same, and whom it asks",
    "run_lane": "the same, by column",
    "place": "an order's options, one by one, as a strategy names them",
    "exit_position": "the same",
    "decision": "the fields of a Decision, as its own constructor takes them",
    "call_order": "the same",
    "advance": "the same",
    "replay": "the parts of one run, by name",
    "dataset_of": "the same",
    "synthesize": "what its command asks, one option each",
    "perceive": "a kernel's wrapper",
    "perceive_structure": "a kernel's wrapper",
}

# What a task is made of is handed over once, by name, where everything is put together.
CONSTRUCTORS = (
    "daemon/feeds/ccxt/feed.py",
    "daemon/feeds/ccxt/streams.py",
    "daemon/feeds/delta/connection.py",
    "daemon/feeds/delta/feed.py",
    "daemon/learning/retraining.py",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("papertape", *parts)).removesuffix(".__init__")


NAMES = {module_name(path) for room in ROOMS for path in modules(room)}


@cache
def our_imports(path: Path) -> set[str]:
    """Return every module of ours that a file imports, for types alone as well."""
    names = set()
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("papertape"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in NAMES else str(node.module))
    return names & NAMES


def unit(name: str) -> str:
    """Return the folder or file of a room that a module belongs to."""
    return ".".join(name.split(".")[1:3])


@pytest.mark.parametrize("room", ROOMS)
def test_units_of_a_room_import_in_one_direction(room: str) -> None:
    order = {f"{room}.{name}": place for place, name in enumerate(ORDER[room].split())}
    for path in modules(room):
        name = module_name(path)
        if name == f"papertape.{room}":
            continue
        for other in our_imports(path):
            if other.startswith(f"papertape.{room}.") and unit(other) != unit(name):
                assert order[unit(other)] < order[unit(name)], f"{name} imports {other}"


def test_no_file_imports_itself_in_a_circle() -> None:
    graph = {module_name(path): our_imports(path) for room in ROOMS for path in modules(room)}
    left = dict(graph)
    while free := [name for name, needs in left.items() if not needs & set(left)]:
        for name in free:
            del left[name]

    assert sorted(left) == []


def test_folders_are_small_or_families() -> None:
    for room in ROOMS:
        for folder in {path.parent for path in modules(room)}:
            place = str(folder.relative_to(ROOT))
            n = len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
            assert n <= MOST_MODULES or place in FAMILIES, f"{place}: {n} modules"


def test_every_package_is_its_own_map() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("__init__.py"):
            text = ast.get_docstring(tree_of(path)) or ""
            lines = [line for line in text.splitlines() if line.startswith("    ")]
            words = set(re.findall(r"[a-z_0-9]+", "\n".join(lines)))
            there = {p.stem for p in path.parent.glob("*.py")} - {"__init__"}
            there |= {p.parent.name for p in path.parent.glob("*/__init__.py")}
            assert not there - words, f"{path.parent}: its docstring does not name {there - words}"


def test_a_class_name_means_one_thing() -> None:
    homes: dict[str, list[str]] = {}
    for room in ROOMS:
        for path in modules(room):
            for node in tree_of(path).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    twice = {name: paths for name, paths in homes.items() if len(paths) > 1}

    assert set(twice) == set(TWINS), twice


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in nodes_of(path) if isinstance(node, kinds)]


def test_functions_take_few_parameters() -> None:
    for room in ROOMS:
        for path in modules(room):
            place = str(path.relative_to(ROOT))
            if place.startswith(OPTIONS):
                continue
            for node in functions(path):
                names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                n = len([name for name in names if name not in ("self", "cls")])
                is_kernel = any("kernel" in ast.unparse(d) for d in node.decorator_list)
                most = MOST_OF_A_KERNEL if is_kernel else MOST_PARAMETERS
                is_record = node.name == "__init__" and place in CONSTRUCTORS
                assert n <= most or node.name in WIDE or is_record, f"{place}: {node.name} takes {n}"


LONGEST_TUPLE = 3  # that may be one value of a mapping
BY_PLACE = {"engine/strategies/confluence.py self._parameters"}  # its record is in the same file


def test_records_are_filled_by_name() -> None:
    """Two fields of one type that changed places would be a quiet wrong trade."""
    found = {
        f"{path.relative_to(ROOT)} {ast.unparse(target.value)}"
        for room in ROOMS
        for path in modules(room)
        for node in nodes_of(path)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        for target in node.targets
        if isinstance(target, ast.Subscript) and len(node.value.elts) > LONGEST_TUPLE
    }

    assert found <= BY_PLACE
