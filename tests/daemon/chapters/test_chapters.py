"""A chapter in the middle of a whole daemon's life: its second half, told by the journal, by an audit and by hand, is one."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from papertape.daemon.app import serve
from papertape.daemon.chapters.lineage import lineage_of
from papertape.daemon.chapters.opening import Opening
from papertape.daemon.feeds.protocol import FeedStart
from papertape.daemon.journal import Journal, encode
from papertape.daemon.journal.closes import STORED
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.audit import Auditor
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.maintenance import compaction
from papertape.daemon.runtime.recovery import Recovered, recover
from papertape.daemon.runtime.restep import verify_state
from papertape.daemon.runtime.upgrade.comparison import compare_versions
from papertape.engine.chapters import carry, from_then_on
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError, InvariantError
from papertape.engine.events import NewModel
from papertape.engine.jit import Rows
from tests.support.journals import candles, derived, identity, model_bytes, recorded, served

ROWS = candles(700)
CUT = 400  # instants before the chapter
WIDER = {"strategy": {"name": "confluence", "parameters": {"confidence_threshold": 0.3, "stop_atr": 4.0}}}
CROSS = {
    "strategy": {"name": "ema_cross", "parameters": {"fast": 3, "slow": 8, "allow_short": True}},
    "account": {"sizing": "fraction", "latency_bars": 1},
    "limits": {"drawdown": 0.02, "drawdown_lock_days": 0.5},
    "market": {"taker_fee_rate": 0.001},
}


def account(state: Path, **sections: Any) -> Identity:
    return identity(daemon={"state": str(state)}, **sections)


def lived(
    state: Path,
    last: int,
    chapter: Opening | None = None,
    heard: list[Recovered] | None = None,
    batch: int = 20,
    **sections: Any,
) -> RunningDaemon:
    """Run a daemon up to an instant, with a chapter at its start if there is one."""
    hooks = Hooks() if heard is None else Hooks(on_recovered=heard.append)
    return served(state, recorded(ROWS[: 2 * last], batch), hooks, account(state, **sections), chapter)


def by_hand(after: Identity, *, closes: bool = False, rows: Rows = ROWS) -> Engine:
    """Return what two configurations and an instant come to, without a journal or a daemon."""
    first, cut = Engine(identity().spec), 2 * CUT
    first.step(rows[:cut])
    spec = replace(from_then_on(after.spec, int(rows["open_ms"][cut - 1]) + 900_000), events=True)
    second = Engine(spec)
    second.step(rows[:cut])
    carry(first, second, closes=closes)
    second.step(rows[cut:])
    return second


def costly(state: Path) -> Identity:
    """Return the second account with its costs written into the markets by hand."""
    about = account(state, **CROSS)
    return about._replace(markets=tuple(replace(market, taker_fee_rate=0.001) for market in about.markets))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state directory of a daemon with a chapter, run in three parts."""
    state = tmp_path_factory.mktemp("chapters")
    lived(state, CUT)
    lived(state, 600, Opening("cross, costly"), **CROSS)
    lived(state, 700, **CROSS)
    return state


def test_configurations_and_an_instant_lead_to_the_same(state: Path) -> None:
    expected = by_hand(costly(state))
    alone = Engine(identity().spec)
    alone.step(ROWS)

    with Journal.read(state) as journal:
        newest = next(journal.snapshots())
        fills = journal.all("SELECT count(*) FROM fills WHERE candle_ms >= ?", int(ROWS["open_ms"][2 * CUT]))
        limits = journal.all("SELECT count(*) FROM limits")

    assert newest.digest == expected.digest != alone.digest
    assert newest.state == expected.snapshot()
    assert fills[0][0] > 20
    assert limits[0][0] > 0


def test_verify_upgrade_recovery_and_an_audit_agree(state: Path, tmp_path: Path) -> None:
    verdict, upgrade = verify_state(state), compare_versions(state)
    before = derived(state)
    with Journal.open(state, 0) as journal:
        newest = next(journal.snapshots())
        kept = journal.all("SELECT * FROM snapshots")
        journal.commit([lambda j: j.connection.execute("DELETE FROM snapshots")])
        recovered = recover(journal)
        journal.commit(
            [lambda j: j.connection.executemany("INSERT INTO snapshots VALUES (?,?,?,?,?,?,?)", kept)]
        )

    assert verdict.is_equal, verdict.difference
    assert verdict.told == ()
    assert verdict.digest == upgrade.digest == recovered.engine.digest == newest.digest
    assert upgrade.is_equal
    assert recovered.stepped == newest.sequence
    assert recovered.engine.snapshot() == newest.state
    assert derived(state) == before

    async def audited() -> Any:
        import hashlib

        auditor = Auditor(state)
        try:
            sha256 = hashlib.sha256(newest.state).hexdigest()
            return await auditor.check(newest.sequence, newest.digest, sha256)
        finally:
            await auditor.close()

    assert asyncio.run(audited()).is_equal


@pytest.mark.parametrize("batch", [7, 300])
@pytest.mark.parametrize("positions", ["keep", "close"])
def test_neither_batches_nor_stops_change_anything(batch: int, positions: str, tmp_path: Path) -> None:
    lived(tmp_path, CUT, batch=batch)
    lived(tmp_path, CUT + 3, Opening("wider stop", positions), batch=batch, **WIDER)

    daemon = lived(tmp_path, 700, batch=batch, **WIDER)

    expected = by_hand(account(tmp_path, **WIDER), closes=positions == "close")
    assert daemon.engine.digest == expected.digest
    assert daemon.engine.snapshot() == expected.snapshot()
    assert verify_state(tmp_path).is_equal


def test_three_chapters_and_inputs_that_were_archived(tmp_path: Path) -> None:
    lived(tmp_path, 200)
    lived(tmp_path, 300, Opening("one"), **CROSS)
    lived(tmp_path, 400, Opening("two"), **WIDER, **{k: CROSS[k] for k in ("market",)})
    daemon = lived(tmp_path, 500, Opening("three", "close"), **{**CROSS, **WIDER})
    with Journal.open(tmp_path, 0) as journal:
        journal.commit(
            [
                lambda j: j.connection.execute(
                    "DELETE FROM snapshots WHERE sequence < (SELECT max(sequence) FROM snapshots)"
                )
            ]
        )

    async def archived() -> None:
        from papertape.daemon.journal import InlineWriter

        with Journal.open(tmp_path, 0) as journal:
            await compaction(tmp_path, InlineWriter(journal), 1)

    asyncio.run(archived())
    assert list((tmp_path / "tape").glob("inputs-*.parquet"))
    verdict = verify_state(tmp_path)

    assert verdict.is_equal, verdict.difference
    assert verdict.digest == daemon.engine.digest
    with Journal.read(tmp_path) as journal:
        lineage = lineage_of(journal)
        names = [row[0] for row in journal.all("SELECT name FROM chapters ORDER BY input")]
    assert names == ["one", "two", "three"]
    assert [each.config.strategy.name for each in lineage.accounts] == [
        "confluence",
        "ema_cross",
        "confluence",
        "confluence",
    ]
    for number, begin in enumerate(lineage.begins):
        assert lineage.at(begin - 1) == lineage.accounts[number]
        assert lineage.at(begin) == lineage.accounts[number + 1]


def test_a_model_goes_on_where_it_can_be_read(tmp_path: Path) -> None:
    """With another strategy the models' own list has no structure; here nothing of it is read, so version 5 stays."""
    model = NewModel(5, model_bytes(5))
    about = account(tmp_path)
    engine = Engine(about.spec)
    with Journal.open(tmp_path, 0) as journal:
        journal.commit([lambda j: j.set_meta(identity=about.as_json(), first_live=1, limit_ms=0)])
        for event in (ROWS[:400], model, ROWS[400 : 2 * CUT]):
            journal.commit([lambda j, e=event: j.add_input(encode(e), 0)])
            engine.step(event)

    daemon = lived(tmp_path, 700, Opening("cross"), **CROSS)

    second = Engine(from_then_on(costly(tmp_path).spec, int(ROWS["open_ms"][2 * CUT - 1]) + 900_000))
    for event in (ROWS[:400], model, ROWS[400 : 2 * CUT]):
        second.step(event)
    carry(engine, second)
    second.step(ROWS[2 * CUT :])
    assert daemon.engine.digest == second.digest
    assert daemon.engine.account[0].model_version == 5
    assert verify_state(tmp_path).is_equal


def test_closes_keep_their_features_by_name(tmp_path: Path) -> None:
    """The page reads features by the newest columns: what both accounts compute stays, what the first one had not is NaN."""
    lived(tmp_path, CUT)
    with Journal.read(tmp_path) as journal:
        before = _closes(journal)
    lived(tmp_path, CUT + 40, Opening("cross"), **CROSS)
    with Journal.read(tmp_path) as journal:
        after = _closes(journal)
    common = set(before[0]) & set(after[0])

    own = "ema_3:first"
    assert own in after[0]
    assert own not in before[0]
    assert len(common) > 3
    for key, row in before[1].items():
        for name in common:
            np.testing.assert_equal(after[1][key][after[0].index(name)], row[before[0].index(name)])
        assert np.isnan(after[1][key][after[0].index(own)])
    newest = max(after[1])
    assert np.isfinite(after[1][newest][after[0].index(own)])


def _closes(journal: Journal) -> tuple[list[str], dict[tuple[int, str], Any]]:
    import json

    columns = json.loads(journal.meta("close_columns") or "")
    rows = journal.all("SELECT time_ms, symbol, features FROM closes WHERE features IS NOT NULL")
    return columns, {(row[0], row[1]): np.frombuffer(row[2], STORED) for row in rows}


def test_a_table_that_was_changed_is_noticed(tmp_path: Path) -> None:
    """The chapter's input is in the hash chain; a journal whose beginning was rewritten does not lead up to it."""
    lived(tmp_path, CUT)
    lived(tmp_path, CUT + 20, Opening("cross"), **CROSS)
    other = account(tmp_path, **WIDER).as_json()
    with Journal.open(tmp_path, 0) as journal:
        journal.commit([lambda j: j.connection.execute("UPDATE chapters SET before = ?", (other,))])

    assert not verify_state(tmp_path).is_equal
    with Journal.open(tmp_path, 0) as journal:
        journal.commit([lambda j: j.connection.execute("DELETE FROM snapshots")])
        with pytest.raises(InvariantError, match="does not follow the account that was stepped"):
            recover(journal)


def test_what_is_told(tmp_path: Path) -> None:
    heard: list[Recovered] = []
    lived(tmp_path, CUT)
    lived(tmp_path, CUT + 20, Opening("wider stop"), heard, **WIDER)

    assert heard[0].told == (
        "chapter 'wider stop' from 2020-01-05 04:00 on: strategy.parameters {'confidence_threshold': 0.3} → "
        "{'confidence_threshold': 0.3, 'stop_atr': 4.0}",
    )
    assert heard[0].stepped == 1


def test_what_recovery_told_before_the_chapter_is_told_once(tmp_path: Path) -> None:
    heard: list[Recovered] = []
    lived(tmp_path, 60)
    with Journal.open(tmp_path, 0) as journal:
        journal.commit([lambda j: j.connection.execute("ALTER TABLE fills ADD COLUMN older INTEGER")])

    lived(tmp_path, 80, Opening("wider stop"), heard, **WIDER)

    assert heard[0].told[0] == "the tables are made again"
    assert heard[0].told[1].startswith("chapter 'wider stop' from ")
    assert len(heard[0].told) == 2


def test_what_was_stepped_is_kept_before_a_feed_is_opened(tmp_path: Path) -> None:
    """A venue that cannot be reached lets no start look through the whole account again."""

    def unreachable(start: FeedStart) -> NoReturn:
        raise DataError("the venue cannot be reached")

    lived(tmp_path, 60)
    about, asked = account(tmp_path, **WIDER), Opening("wider stop")
    heard: list[Recovered] = []
    for _ in range(2):
        with pytest.raises(DataError, match="cannot be reached"):
            asyncio.run(
                serve(about, unreachable, Hooks(on_recovered=heard.append), is_virtual=True, chapter=asked)
            )

    assert [each.stepped for each in heard] == [1, 0]
    with Journal.read(tmp_path) as journal:
        assert next(journal.snapshots()).sequence == journal.sequence


def test_a_service_manager_may_start_it_again_with_the_same_words(tmp_path: Path) -> None:
    lived(tmp_path, CUT)
    lived(tmp_path, 500, Opening("wider stop"), **WIDER)

    daemon = lived(tmp_path, 700, Opening("wider stop"), **WIDER)

    assert daemon.engine.digest == by_hand(account(tmp_path, **WIDER)).digest
    with Journal.read(tmp_path) as journal:
        assert journal.all("SELECT count(*) FROM chapters") == [(1,)]


def test_without_the_word_it_is_refused_and_the_way_out_is_named(tmp_path: Path) -> None:
    lived(tmp_path, CUT)
    lived(tmp_path, 500, Opening("wider stop"), **WIDER)

    with pytest.raises(
        ConfigError, match=r"with which its chapter of 2020-01-05 04:00 began[\s\S]*--chapter NAME"
    ):
        lived(tmp_path, 600)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "capital": ({"account": {"capital": 5.0}}, r"account.capital: 5.0 is not 10000.0, and this stays"),
    "currency": ({"account": {"quote": "EUR"}}, "account.quote: 'EUR'"),
    "margin": ({"account": {"margin": "cross"}}, "account.margin"),
    "timeframe": ({"data": {"timeframe": "4h"}}, "data.timeframe"),
    "venue": (
        {"live": {"venue": "other", "symbols": ("AAA", "BBB"), "timeframe": "15m", "history_bars": 0}},
        "live.venue",
    ),
    "tick": ({"market": {"tick_size": 0.5}}, "market.tick_size: 0.5 is not None, and this stays"),
    "leverage": ({"markets": {"AAA": {"leverage": 5.0}}}, "markets.AAA.leverage"),
    "what models read": ({"signals": {"use_smc": True, "retrain_every": "never"}}, "signals.use_smc"),
    "nothing": ({}, "nothing that decides is other than it was"),
    "what cannot be built": (
        {"strategy": {"name": "ema_cross", "parameters": {"fast": 9, "slow": 3}}},
        "fast",
    ),
    "a symbol without part": (
        {"portfolio": {"allocation": "shares", "shares": {"XXX": 0.5}}},
        "portfolio.shares.XXX",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_change_is_one_sentence_and_leaves_the_journal(
    what: str, begun: tuple[Path, int]
) -> None:
    state, sequence = begun
    sections, sentence = REFUSED[what]

    with pytest.raises(ConfigError, match=sentence):
        lived(state, CUT, Opening("never"), **sections)

    with Journal.read(state) as journal:
        assert journal.sequence == sequence
        assert journal.all("SELECT count(*) FROM chapters") == [(0,)]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    state = tmp_path_factory.mktemp("begun")
    lived(state, 60)
    with Journal.read(state) as journal:
        return state, journal.sequence


def test_a_cost_that_is_left_out_again_has_to_be_said(tmp_path: Path) -> None:
    lived(tmp_path, 60)
    lived(tmp_path, 80, Opening("dear"), market={"taker_fee_rate": 0.002})

    with pytest.raises(ConfigError, match=r"market.taker_fee_rate: it was 0.002; say what it is now"):
        lived(tmp_path, 90, Opening("cheap"))


def test_a_name_is_used_once(tmp_path: Path) -> None:
    lived(tmp_path, 60)
    lived(tmp_path, 80, Opening("one"), **WIDER)

    with pytest.raises(ConfigError, match="one is called 'one' already"):
        lived(tmp_path, 90, Opening("one"), **CROSS)


def test_an_account_that_has_not_begun_has_no_chapter(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no account yet"):
        lived(tmp_path, 60, Opening("one"))
    warming = {"live": {"venue": "test", "symbols": ("AAA", "BBB"), "timeframe": "15m", "history_bars": 50}}
    lived(tmp_path, 0, **warming)

    with pytest.raises(ConfigError, match="has not opened yet"):
        lived(tmp_path, 60, Opening("one"), **{**warming, **WIDER})
