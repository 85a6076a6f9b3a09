"""What is kept of answers, when, and how much of it."""

import numpy as np
import pytest

from papertape.engine.features import answers
from papertape.engine.features.answers import Answers, NewestAnswers
from papertape.engine.records import DECISION

STATE = np.array([(7, 8)], [("bars", "i8"), ("was_above", "i8")])


def wishes(n_symbols: int, n: int) -> np.ndarray:
    rows = np.zeros((n_symbols, n), DECISION)
    rows["target"] = np.arange(n_symbols * n).reshape(n_symbols, n)
    rows["confidence"] = 0.5
    return rows


def test_nothing_is_kept_before_somebody_asks_twice_in_a_row() -> None:
    newest = NewestAnswers()

    first, second, other, third = (newest.to(asked) for asked in ("a", "a", "b", "a"))

    assert first is second
    assert first.is_kept
    assert not other.is_kept
    assert third is not first
    assert not third.is_kept
    other.keep(0, 9, wishes(1, 9), STATE)
    assert other.find(0, 9) is None


def test_copies_of_a_part_of_a_table_are_kept() -> None:
    kept, table, state = Answers(), wishes(2, 12), STATE.copy()
    kept.is_kept = True

    kept.keep(100, 40, table[:, :5], state)
    table["target"], state["bars"] = -1, 0

    found = kept.find(100, 40)
    assert found is not None
    assert found.wishes["target"].tolist() == [[0, 1, 2, 3, 4], [12, 13, 14, 15, 16]]
    assert (found.wishes["confidence"] == 0.5).all()
    assert found.state.tolist() == [(7, 8)]
    assert kept.find(100, 39) is None
    assert kept.find(99, 40) is None


def test_what_has_no_room_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 10 * DECISION.itemsize)
    kept = Answers()
    kept.is_kept = True

    for first in (0, 6, 12):
        kept.keep(first, 6, wishes(1, 6 if first == 0 else 4 if first == 6 else 1), STATE)

    assert [kept.find(first, 6) is not None for first in (0, 6, 12)] == [True, True, False]
