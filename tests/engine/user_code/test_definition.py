"""What defines a feature of somebody's own: its code and all of theirs that it names, and nothing that does not matter."""

import os
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from datetime import time
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numba
import pytest

from papertape.engine.features.own.definition import definition_of
from papertape.engine.features.own.names import as_feature
from papertape.engine.user_code.definition import digest_of

BASE = """
from papertape import kernel_feature, table_feature
from papertape.engine.jit import kernel

FACTOR = 2.0
WORDS = {"a", "b", "c"}

def helper(x):
    return FACTOR * x if "a" in WORDS else x

@kernel
def part(x):
    return x + 1.0

class Parent:
    def scale(self, x):
        return helper(x)

class Mine(Parent):
    name = "mine"
    state_fields = ("total",)
    def __init__(self, bars=3):
        self.bars = bars
    def update(self, candle):
        self.total += self.scale(candle.close) if candle.volume in {"x", "y", "z", 1.0} else 0.0
        return self.total

@kernel_feature(look_back=2, state=[("x", "f8")], parameters=(3,), name="k")
def k(history, first, last, count, p, state, out):
    for i in range(first, last):
        out[i - first] = part(history[4, i])

@table_feature(look_back=5, name="t")
def t(candles):
    return candles["close"].rolling(5).apply(lambda values: helper(values.sum()))
"""


def definitions(text: str, folder: Path, seed: str = "0") -> dict[str, str]:
    """Return the digests of the three features of a program, by a process of its own."""
    (folder / "mine.py").write_text(text)
    program = (
        "import mine\nfrom tests.engine.user_code.test_definition import as_feature, definition_of\n"
        "for one in (mine.Mine(), mine.k, mine.t):\n"
        "    print(as_feature(one).name, definition_of(as_feature(one)))"
    )
    root = str(Path(__file__).resolve().parents[4])
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{root}", "PYTHONHASHSEED": seed}
    # An edit of the same length in the same second is none to Python, where it may keep what it compiled.
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.slow
def test_what_matters_makes_another_definition_and_nothing_else_does(tmp_path: Path) -> None:
    before = definitions(BASE, tmp_path)
    assert len(set(before.values())) == 3
    assert definitions(f"# a comment\n\n{BASE}", tmp_path, "12345") == before

    for old, new, changed in (
        ("return x + 1.0", "return x + 2.0", "k"),
        ("FACTOR = 2.0", "FACTOR = 3.0", "mine t"),
        ("parameters=(3,)", "parameters=(4,)", "k"),
        ("look_back=5", "look_back=6", "t"),
        ("bars=3", "bars=4", "mine"),
        ('[("x", "f8")]', '[("y", "f8")]', "k"),
        ("def scale(self, x):", "def scale(self, x, y=1):", "mine"),
        ("history[4, i]", "history[3, i]", "k"),
        ("values.sum()", "values.mean()", "t"),
    ):
        assert old in BASE
        now = definitions(BASE.replace(old, new), tmp_path)
        assert {name for name in now if now[name] != before[name]} == set(changed.split()), new


CALLER = """
from helper_of_mine import part
from papertape import kernel_feature

@kernel_feature(look_back=1)
def mine(history, first, last, count, p, state, out):
    for i in range(first, last):
        out[i - first] = part(history[4, i])
"""
HELPER = """
from papertape import kernel

@kernel
def part(x):
    return x + {}
"""


@pytest.mark.slow
def test_machine_code_on_disk_is_not_of_a_helper_that_was_edited(tmp_path: Path) -> None:
    program = (
        "from caller_of_mine import mine\nfrom papertape.engine.features import evaluate\n"
        "from tests.support.helpers import make_candles\n"
        "print(evaluate('mine', make_candles([(1.0, 1.0, 1.0, 1.0)]), own={'mine': mine})[0, 0])"
    )
    root = str(Path(__file__).resolve().parents[4])
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}:{root}",
        "PAPERTAPE_CACHE_DIR": str(tmp_path / "cache"),
    }
    (tmp_path / "caller_of_mine.py").write_text(CALLER)

    def said(number: str) -> str:
        (tmp_path / "helper_of_mine.py").write_text(HELPER.format(number))
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
        ).stdout.strip()

    assert [said("1.0"), said("2.00"), said("1.0")] == ["2.0", "3.0", "2.0"]


class Holder:
    """Holds what it is given."""

    name = "holder"

    def __init__(self, held: Any) -> None:
        self.held = held

    def update(self, candle: Any) -> float:
        return float(len(self.held))


def twofold(value: float) -> float:
    return 2.0 * value


def threefold(value: float) -> float:
    return 3.0 * value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1], [2]),
        ({"a": 1}, {"a": 2}),
        ({"a"}, {"b"}),
        ((1, "1"), ("1", 1)),
        (Holder([1]), Holder([2])),
        (time(9, 30), time(10, 0)),
        (Decimal("0.1"), Decimal("0.2")),
        (partial(pow, 2), partial(pow, 3)),
        (cache(twofold), cache(threefold)),
        (numba.vectorize(twofold), numba.vectorize(threefold)),
    ],
)
def test_what_an_instance_holds_belongs_to_it(one: Any, other: Any) -> None:
    first, again, second = (definition_of(as_feature(Holder(x))) for x in (one, one, other))

    assert first == again != second


def test_what_holds_itself_ends() -> None:
    held: list[Any] = []
    held.append(held)

    assert definition_of(as_feature(Holder(held)))


def asks(value: float) -> float:
    return outer.inner.helper(value)  # type: ignore[name-defined, no-any-return] # noqa: F821 # of each copy


def asking(helper: Callable[[float], float], is_closure: bool) -> Callable[[float], float]:
    """Return a function that finds another in a module, in one of a module by its global name or in its closure."""
    inner, outer = ModuleType("inner_of_users"), ModuleType("outer_of_users")
    vars(inner).update(helper=helper, outer=outer)
    vars(outer).update(inner=inner)
    if is_closure:
        return lambda value: inner.helper(value)  # type: ignore[no-any-return]
    return FunctionType(asks.__code__, {"__name__": __name__, "outer": outer})


@pytest.mark.parametrize("is_closure", [False, True])
def test_what_code_finds_in_modules_belongs_to_it(is_closure: bool) -> None:
    first, again, second = (digest_of(asking(helper, is_closure)) for helper in (twofold, twofold, threefold))

    assert first == again != second


def test_a_class_of_which_something_was_copied_is_the_same() -> None:
    """`copy` notes the names of its slots on it, as `__slotnames__`."""

    class Copied:
        def decide(self, view: object) -> None:
            self.last = view

    before = digest_of(Copied)
    copy(Copied())

    assert "__slotnames__" in vars(Copied)
    assert digest_of(Copied) == before
