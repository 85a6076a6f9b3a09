"""What code of users keeps by itself is noticed, wherever it is kept, and put back for all who watch it."""

from collections import deque
from typing import Any

import numpy as np
import pytest

from papertape.engine.user_code.undeclared_state import Fixed, StateWatch

LIST: list[Any] = [1, [2]]
TABLE: dict[str, int] = {"a": 1}
WORDS = {"a"}
RING = deque([1, 2], maxlen=3)
NUMBERS = np.zeros(3)
PAIR: tuple[list[int], int] = ([1], 2)
COUNT = 1


def reader() -> Any:
    return LIST, TABLE, WORDS, RING, NUMBERS, PAIR, COUNT


def closing() -> Any:
    held = [1]

    def inner(given: list[int] = [2], *, named: list[int] = [3]) -> Any:  # noqa: B006 - what is tried
        return held, given, named

    return inner


INNER = closing()


def _set_count() -> None:
    globals()["COUNT"] = 2


def _note() -> None:
    INNER.note = 1


@pytest.mark.parametrize(
    ("function", "act", "name"),
    [
        (reader, lambda: LIST[1].append(3), "LIST"),
        (reader, lambda: TABLE.update(a=2), "TABLE"),
        (reader, lambda: WORDS.add("b"), "WORDS"),
        (reader, lambda: RING.append(3), "RING"),
        (reader, lambda: NUMBERS.__setitem__(0, 1.0), "NUMBERS"),
        (reader, lambda: PAIR[0].append(2), "PAIR"),
        (reader, _set_count, "COUNT"),
        (INNER, lambda: INNER()[0].append(2), "inner.held"),
        (INNER, lambda: INNER()[1].append(2), "inner.__defaults__"),
        (INNER, lambda: INNER()[2].append(2), "inner.__kwdefaults__"),
    ],
)
def test_what_a_function_keeps_is_noticed_and_put_back_for_every_watch(
    function: Any, act: Any, name: str
) -> None:
    first, second = StateWatch(function), StateWatch(function)
    assert first.change(1, 1) == second.change(1, 1) == ""

    act()
    assert first.change(1, 1).endswith(name)
    assert second.change(1, 1).endswith(name)

    first.put_back()
    assert first.change(1, 1) == second.change(1, 1) == ""


def test_an_attribute_of_a_function_is_noticed() -> None:
    watch = StateWatch(INNER)
    _note()

    assert watch.change(1, 1) == "inner.note"
    del INNER.note


class Counter:
    """Counts."""

    total = 0.0

    def count(self) -> None:
        self.total += 1
        self.other = 1


def test_what_is_declared_may_change_and_nothing_else() -> None:
    counter = Counter()
    watch = StateWatch(counter, ("total", "other"))
    strict = StateWatch(counter, ("total",))
    counter.count()

    assert watch.change(1, 1) == ""
    assert strict.change(1, 1) == "self.other"


class Constant(Fixed):
    """Never changes, so nobody looks."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise AssertionError("looked into")


def test_what_is_fixed_is_not_looked_into() -> None:
    counter = Counter()
    counter.held = (Constant(), Constant())  # type: ignore[attr-defined]

    assert StateWatch(counter).change(1, 1) == ""
