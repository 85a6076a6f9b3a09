"""Parameters that a user's class declares, read from its text: `fast: int = parameter(12, low=2)`, not run."""

import ast
from collections.abc import Sequence
from typing import Any

from papertape.engine.strategies.parameters import StrategyParameter, parameter


def declared_in(classes: Sequence[ast.ClassDef]) -> dict[str, ast.AnnAssign]:
    """Return the declarations of a class and its bases, given the class first."""
    return {
        node.target.id: node
        for one in reversed(classes)
        for node in one.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).rpartition(".")[2] == "parameter"
    }


def check_value(name: str, node: ast.AnnAssign, value: Any) -> None:
    """Raise ConfigError for a value that a declaration does not allow, where its numbers are written out."""
    call = node.value
    assert isinstance(call, ast.Call)
    try:
        values = [ast.literal_eval(argument) for argument in call.args]
        options = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        one: Any = parameter(*values, **options)
    except (ValueError, TypeError):  # a name of the module, say: only running tells
        return
    assert isinstance(one, StrategyParameter)
    one.name = name
    one.annotate(ast.unparse(node.annotation))
    one.checked(value)
