"""What a reader must know of a result is one list, in the terminal as in the report."""

import json
import re
from pathlib import Path

import pytest

from papertape.daemon.commands.replay import show
from papertape.engine.records import REFUSED_NAMES, REFUSED_STOP
from papertape.replay import backtest
from papertape.replay.backtesting.result import Result
from papertape.replay.tapes.store import Tape
from tests.support.helpers import random_candles


def replayed(**account: object) -> Result:
    tape = Tape(random_candles(300, 3), "a-spot", "A", "1h", source="made in a test")
    return backtest(
        tapes=[tape],
        strategy="ema_cross",
        use_ml=False,
        use_smc=False,
        account=account,
        report={"sensitivity": False},
    )


def test_a_replay_without_a_trade_says_why() -> None:
    """The averages cross; by default they are sized by risk, for which they give no stop."""
    refused, traded = replayed(), replayed(sizing="all_in")

    assert refused.summary["refusals"] == {REFUSED_NAMES[REFUSED_STOP]: 1}
    assert f"1 decision refused: {REFUSED_NAMES[REFUSED_STOP]}" in refused.summary["doubts"]
    assert "No trade was made: every entry was refused." in refused.summary["doubts"]
    assert not [text for text in traded.summary["doubts"] if "No trade" in text]


def test_a_strategy_that_never_decides_is_told() -> None:
    tape = Tape(random_candles(20, 3), "a-spot", "A", "1h", source="made in a test")

    found = backtest(tapes=[tape], use_ml=False, report={"sensitivity": False})

    assert "No trade was made: no entry was ever decided." in found.summary["doubts"]


def test_terminal_and_report_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = replayed()

    show(result, tmp_path / "out", as_json=False)

    printed = [line[2:] for line in capsys.readouterr().out.splitlines() if line.startswith("! ")]
    saved = json.loads((tmp_path / "out" / "result.json").read_text())
    assert printed == result.summary["doubts"] == saved["doubts"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert re.search(r"const doubts = SUMMARY\.doubts", page)
