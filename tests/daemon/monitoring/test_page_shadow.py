"""What the API and the page tell of shadow records: sums and one curve of all models, and why there is nothing where there is nothing."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.journal.attempts import ShadowRow, write_shadows
from papertape.daemon.monitoring.api.account import ApiAccount, shadow_view
from papertape.daemon.monitoring.api.answers import ShadowView
from papertape.daemon.monitoring.api.routes import Api
from papertape.engine.candles import HOUR_MS
from papertape.engine.model.training.labels import SIGNAL
from tests.daemon.learning.test_calibration import SETTINGS
from tests.daemon.monitoring.test_api import serving
from tests.support.api import account, no_status
from tests.support.browser import browser_tab, needs_browser
from tests.support.journals import candles, filled
from tests.support.pages import looked_at

START_MS = 1_577_836_800_000  # 2020-01-01


def at(hours: int) -> int:
    return START_MS + hours * HOUR_MS


# Two models; the last trade of the first one ends when the second one has made its first.
FIRST = ShadowRow(1, 1, at(0), at(48), 40, 0, 2, 0.01, 0.69, 0.7, 1, f"[[{at(10)}, 0.03], [{at(52)}, 0.01]]")
SECOND = ShadowRow(
    2, 2, at(48), at(60), 3, 4, 2, -0.05, None, None, 0, f"[[{at(50)}, -0.04], [{at(55)}, -0.05]]"
)


@pytest.fixture
def facts(tmp_path: Path) -> ApiAccount:
    """Return the facts of an account with two models of which none trades."""
    state = tmp_path / "state"
    filled(state, candles(200))
    write(state, FIRST, SECOND)
    return account(state)._replace(learning=replace(SETTINGS, policy="shadow"))


def write(state: Path, *rows: ShadowRow) -> None:
    with Journal.open(state, 0) as journal:
        journal.commit([write_shadows(rows)])


def viewed(facts: ApiAccount) -> ShadowView:
    with Journal.read(facts.state) as journal:
        return shadow_view(journal, facts)


def test_all_models_are_added_up_and_their_curves_are_one_by_time(facts: ApiAccount) -> None:
    found = viewed(facts)

    assert (found.reason, found.policy, found.n_models) == ("", "shadow", 2)
    assert (found.since_ms, found.until_ms, found.trades) == (at(0), at(60), 4)
    assert found.net_return == pytest.approx(0.01 - 0.05)
    assert found.time_ms == (at(10), at(50), at(52), at(55))
    assert found.total_return == pytest.approx((0.03, 0.03 - 0.04, 0.01 - 0.04, 0.01 - 0.05))
    assert [(m.version, m.is_in_force, m.waiting) for m in found.models] == [(2, False, 4), (1, False, 0)]
    assert found.models[0].log_loss is None  # absent is not zero


def test_the_model_that_trades_is_named(facts: ApiAccount) -> None:
    with Journal.open(facts.state, 0) as journal:
        names = [row[1] for row in journal.all("PRAGMA table_info(models)")]
        values = {"version": 1, "sequence": 1}
        row = [values.get(name, 0) for name in names]
        marks = ", ".join("?" * len(row))
        journal.commit(
            [
                lambda j: j.connection.execute(f"INSERT INTO models VALUES ({marks})", row)  # noqa: S608
            ]
        )

    assert [model.is_in_force for model in viewed(facts).models] == [False, True]


def test_nothing_to_tell_has_its_reason_and_no_figure(tmp_path: Path) -> None:
    filled(tmp_path, candles(20))
    plain = account(tmp_path)
    signals = replace(SETTINGS, asks=SIGNAL)
    for learning, reason in (
        (None, "uses no model"),
        (SETTINGS, "no model was trained yet"),
        (signals, "whether a signal pays"),
    ):
        found = viewed(plain._replace(learning=learning))
        assert reason in found.reason
        assert (found.trades, found.net_return, found.since_ms) == (None, None, None)


@pytest.mark.asyncio
async def test_the_route_follows_a_record_that_moves(facts: ApiAccount) -> None:
    async with serving(Api(facts, no_status)) as http:
        for until_ms, trades in ((at(60), 4), (at(61), 5)):
            await asyncio.to_thread(write, facts.state, SECOND._replace(until_ms=until_ms, trades=trades - 2))
            async with http.get("/api/v1/shadow") as answer:
                found = ShadowView.model_validate_json(await answer.read())
            assert (found.until_ms, found.trades) == (until_ms, trades)


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_it_stands_beside_the_account_as_what_was_not_traded(facts: ApiAccount, tmp_path: Path) -> None:
    async with serving(Api(facts, no_status)) as http, browser_tab(tmp_path / "profile") as tab:
        await tab.open(str(http._base_url), 1280)
        await tab.until("$('model-shadow').querySelector('svg') !== null")
        # Of 3, -1, -3 and -4 %: a scale of round values.
        scale = "[...$('model-shadow').querySelectorAll('text')].map((text) => text.textContent)"
        assert (await tab.value(scale))[:-2] == ["-4 %", "-2 %", "0 %", "2 %"]
        beside = await tab.value("$('equity-shadow').textContent")
        assert "on paper and not in the account: -4.00 % of one stake" in beside
        assert "by policy shadow no model trades" in await tab.value("$('model-shadow').textContent")
        assert await tab.value("$('shadows').querySelector('tbody').rows.length") == 2
        scale = "moneyPlaces = 8, PAGE.equity.now(PAGE.status), PAGE.equity.line.priceFormatter().format(0.51234567)"
        assert await tab.value(scale) == "0.51234567"  # of an account in bitcoin
        await looked_at(tab)
        assert tab.errors == []
