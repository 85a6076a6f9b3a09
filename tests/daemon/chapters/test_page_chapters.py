"""The page of an account with a chapter, in a real browser: marked on the curve, and what it came to."""

import asyncio
from pathlib import Path

import pytest

from papertape.daemon.chapters.figures import figures_of
from papertape.daemon.chapters.opening import Opening
from papertape.daemon.journal import Journal
from papertape.daemon.monitoring.api.routes import Api
from tests.daemon.chapters.test_chapters import CROSS, CUT, lived
from tests.daemon.monitoring.test_api import serving
from tests.support.api import account, no_status
from tests.support.browser import browser_tab, needs_browser

pytestmark = [needs_browser, pytest.mark.slow]


def test_it_is_marked_on_the_curve_and_told(tmp_path: Path) -> None:
    state = tmp_path / "state"
    lived(state, CUT)
    lived(state, 600, Opening("<b>cross</b>"), **CROSS)
    with Journal.read(state) as journal:
        chapter = figures_of(journal)[1]

    async def looked() -> tuple[str, list[float], int]:
        api = Api(account(state), no_status)
        async with serving(api) as http, browser_tab(tmp_path / "profile") as tab:
            await tab.open(str(http._base_url), 1280)
            await tab.until("$('chapters').children.length > 0")
            marks = "PAGE.equity.marks.markers().map((mark) => mark.time)"
            return (
                await tab.value("$('chapters').textContent"),
                await tab.value(marks),
                await tab.value("$('chapters').querySelectorAll('b').length"),
            )

    text, marks, n_bold = asyncio.run(looked())

    assert marks == [chapter["begins_ms"] / 1000]
    assert n_bold == 0  # a name is text
    assert "chapter “<b>cross</b>” from 2020-01-05 04:00 UTC: equity " in text
    assert f"{chapter['equity_before']:,.2f} → {chapter['equity_after']:,.2f}, " in text
    assert "changed: " in text
