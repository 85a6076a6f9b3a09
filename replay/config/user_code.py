"""
Code of users that is looked at, not run: where `module:name` lies, and whether it can be a strategy, a feature or a fee.

Importing a module runs it, and so does looking for a submodule, whose package is imported; so files are found by the rules
of `sys.path` and read as text. What only running could tell (a base class of another module, a class that is made by a
call) is left to the run.
"""

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, Final, NamedTuple

from papertape.engine.broker.risk.own_fees import ARGUMENTS
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.strategies import make_strategy
from papertape.engine.user_code.importing import if_pythons_own
from papertape.replay.config import Config
from papertape.replay.config.declarations import check_value, declared_in
from papertape.replay.config.fields import about_symbol
from papertape.replay.tapes.own_features import name_an_instance

_FOLLOWED: Final = 5  # modules from which a name is imported, one from the other
_DECIDES: Final = ("decide", "decide_batch")
_FEATURES: Final = "signals.own_features"
_FEES: Final = "account.fee_function"


class _Found(NamedTuple):
    """What a name is bound to at the end of a module, and the module's file."""

    node: ast.AST
    names: Mapping[str, ast.AST]
    file: Path


def file_of(module: str) -> Path | None:
    """Return the source file of a module without running anything of it, None when there is none."""
    places: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        spec = PathFinder.find_spec(name, places)
        if spec is None and count == 1 and parts[0].isidentifier():
            spec = importlib.util.find_spec(name)  # of a package that was installed to be edited
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def check_code(config: Config) -> None:
    """Raise ConfigError for a user's code that cannot be what it is named as, as far as that can be told without running it."""
    chosen = config.strategy
    for entry in (None, *chosen.schedule):
        check_strategy(chosen.name, chosen.parameters_in(entry))
        for symbol in chosen.symbols_in(entry):
            with about_symbol(symbol):
                check_strategy(chosen.name, chosen.parameters_in(entry, symbol))
    for path in config.signals.own_features:
        check_feature(path)
    if config.account.fee_function is not None:
        check_fee_function(config.account.fee_function)


def check_feature(path: str) -> None:
    """Raise ConfigError for a feature of somebody's own that cannot be one."""
    found = _look_up(_FEATURES, path, _FOLLOWED)
    if found is None:
        return
    where = f"{_FEATURES}: {path}"
    if isinstance(found.node, ast.ClassDef):
        raise ConfigError(f"{where} is a class; {name_an_instance(path)}")
    if isinstance(found.node, ast.FunctionDef) and not found.node.decorator_list:
        raise ConfigError(
            f"{where} has to say how far it looks back; write @table_feature(look_back=50) or @kernel_feature(look_back=50) "
            "above it"
        )


def check_fee_function(path: str) -> None:
    """Raise ConfigError for a function for fees that cannot be one."""
    found = _look_up(_FEES, path, _FOLLOWED)
    if found is None:
        return
    if not isinstance(found.node, ast.FunctionDef):
        raise ConfigError(f"{_FEES}: {path} is not a function ({found.file.name})")
    taken = found.node.args
    most = len(taken.posonlyargs) + len(taken.args)
    is_enough = most >= len(ARGUMENTS) or taken.vararg is not None
    if not is_enough or most - len(taken.defaults) > len(ARGUMENTS):
        raise ConfigError(
            f"{_FEES}: {path} does not take {', '.join(ARGUMENTS)} ({found.file.name}, line {found.node.lineno})"
        )


def check_strategy(name: str, parameters: Mapping[str, Any]) -> None:
    """
    Raise ConfigError for a strategy that cannot be one, as far as that can be told without running a user's code.

    name  a built-in name or module:Class
    """
    if ":" not in name:
        make_strategy(name, parameters)
        return
    found = _look_up("strategy.name", name, _FOLLOWED)
    if found is None:
        return
    if not isinstance(found.node, ast.ClassDef):
        raise ConfigError(
            f"strategy.name: {name} is not a class ({found.file.name}); a strategy is a class with `features` and "
            "`decide(view)`"
        )
    classes, is_whole = _lineage(found.node, found.names)
    defined = {member for one in classes for member in _members(one)}
    if is_whole and not defined & set(_DECIDES):
        raise ConfigError(
            f"strategy.name: {name} has no `decide(view)` ({found.file.name}, line {found.node.lineno})"
        )
    if is_whole and "features" not in defined:
        raise ConfigError(
            f"strategy.name: {name} names no `features` ({found.file.name}, line {found.node.lineno})"
        )
    known = _parameters(classes) if is_whole else None
    declared = declared_in(classes)
    for key in parameters:
        if key in declared:
            check_value(key, declared[key], parameters[key])
            continue
        if known is not None and key not in known:
            raise ConfigError(f"strategy.parameters.{key}: unknown{did_you_mean(key, {*known, *declared})}")


def refuse_code(config: Config, where: object, trust_code: bool) -> None:
    """Raise ConfigError for code of somebody's own that a file names, unless that is trusted."""
    named = [("strategy", config.strategy.name)] if ":" in config.strategy.name else []
    named += [("feature", path) for path in config.signals.own_features]
    if config.account.fee_function is not None:
        named.append(("function for fees", config.account.fee_function))
    if trust_code or not named:
        return
    kind, name = named[0]
    file = file_of(name.partition(":")[0])
    place = f"in {file}" if file else "not found here"
    raise ConfigError(
        f"{where}: it names code, {kind} {name} ({place}), and running it again would run that code; look at it, then "
        "say --trust-code"
    )


def _look_up(key: str, path: str, depth: int) -> _Found | None:
    """Return what a name of a module is, None where only running could tell; key: of the configuration, for messages."""
    return _look_into(f"{key}: {path}", path.partition(":")[0], path.partition(":")[2], depth)


def _look_into(where: str, module: str, name: str, depth: int) -> _Found | None:
    file = file_of(module)
    if file is None:
        hint = if_pythons_own(module, None)
        raise ConfigError(f"{where}: there is no Python file of module {module!r}{hint}")
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{where}: {file.name} cannot be read: {error}") from error
    names = dict(_bindings(tree.body))
    node = names.get(name)
    if node is None:
        kinds = ast.ClassDef if where.startswith("strategy") else ast.AST
        near = [key for key, value in names.items() if isinstance(value, kinds)]
        nearest = did_you_mean(name, near) if near else "; it has no class"
        hint = if_pythons_own(module, file) or nearest
        raise ConfigError(f"{where}: {file.name} has no {name!r}{hint}")
    if not isinstance(node, ast.ImportFrom):
        return (
            None
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
            else _Found(node, names, file)
        )
    if not depth:
        return None
    source = _absolute(node, module, file)
    original = next(a.name for a in node.names if (a.asname or a.name) == name)
    return _look_into(where, source, original, depth - 1)


def _absolute(node: ast.ImportFrom, module: str, file: Path) -> str:
    """Return the module that `from … import` names, without dots at its front."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    dropped = node.level - (file.name == "__init__.py")
    return ".".join([*parts[: len(parts) - dropped], *([node.module] if node.module else [])])


def _bindings(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """Yield every name that statements of a module or class bind, in order, with what it is bound to."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _bindings(node.body)
            yield from _bindings(getattr(node, "orelse", []))
            for handler in getattr(node, "handlers", []):
                yield from _bindings(handler.body)


def _lineage(node: ast.ClassDef, names: Mapping[str, ast.AST]) -> tuple[list[ast.ClassDef], bool]:
    """Return a class and its bases of the same module, and whether there are no others."""
    found, is_whole = [node], not node.keywords
    for base in node.bases:
        known = names.get(base.id) if isinstance(base, ast.Name) else None
        if isinstance(known, ast.ClassDef) and known is not node:
            more, whole = _lineage(known, names)
            found += more
            is_whole = is_whole and whole
        elif not (isinstance(base, ast.Name) and base.id == "object"):
            is_whole = False
    return found, is_whole


def _members(node: ast.ClassDef) -> set[str]:
    """Return what a class defines, and what its methods set on `self`."""
    members = {name for name, _ in _bindings(node.body)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            members.add(inner.attr)
    return members


def _parameters(classes: list[ast.ClassDef]) -> set[str] | None:
    """Return the parameters that a class takes, None when they cannot be told."""
    if any(one.decorator_list for one in classes):
        fields = {
            name for one in classes for name, node in _bindings(one.body) if isinstance(node, ast.AnnAssign)
        }
        return fields or None
    for one in classes:
        for name, node in _bindings(one.body):
            if name == "__init__" and isinstance(node, ast.FunctionDef):
                if node.args.kwarg is not None or node.decorator_list:
                    return None
                taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                return {argument.arg for argument in taken[1:]}
    return set()
