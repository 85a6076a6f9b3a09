"""The page of a walk-forward says what its result says, and draws it in a real browser that asks nobody."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape import backtest
from papertape.replay.research.walkforward.page import PAGE, doubts_of
from papertape.replay.research.walkforward.result import WalkResult
from papertape.replay.research.walkforward.windows import Plan
from tests.replay.research.walkforward.test_walkforward import TAPE, walk
from tests.support.browser import browser_tab, needs_browser
from tests.support.pages import opened_narrow_and_wide


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> WalkResult:
    return walk(tmp_path_factory.mktemp("walk") / "a", embargo="1d")


def embedded(page: Path) -> Any:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]


def test_page_says_what_the_result_says(found: WalkResult) -> None:
    assert found.page == found.folder / PAGE
    data = embedded(found.page)

    for row, told in zip(found.rows, data["windows"], strict=True):
        window = row.window
        spans = [window.train_ms, window.seen_ms, window.test_ms, window.end_ms]
        assert [told[name] * 1000 for name in ("train", "seen", "test", "end")] == spans
        assert told["test"] - told["seen"] == found.plan.gap_ms // 1000 > 86_400
        assert told["chosen"] == [str(value) for value in row.chosen.values()]
        assert (told["in_sample"], told["out_of_sample"]) == (row.in_sample, row.out_of_sample)
        # 0 for the first of six, 1 for the last.
        assert told["plateau_place"] == (row.plateau_rank - 1) / 5
        assert told["peak_place"] == (row.peak_rank - 1) / 5
    assert np.mean([told["peak_place"] for told in data["windows"]]) == data["places"]["peak"]
    for axis, name in zip(data["axes"], ("fast", "slow"), strict=True):
        chosen = [row.chosen[f"strategy.parameters.{name}"] for row in found.rows]
        assert [int(axis["labels"][place]) for place in axis["places"]] == chosen
    assert data["head"]["sentences"][-1] == doubts_of(found)[-1]
    assert data["figures"][0] == ["total return", "percent", found.metrics["total_return"]]
    assert not re.search(r"(src|href)=[\"']?http|@import", found.page.read_text())


def test_the_account_is_drawn_from_the_first_switch_to_the_last_test(found: WalkResult) -> None:
    assert found.page is not None
    account = embedded(found.page)["account"]

    equity = backtest(TAPE, config=found.config).equity.set_index("time")["equity"]
    equity.index = equity.index.tz_convert(None).astype("datetime64[s]").astype(np.int64)
    first, last = found.rows[0].window.test_ms // 1000, found.rows[-1].window.end_ms // 1000
    assert (account["time"][0], account["time"][-1]) == (first + 3_600, last)
    assert account["capital"] == equity[first]
    np.testing.assert_allclose(account["equity"], equity[account["time"]], atol=1e-4)
    grown = account["equity"][-1] / account["capital"] - 1.0
    assert grown == pytest.approx(found.metrics["total_return"], abs=1e-8)
    opens = TAPE.candles["open_ms"] // 1000
    bought = TAPE.candles["close"][opens == first][0]
    assert account["hold"][-1] / account["capital"] == pytest.approx(
        TAPE.candles["close"][opens == last - 3_600][0] / bought, rel=1e-6
    )


def test_what_was_checked_is_told(found: WalkResult) -> None:
    assert found.page is not None
    chosen, replayed, account, gap, digest = embedded(found.page)["checks"]

    assert chosen.startswith("Windows 0, 1, 3: chosen again")
    assert "ends where its training does" in replayed
    assert account.startswith("Windows 1, 3: the account replayed on a tape that ends")
    assert "24 h of embargo" in gap
    assert found.digest[:16] in digest


def test_a_position_longer_than_the_gap_is_a_doubt(found: WalkResult) -> None:
    short = WalkResult(
        found.folder,
        "sharpe",
        "peak",
        Plan(1, 1, 0, 0, False),
        1,
        {},
        metrics={"maximum_trade_duration_s": 1.0},
    )

    assert doubts_of(short)[0].startswith("the longest position is longer than")
    wide = replace(short, plan=Plan(1, 1, 600, 400, False))  # a second, to the ms
    assert not any("longest" in line for line in doubts_of(wide))


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_page_is_drawn_narrow_and_wide_and_asks_nobody(found: WalkResult, tmp_path: Path) -> None:
    assert found.page is not None
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.call("Network.enable")
        await opened_narrow_and_wide(tab, found.page)
        drawn = "document.querySelectorAll('%s').length"
        for part in ("#strip .train", "#strip .gap", "#strip .test", "#account .switch"):
            assert await tab.value(drawn % part) == len(found.rows)
        assert await tab.value(drawn % "#chosen circle") == 2 * len(found.rows)
        assert await tab.value(drawn % "#ranks .diamond") == len(found.rows)
        # The height of each diamond is its place, from 10 for 1 (the last) to 226 for 0 (the best).
        heights = await tab.value(
            "[...document.querySelectorAll('#ranks .diamond')].map((d) => Number(d.getAttribute('d').match(/^M\\S+ ([^L]+)L/)[1]))"
        )
        for row, y in zip(found.rows, heights, strict=True):
            assert (226.0 - y) / 216.0 == pytest.approx((row.plateau_rank - 1) / 5, abs=1e-6)
        assert tab.errors == []
        assert all(url.startswith("file:") for url in tab.requests)
