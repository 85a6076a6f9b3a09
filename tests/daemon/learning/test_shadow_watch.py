"""The service beside the trading: what it wrote is what the journal says, and what goes wrong is told once."""

import asyncio
from pathlib import Path

import pytest

from papertape.daemon.app import serve
from papertape.daemon.journal import InlineWriter, Journal
from papertape.daemon.journal.attempts import ShadowRow, ShadowTotal, begin_attempt, end_attempt
from papertape.daemon.journal.identity import Identity
from papertape.daemon.learning import shadow_watch
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.learning.shadow import shadow_records
from papertape.daemon.learning.shadow_watch import ShadowWatch
from papertape.daemon.runtime.daemon import Hooks
from papertape.engine.candles import HOUR_MS
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.settings import LearningSettings, settings_of
from tests.support.journals import SYMBOLS, Scripted, candles, identity, recorded

ROWS = candles(640)
WAITED = 620  # instants after which a test waits for the service: 155 hours
WAITED_MS = int(ROWS["open_ms"][0]) + WAITED // 4 * HOUR_MS


def about(state: Path) -> Identity:
    signals = {"use_smc": False, "retrain_every": "2d"}
    return identity(daemon={"state": str(state)}, signals=signals, learning={"policy": "shadow"})


def settings(account: Identity) -> LearningSettings:
    return settings_of(account.config, account.spec)


@pytest.mark.asyncio
async def test_a_running_daemon_writes_what_its_models_would_have_earned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_watch, "REST", 0.0)
    account, told = about(tmp_path), list[ShadowTotal]()
    caught_up, seen = asyncio.Event(), list[list[ShadowRow]]()

    def on_shadows(total: ShadowTotal) -> None:
        told.append(total)
        if total.until_ms == WAITED_MS:
            caught_up.set()

    async def hold(instant: int) -> None:
        if instant == WAITED:
            async with asyncio.timeout(60.0):
                await caught_up.wait()
            with Journal.open(tmp_path, 0) as journal:
                journal.commit([lambda j: j.connection.execute("UPDATE shadows SET is_settled = 0")])
                read = ModelStore(tmp_path / "models").read
                seen.append(shadow_records(journal, SYMBOLS, HOUR_MS, settings(account), read))

    refused = Scripted(dict.fromkeys(range(1, 9), "rejected"))
    hooks = Hooks(trainer=refused, on_shadows=on_shadows)
    feed = recorded(ROWS, 20, hold=hold)
    daemon = await serve(account, feed, hooks, is_virtual=True, has_jobs=True)

    assert int(daemon.engine.account[0].model_version) == 0  # none of it was traded by
    total = next(each for each in told if each.until_ms == WAITED_MS)
    assert total.newest == seen[0][-1]
    assert (total.models, total.trades) == (3, sum(row.trades for row in seen[0]))
    assert total.net_return == pytest.approx(sum(row.net_return for row in seen[0]))
    assert total.trades > 5


@pytest.mark.asyncio
async def test_what_goes_wrong_is_told_once(tmp_path: Path) -> None:
    """A model that the store has lost stops the record, and nothing else."""
    account, told = about(tmp_path), list[str]()
    lost = Attempt(1, 1, "schedule", "rejected", "", gate={"majority": 0.5})
    with Journal.open(tmp_path, 0) as journal:
        number, _ = journal.commit([begin_attempt(1, 1, "schedule", 0, 0), end_attempt(1, lost, 7, 0)])
        assert number == 1
        watch = ShadowWatch(
            tmp_path,
            InlineWriter(journal),
            ModelStore(tmp_path / "models"),
            SYMBOLS,
            HOUR_MS,
            settings(account),
            lambda total: pytest.fail("there is no record"),
            told.append,
        )
        await watch.look()
        await watch.look()

    (sentence,) = told
    assert sentence.startswith("the shadow record stands still: ")
    assert "there is no model 7" in sentence
