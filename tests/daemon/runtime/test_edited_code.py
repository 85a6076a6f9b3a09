"""A user's strategy that was edited between two starts: taken where it decides the same of all that was, refused where not."""

import sys
from pathlib import Path

import pytest

from papertape.daemon.chapters.opening import Opening
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.errors import ConfigError
from tests.support.helpers import write_module
from tests.support.journals import candles, derived, identity, recorded, served

ROWS = candles(260)
STRATEGY = """
from papertape import FLAT, LONG, Decision


class Above:
    features = ("ema_5",)

    def decide(self, view):
        if view.close > view["ema_5"]:
            return Decision(LONG)
        return Decision(FLAT)


class Below:
    features = ("ema_5",)

    def decide(self, view):
        return Decision(LONG if view.close < view["ema_5"] else FLAT)
"""
OTHERWISE = STRATEGY.replace('view.close > view["ema_5"]', 'view.close > 1.02 * view["ema_5"]')
REWRITTEN = STRATEGY.replace(
    '        if view.close > view["ema_5"]:\n            return Decision(LONG)\n        return Decision(FLAT)\n',
    '        average = view["ema_5"]  # in other words\n        return Decision(LONG if average < view.close else FLAT)\n',
)


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path, "edited_live", STRATEGY)


def about(state: Path, name: str) -> Identity:
    account = {"sizing": "fraction"}
    return identity(strategy={"name": name}, account=account, daemon={"state": str(state)})


def lived(state: Path, last: int, name: str = "edited_live:Above", chapter: Opening | None = None) -> None:
    served(state, recorded(ROWS[: 2 * last], 20), about=about(state, name), chapter=chapter)


def test_one_that_decides_the_same_in_other_words_goes_on(tmp_path: Path) -> None:
    lived(tmp_path / "state", 100)
    write_module(tmp_path, "edited_live", REWRITTEN)
    lived(tmp_path / "state", 260)
    with Journal.read(tmp_path / "state") as journal:
        rewritten = journal.meta("strategies")
    lived(tmp_path / "state", 260)

    write_module(tmp_path, "edited_live", STRATEGY)
    lived(tmp_path / "whole", 260)
    assert derived(tmp_path / "state") == derived(tmp_path / "whole")
    assert len(derived(tmp_path / "state")["fills"]) > 20
    with Journal.read(tmp_path / "whole") as journal:
        assert journal.meta("strategies") != rewritten


def test_one_that_decides_otherwise_is_refused_and_a_chapter_takes_it(tmp_path: Path) -> None:
    """Its past would be another than the account's, and the audit would find that at every look."""
    state = tmp_path / "state"
    lived(state, 100)
    before = derived(state)

    write_module(tmp_path, "edited_live", OTHERWISE)
    with pytest.raises(
        ConfigError,
        match=r"strategy.name: it was edited and decides otherwise .* \((decisions|fills) .*chapter",
    ):
        lived(state, 120)
    assert derived(state) == before

    write_module(tmp_path, "edited_live", STRATEGY)
    write_module(tmp_path, "edited_since", OTHERWISE)
    lived(state, 180, "edited_since:Above", Opening("two per cent above"))
    lived(state, 260, "edited_since:Above")
    assert verify_state(state, trust_code=True).difference is None


def test_what_a_strategy_keeps_in_its_module_is_no_edit(tmp_path: Path) -> None:
    counting = STRATEGY.replace("class Above", "SEEN = []\n\n\nclass Above").replace(
        '        if view.close > view["ema_5"]',
        '        SEEN.append(1)\n        if view.close > view["ema_5"]',
    )
    write_module(tmp_path, "edited_live", counting)
    kept = []
    for last in (100, 120):
        lived(tmp_path / "state", last)
        sys.modules.pop("edited_live")
        with Journal.read(tmp_path / "state") as journal:
            kept.append(journal.meta("strategies"))

    assert kept[0] == kept[1] is not None


def test_what_is_built_in_has_no_digest(tmp_path: Path) -> None:
    lived(tmp_path / "state", 40, "ema_cross")

    with Journal.read(tmp_path / "state") as journal:
        assert journal.meta("strategies") is None
