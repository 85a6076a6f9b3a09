"""Where profit comes from, on the page: what the engine's own attribution says of the same trades."""

import json
from pathlib import Path

import numpy as np
import pytest

from papertape.daemon.monitoring.api.routes import Api
from papertape.engine.performance import attribution
from papertape.engine.records import UNITS_PER_QUOTE
from tests.daemon.monitoring.test_api import serving
from tests.support.api import account, no_status
from tests.support.browser import browser_tab, needs_browser
from tests.support.journals import candles, filled

SCORES = ("score_model", "score_smc", "score_technical")
TRADE = np.dtype([("pnl", "i8"), *((name, "f8") for name in SCORES)])
# Beside what was traded: a score against its trade, scores that cancel, scores that are none.
MADE = [
    {"pnl": 10.0, "score_model": 0.5, "score_smc": -0.3, "score_technical": 0.1},
    {"pnl": -7.0, "score_model": 0.5, "score_smc": -0.5, "score_technical": 0.0},
    {"pnl": 3.0, "score_model": None, "score_smc": 0.2, "score_technical": 0.1},
]


@pytest.fixture
def api(tmp_path: Path) -> Api:
    """Return the API of an account that has traded."""
    filled(tmp_path / "state", candles(500))
    return Api(account(tmp_path / "state"), no_status)


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_parts_are_those_of_the_engine_and_add_up(api: Api, tmp_path: Path) -> None:
    async with serving(api) as http, browser_tab(tmp_path / "profile") as tab:
        await tab.open(str(http._base_url), 1280)
        await tab.until("PAGE.trades.rows.length > 5 && $('breakdown').querySelector('table') !== null")
        rows = json.loads(await tab.value("JSON.stringify(PAGE.trades.rows)")) + MADE
        found = json.loads(await tab.value(f"JSON.stringify(attributed({json.dumps(rows)}))"))
        told = await tab.value("$('breakdown').textContent")
        assert tab.errors == []

    trades = np.array(
        [
            (
                round(row["pnl"] * UNITS_PER_QUOTE),
                *(np.nan if row[name] is None else row[name] for name in SCORES),
            )
            for row in rows
        ],
        TRADE,
    )
    parts = {name: values.sum() / UNITS_PER_QUOTE for name, values in attribution(trades).items()}
    assert found == pytest.approx(parts, abs=1e-6)
    assert found["unattributed"] == pytest.approx(-4.0)
    assert sum(found.values()) == pytest.approx(sum(row["pnl"] for row in rows))
    assert all(word in told for word in ("AAA", "BBB", "long", "short", "technical"))
