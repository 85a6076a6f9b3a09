"""A user's function for fees in a daemon: kept over stops, verified, changed by a chapter, refused where it was edited."""

import json
from pathlib import Path

import pytest

from papertape.daemon.chapters.opening import Opening
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.restep import verify_state
from papertape.daemon.runtime.upgrade.comparison import compare_versions
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, StrategyError
from tests.support.helpers import write_module
from tests.support.journals import candles, derived, identity, recorded, served

ROWS = candles(260)
FEES = """
def small(notional, price, size, is_maker, rate, volume):
    return 0.0002 * notional + 0.125


def twice(notional, price, size, is_maker, rate, volume):
    return 2.0 * (0.0002 * notional + 0.125)
"""
# The same in other words; and what fails once more than so much was traded in a month.
REWRITTEN = FEES.replace("return 0.0002 * notional + 0.125", "return 0.125 + notional * 0.0002")
FAILING = FEES.replace(
    "    return 0.0002 *", "    if volume > 0.0:\n        return -1.0\n    return 0.0002 *", 1
)


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path, "fees_live", FEES)


def about(state: Path, name: str = "small") -> Identity:
    strategy = {"name": "ema_cross", "parameters": {"fast": 3, "slow": 8, "allow_short": True}}
    account = {"sizing": "fraction", "fee_function": f"fees_live:{name}"}
    return identity(strategy=strategy, account=account, daemon={"state": str(state)})


def lived(state: Path, last: int, name: str = "small", chapter: Opening | None = None) -> None:
    served(state, recorded(ROWS[: 2 * last], 20), about=about(state, name), chapter=chapter)


def digest_of(state: Path) -> str:
    with Journal.read(state) as journal:
        return next(journal.snapshots()).digest


def test_live_stops_verify_and_upgrade_are_the_replay(tmp_path: Path) -> None:
    engine = Engine(about(tmp_path).spec)
    engine.step(ROWS)

    lived(tmp_path / "whole", 260)
    for last in (90, 91, 260):
        lived(tmp_path / "parts", last)

    assert digest_of(tmp_path / "whole") == digest_of(tmp_path / "parts") == engine.digest
    assert derived(tmp_path / "whole") == derived(tmp_path / "parts")
    fills = derived(tmp_path / "whole")["fills"]
    assert len(fills) > 20
    with pytest.raises(ConfigError, match="names code, function for fees fees_live:small"):
        verify_state(tmp_path / "parts")
    verdict = verify_state(tmp_path / "parts", trust_code=True)
    assert (verdict.difference, verdict.digest) == (None, engine.digest)
    assert compare_versions(tmp_path / "parts", trust_code=True).is_equal


def test_an_edited_one_is_taken_where_it_says_the_same_and_refused_where_not(tmp_path: Path) -> None:
    state = tmp_path / "state"
    lived(state, 100)
    before = derived(state)

    write_module(
        tmp_path, "fees_live", FEES.replace("0.0002 * notional + 0.125", "0.0003 * notional + 0.125")
    )
    with pytest.raises(
        ConfigError,
        match=r"account.fee_function: it was edited and says otherwise of what was filled \(fills .*fee",
    ):
        lived(state, 120)
    assert derived(state) == before
    write_module(tmp_path, "fees_live", REWRITTEN)
    lived(state, 260)

    write_module(tmp_path, "fees_live", FEES)
    lived(tmp_path / "whole", 260)
    assert derived(state) == derived(tmp_path / "whole")


def test_one_that_fails_ends_the_daemon_and_can_be_put_right(tmp_path: Path) -> None:
    state = tmp_path / "state"
    write_module(tmp_path, "fees_live", FAILING)

    for _ in range(2):  # whoever is started again is where it was
        with pytest.raises(
            StrategyError, match=r"of a fill of .* at .* fees_live:small says -1, which is below 0"
        ):
            lived(state, 260)
    write_module(tmp_path, "fees_live", FEES)
    lived(state, 260)

    lived(tmp_path / "whole", 260)
    assert digest_of(state) == digest_of(tmp_path / "whole")
    assert derived(state)["fills"] == derived(tmp_path / "whole")["fills"]


def test_a_chapter_names_another_and_both_stay_what_they_were(tmp_path: Path) -> None:
    state = tmp_path / "state"
    lived(state, 130)
    with pytest.raises(
        ConfigError, match=r"account.fee_function: 'fees_live:twice' is not 'fees_live:small'"
    ):
        lived(state, 140, "twice")
    lived(state, 200, "twice", Opening("dearer"))
    lived(state, 260, "twice")

    with Journal.read(state) as journal:
        (chapter,) = journal.all("SELECT changes FROM chapters")
        [begun] = journal.all("SELECT time_ms FROM chapters")
        rows = journal.all("SELECT candle_ms, notional, fee FROM fills")
    assert json.loads(chapter[0]) == {"account.fee_function": ["fees_live:small", "fees_live:twice"]}
    for candle_ms, notional, fee in rows:
        times = 2.0 if candle_ms >= begun[0] else 1.0
        assert fee == pytest.approx(times * (0.0002 * notional + 0.125e9), abs=2.0)
    assert {candle_ms >= begun[0] for candle_ms, _, _ in rows} == {True, False}
    assert verify_state(state, trust_code=True).difference is None
    write_module(
        tmp_path, "fees_live", FEES.replace("+ 0.125\n\n", "+ 0.25\n\n")
    )  # that of before the chapter
    with pytest.raises(ConfigError, match="it was edited and says otherwise"):
        lived(state, 260, "twice")
