"""The page that puts our orders beside other engines' is what all of them do today."""

from pathlib import Path

import pytest

from tests.bench.conformance import engines
from tests.bench.conformance.engines import ENGINES, Engine, faults, recorded
from tests.bench.conformance.page import PAGE, page
from tests.bench.conformance.rows import Fills, Row, answer
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


def test_what_was_answered_to_other_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "answers.json"
    record.write_text(engines.RECORD.read_text(encoding="utf-8").replace(engines.digest(), "0" * 16))
    monkeypatch.setattr(engines, "RECORD", record)

    with pytest.raises(ValueError, match=r"answers\.json: the rows have changed since; run `make"):
        recorded()


def test_an_engine_answers_with_fills_by_candle_and_price_or_with_what_it_cannot_be_told() -> None:
    def split(row: Row) -> Fills:
        row.refuse_decisions()
        return [(3, -1.0, 104.0), (2, 1.0, 100.0), (3, -1.0, 104.0), (2, 2.0, 99.0), (2, -2.0, 99.0)]

    told = Row("a", {}, [(100, 101, 99, 100)], {1: ["view.buy(1)"]})
    decided = Row("b", {}, [(100, 101, 99, 100)], {1: ["return Decision(LONG)"]})

    assert answer(told, split) == [(2, 1.0, 100.0), (3, -2.0, 104.0)]
    assert answer(decided, split) == "a decision"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: str(engine.name))
def test_an_engine_that_is_installed_still_answers_as_recorded(engine: Engine) -> None:
    if not engine.is_installed:
        pytest.skip("`make conformance` installs it")

    assert engine.ask(ROWS) == recorded()[engine.name]
