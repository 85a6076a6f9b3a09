"""Calibration on the page, in a real browser: the counts of the API drawn, and a reason where there is nothing to draw."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.learning.calibration import calibration_of
from papertape.daemon.monitoring.api import account as account_module
from papertape.daemon.monitoring.api.account import ApiAccount
from papertape.daemon.monitoring.api.answers import CalibrationView
from papertape.daemon.monitoring.api.routes import Api
from papertape.engine.candles import HOUR_MS
from tests.daemon.learning.test_calibration import SETTINGS, journal_with, made
from tests.daemon.monitoring.test_api import serving
from tests.support.api import account, no_status
from tests.support.browser import browser_tab, needs_browser
from tests.support.journals import SYMBOLS, candles, filled
from tests.support.pages import looked_at, strangers


@pytest.fixture
def facts(tmp_path: Path) -> ApiAccount:
    """Return the facts of an account whose journal has trades and what two models said."""
    state = tmp_path / "state"
    filled(state, candles(500))
    journal_with(state, made(300)[0])
    return account(state)._replace(timeframe_ms=HOUR_MS, learning=SETTINGS)


@pytest.mark.asyncio
async def test_the_route_tells_counts_or_why_there_are_none(facts: ApiAccount) -> None:
    for one, reason in ((facts, ""), (facts._replace(learning=None), "this account uses no model")):
        async with serving(Api(one, no_status)) as http, http.get("/api/v1/calibration") as answer:
            assert answer.status == 200
            found = CalibrationView.model_validate_json(await answer.read())
        assert found.reason == reason
        assert bool(sum(bucket.rows for bucket in found.buckets)) == (not reason)
    assert facts.symbols == SYMBOLS


@pytest.mark.asyncio
async def test_it_is_made_anew_when_another_prediction_came_and_not_before(
    facts: ApiAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_made = 0

    def counted(*arguments: Any) -> Any:
        nonlocal n_made
        n_made += 1
        return calibration_of(*arguments)

    monkeypatch.setattr(account_module, "calibration_of", counted)
    async with serving(Api(facts, no_status)) as http:
        before = await _asked(http)
        assert (await _asked(http), n_made) == (before, 1)
        last = "SELECT max(rowid) FROM predictions"
        for statement in (
            f"UPDATE predictions SET time_ms = time_ms + {HOUR_MS} WHERE rowid = ({last})",  # noqa: S608
            f"DELETE FROM predictions WHERE rowid = ({last})",  # noqa: S608
        ):
            await asyncio.to_thread(_change, facts.state, statement)
            after = await _asked(http)
            assert after != before
            before = after
    assert n_made == 3


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_it_is_drawn_with_counts_in_light_and_dark_wide_and_narrow(
    facts: ApiAccount, tmp_path: Path
) -> None:
    async with serving(Api(facts, no_status)) as http, browser_tab(tmp_path / "profile") as tab:
        await tab.call("Network.enable")
        await tab.open(str(http._base_url), 1280)
        await tab.until("$('model-reliability').querySelector('svg') !== null")
        told = CalibrationView.model_validate(await _asked(http))
        filled_buckets = [bucket for bucket in told.buckets if bucket.rows]
        drawn = await tab.value("$('model-reliability').querySelectorAll('circle').length")
        assert drawn == len(filled_buckets) > 1
        rows = json.loads(
            await tab.value(
                "JSON.stringify([...$('model-scores').querySelector('tbody').rows].map((row) => [...row.cells].map((cell) => cell.textContent)))"
            )
        )
        assert [(name, count) for name, _, _, count in rows] == [
            (bucket.name, f"{bucket.rows:,}") for bucket in filled_buckets
        ]
        words = await tab.value("$('model-reliability').textContent")
        assert f"{told.waiting} wait for their outcome" in words
        assert f"of {told.unknown} it cannot be told" in words
        await looked_at(tab)
        assert tab.errors == []
        assert strangers(tab, str(http._base_url)) == []


def _change(state: Path, statement: str) -> None:
    with Journal.open(state, 0) as journal:
        journal.commit([lambda j: j.connection.execute(statement)])


async def _asked(http: aiohttp.ClientSession) -> object:
    async with http.get("/api/v1/calibration") as answer:
        return await answer.json()
