"""The report for those who do not see it or have no mouse: axe-core in light and dark, and everything by keyboard."""

from pathlib import Path

import pytest

from papertape.replay import Tape, backtest
from tests.support.accessibility import press, tabbed, violations
from tests.support.browser import browser_tab, needs_browser
from tests.support.every_order import EveryOrder
from tests.support.helpers import random_candles


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_axe_finds_no_violation_and_everything_is_reached_by_keyboard(tmp_path: Path) -> None:
    tape = Tape(random_candles(900, 3), "binance-usdm", "TEST", "1h", source="made in a test")
    result = backtest(tapes=[tape], strategy=EveryOrder(), report={"sensitivity": False})
    page = result.plot(tmp_path / "page.html")

    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(page, 1280)
        assert await tabbed(tab) == []
        await tab.value("$('candles').focus(), 1")
        await press(tab, "ArrowLeft")
        await tab.until("!$('why').hidden")
        for theme in ("light", "dark"):
            await tab.value(f"setTheme({theme!r}), 1")
            assert await violations(tab) == [], theme
        assert tab.errors == []
