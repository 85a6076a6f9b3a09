"""The unit of an account's money is what its journal says, whatever a later version's table says of its currency."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.backtests.comparison import side_of_account
from papertape.daemon.chapters.lineage import lineage_of
from papertape.daemon.chapters.opening import Opening
from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import identity_of, journal_statement
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.daemon import RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.daemon.runtime.upgrade.comparison import compare_versions
from papertape.engine.broker.ledger import CURRENCY_DECIMALS
from papertape.engine.errors import ConfigError
from tests.support.journals import candles, derived, identity, recorded, served

ROWS = candles(300)
CAPITAL = 2e9  # rupiah: 1e9 and more is counted as the currency is, in hundredths today
ACCOUNT = {"capital": CAPITAL, "quote": "IDR"}
SLOWER = Opening("slower")


def account(state: Path, **more: Any) -> Identity:
    return identity(daemon={"state": str(state)}, account={**ACCOUNT, **more})


def lived(state: Path, last: int, chapter: Opening | None = None, **more: Any) -> RunningDaemon:
    """Run a daemon up to an instant, with a chapter at its start if there is one."""
    return served(state, recorded(ROWS[: 2 * last]), about=account(state, **more), chapter=chapter)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state directory whose account began while the table said what it says today."""
    state = tmp_path_factory.mktemp("begun")
    lived(state, 150)
    return state


def copied(begun: Path, state: Path) -> Path:
    state.mkdir()
    (state / "journal.db").write_bytes((begun / "journal.db").read_bytes())
    return state


def change_table(patch: pytest.MonkeyPatch, decimals: int | None) -> None:
    """Let the table be that of another version; None: it says nothing of the currency, so nine decimals are counted."""
    if decimals is None:
        patch.delitem(CURRENCY_DECIMALS, "IDR")
    else:
        patch.setitem(CURRENCY_DECIMALS, "IDR", decimals)


def test_an_account_goes_on_in_the_unit_that_it_began_with(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same, other = copied(begun, tmp_path / "same"), copied(begun, tmp_path / "other")
    lived(same, 220)
    lived(same, 300, SLOWER, latency_bars=1)
    expected = derived(same)

    change_table(monkeypatch, 0)
    lived(other, 220)
    daemon = lived(other, 300, SLOWER, latency_bars=1)

    assert daemon.engine.spec.money_decimals == 2
    assert len(expected["fills"]) > 5
    assert derived(other) == expected
    with Journal.read(other) as journal:
        booked = journal_statement(journal)
        curve = side_of_account(journal, "").curve
        units = [one.spec.money_decimals for one in lineage_of(journal).accounts]
        last = journal.one("SELECT equity FROM equity ORDER BY time_ms DESC LIMIT 1")
    assert (booked.units_per_quote, units) == (100.0, [2, 2])
    assert booked.postings["amount"][0] == -round(100 * CAPITAL)
    assert curve.equity[-1] == last[0] / 100.0
    assert verify_state(other).is_equal
    assert compare_versions(other).is_equal


def test_another_unit_is_refused_and_the_same_one_may_be_named(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = copied(begun, tmp_path / "state")

    with pytest.raises(ConfigError, match=r"account\.money_decimals: 4 is not 2, with which the"):
        lived(state, 220, money_decimals=4)

    # A version that does not know the currency refuses such a capital, and says the way out.
    change_table(monkeypatch, None)
    with pytest.raises(ConfigError, match=r"capital: 2e\+09 .* money_decimals = 8"):
        account(state)
    assert lived(state, 220, money_decimals=2).engine.spec.money_decimals == 2
    assert verify_state(state).is_equal


def test_a_journal_that_says_nothing_of_its_unit_counts_nine_decimals(begun: Path, tmp_path: Path) -> None:
    """As every version before wrote it, and this one for an account that counts nine."""
    state = copied(begun, tmp_path / "state")
    with sqlite3.connect(state / "journal.db") as connection:
        connection.execute("DELETE FROM meta WHERE key = 'units_per_quote'")
        connection.execute(
            "UPDATE meta SET value = json_set(value, '$.config.account.capital', 5000.0) WHERE key = 'identity'"
        )
    connection.close()

    with Journal.read(state) as journal:
        about = identity_of(journal)

    assert (about.spec.money_decimals, about.config.account.money_decimals) == (9, None)
