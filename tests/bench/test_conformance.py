"""The page that puts our orders beside other engines' is what all of them do today."""

import pytest

from tests.bench.conformance.engines import ENGINES, Engine, faults, recorded
from tests.bench.conformance.page import PAGE, page
from tests.bench.conformance.table import ROWS, ours

NAUTILUS = ENGINES[1]
QUEER = "a market order fills at the next open"  # nautilus answers it otherwise


def test_the_page_is_what_the_engines_answered_when_they_were_last_asked() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(recorded())


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: str(engine.name))
def test_every_row_has_an_answer_and_every_difference_a_named_reason(engine: Engine) -> None:
    answers = recorded()[engine.name]

    assert list(answers) == list(ours())
    assert faults(engine, answers) == []


def test_a_difference_without_a_reason_and_a_reason_without_a_difference_are_told() -> None:
    answers = dict(recorded()[NAUTILUS.name])
    answers[QUEER] = ours()[QUEER]
    answers["an order that nobody meets stays"] = [(2, 1.0, 50.0)]

    assert faults(NAUTILUS, answers) == [
        "nautilus_trader: an order that nobody meets stays: otherwise without a reason",
        f"nautilus_trader: {QUEER}: a reason without a difference",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: str(engine.name))
def test_an_engine_that_is_installed_still_answers_as_recorded(engine: Engine) -> None:
    if not engine.is_installed:
        pytest.skip("`make conformance` installs it")

    assert engine.ask(ROWS) == recorded()[engine.name]
