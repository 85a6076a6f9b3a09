"""Stretches of wishes tell every answer: the first of each, and whether the others are like it."""

import numpy as np
import pytest

from papertape.engine.core import Engine
from papertape.engine.features.reading import Reading
from papertape.engine.jit import Rows
from papertape.engine.lanes.stretches import gather
from papertape.engine.lanes.wishes import WishRoom, wishes_of
from papertape.engine.records import DECISION, FLAT, KEEP, LONG
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import BracketW2, EmaCross
from tests.support.helpers import random_candles

WORDS = DECISION.itemsize // 8


class Asked:
    """Averages that are asked at every close."""

    name, state_dtype = "asked", EmaCross().state_dtype

    def __init__(self, strategy: EmaCross) -> None:
        self.features, self.decide_batch = strategy.features, strategy.decide_batch


def wanted(targets: list[int], stops: list[float]) -> Rows:
    rows = np.zeros(len(targets), DECISION)
    rows["target"], rows["stop_distance"] = targets, stops
    return rows


def test_a_stretch_begins_where_something_else_is_wanted() -> None:
    targets = [FLAT, FLAT, LONG, LONG, LONG, KEEP, KEEP, FLAT, FLAT]
    decisions = wanted(targets, [1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    at = np.array([2, 3, 5, 8, 9, 11, 12, 14, 15])
    starts, is_even, rows = np.zeros(9, np.int64), np.ones(9, np.int64), np.zeros(9, DECISION)
    words, row_words = (each.view(np.int64).reshape(-1, WORDS) for each in (decisions, rows))

    # In two parts, as blocks come: the second LONG goes on with the stretch of the first.
    count = gather(decisions[:3], words[:3], at[:3], starts, rows, row_words, is_even, 0)
    count = gather(decisions[3:], words[3:], at[3:], starts, rows, row_words, is_even, count)

    assert count == 5
    assert starts[:5].tolist() == [2, 5, 9, 11, 14]
    assert rows["target"][:5].tolist() == [FLAT, LONG, LONG, KEEP, FLAT]
    assert rows["stop_distance"][:5].tolist() == [1.0, 2.0, 3.0, 4.0, 6.0]
    # Of KEEP nothing but that is ever asked; of FLAT more only while something is held.
    assert is_even[:5].tolist() == [1, 1, 1, 1, 0]


def test_stretches_are_the_answers_to_a_batch() -> None:
    candles = random_candles(900, 4)
    reading, strategy = Reading(("A",), "1h", candles), BracketW2()
    spec = EngineSpec([Market("A")], strategy, "2h", "1h", settings=Settings("risk"))
    engine = Engine(spec, reading)
    closed, at = engine.frames.advance(candles, len(candles))
    answers, state = np.zeros(closed, DECISION), np.zeros(1, strategy.state_dtype)
    matrix, bars = engine.signals(0, closed, at), engine.frames.main[0].closed
    strategy.decide_batch(matrix, bars, closed, state, answers)

    found = wishes_of(Engine(spec, reading), strategy, WishRoom(900))

    number = np.searchsorted(found.starts, at[:closed], "right") - 1
    assert np.array_equal(found.rows[0]["target"][number], answers["target"])
    assert found.rows[0].tobytes() == answers[np.isin(at[:closed], found.starts)].tobytes()
    assert found.state.tobytes() == state.tobytes()
    assert 20 < len(found.starts) < closed // 2


@pytest.mark.parametrize("allow_short", [False, True])
def test_what_averages_tell_is_what_they_answer(allow_short: bool) -> None:
    candles, strategy = random_candles(900, 5), EmaCross(3, 8, allow_short)
    reading = Reading(("A",), "1h", candles)
    spec = EngineSpec([Market("A")], strategy, "1h", "1h", settings=Settings("all_in"))
    told, asked = (
        wishes_of(Engine(spec, reading), one, WishRoom(900)) for one in (strategy, Asked(strategy))
    )

    assert told.starts.tolist() == asked.starts.tolist()
    assert told.rows.tobytes() == asked.rows.tobytes()
    assert told.state.tobytes() == asked.state.tobytes()
    assert asked.is_even.all()
    assert len(told.starts) > 50
