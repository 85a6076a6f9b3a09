"""The page: everything in it, nothing loaded from elsewhere, the same candles after unpacking, and a real browser."""

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.engine.performance.curve import CurveColumns
from papertape.engine.records import UNITS_PER_QUOTE
from papertape.replay import Result, Tape, backtest
from papertape.replay.report.data import (
    curve_points,
    decimals_of,
    equity_curve,
    pack_candles,
    pack_integers,
    plain_values,
)
from papertape.replay.report.page import report_parts, write_report
from tests.support.browser import CUT, browser_tab, needs_browser, open_in_browser
from tests.support.helpers import random_candles
from tests.support.packed import unpack_candles, unpack_integers


@pytest.fixture(scope="module")
def result() -> Result:
    """Return a year of hours with a few hundred trades."""
    tape = Tape(random_candles(8_760, 3), "binance-usdm", "TEST", "1h", source="made in a test")
    return backtest(tapes=[tape], confidence_threshold=0.3, retrain_every="never")


class Page(HTMLParser):
    """Collects what a page loads, and its embedded data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.data = ""
        self._is_data = False
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids.add(values.get("id") or "")
        self.scripts += tag == "script"
        self._is_data = tag == "script" and values.get("id") == "data"
        for name in ("src", "href"):
            if values.get(name) and tag != "a":
                self.loaded.append(str(values[name]))

    def handle_data(self, data: str) -> None:
        if self._is_data:
            self.data += data

    def handle_endtag(self, tag: str) -> None:
        self._is_data = False


def test_page_holds_every_section_and_loads_nothing(result: Result) -> None:
    text = result.report()
    page = Page(text)

    assert {
        "candles",
        "equity",
        "monthly",
        "breakdown",
        "sensitivity",
        "benchmarks",
        "trades",
        "metrics",
        "portfolio",
        "account-events",
    } <= page.ids
    assert page.loaded == []
    assert not re.search(r"@import|url\(\s*['\"]?http", text)
    assert "TradingView, Inc." in text
    assert len(text) < 5_000_000


def test_embedded_data_is_the_result(result: Result) -> None:
    data = json.loads(Page(result.report()).data)

    assert data["summary"] == json.loads(json.dumps(result.summary))
    assert data["trades"]["pnl"] == pytest.approx(result.trades["pnl"].tolist(), rel=1e-9)
    assert data["trades"]["entry"][5] == result.trades["entry_time"][5].timestamp()
    assert None in data["trades"]["stop_price"] or min(data["trades"]["stop_price"]) > 0


@pytest.mark.parametrize("scale", [1.0, 1e-5, 640.0])
def test_candles_come_back_as_they_were(scale: float) -> None:
    candles = random_candles(500, 4)
    for name in ("open", "high", "low", "close"):
        candles[name] = np.round(candles[name] * scale, 8)

    back = unpack_candles(pack_candles(candles))

    np.testing.assert_array_equal(back["time"], candles["open_ms"] // 1000)
    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(back[name], candles[name], rtol=1e-8)
    # A chart shows three digits of a volume.
    np.testing.assert_allclose(back["volume"], candles["volume"], rtol=0.0051)


@pytest.mark.parametrize("price", [3e9, 2e11, 1e100])
def test_prices_beyond_int32_are_packed_in_tens(price: float) -> None:
    # A bitcoin costs about 1e11 rial. Packed are at least eight digits, for 2**30 has nine.
    candles = random_candles(500, 8)
    scale = price / candles["open"][0]
    for name in ("open", "high", "low", "close"):
        candles[name] *= scale

    back = unpack_candles(pack_candles(candles))

    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(back[name], candles[name], rtol=1e-7)


def test_one_absurd_wick_does_not_end_the_report() -> None:
    candles = random_candles(50, 8)
    candles["high"][10] = 1e300

    back = unpack_candles(pack_candles(candles))

    assert back["high"][10] == pytest.approx(1e300, rel=1e-6)


def test_a_candle_without_volume_has_none() -> None:
    candles = random_candles(3, 4)
    candles["volume"] = [0.0, 12_345.0, 0.000_678_9]

    back = unpack_candles(pack_candles(candles))

    assert back["volume"] == pytest.approx([0.0, 12_300.0, 0.000_679])


def test_decimals_are_those_that_are_needed() -> None:
    assert decimals_of(np.array([1.0, 2.0])) == 0
    assert decimals_of(np.array([30_000.25, 2.5])) == 2
    assert decimals_of(np.array([0.00002853])) == 8
    # int32 leaves room for four decimals of a price of 100,000
    assert decimals_of(np.array([100_000.123456])) == 4


def test_integers_come_back() -> None:
    for values in ([], [0], [-128, 127], [-129, 5], [0, 128], [-(2**15), 2**15 - 1], [2**15, 0]):
        assert unpack_integers(pack_integers(np.array(values, np.int64))).tolist() == values
    wide = np.array([0, -5, 2**30, -(2**31), 2**31 - 1])
    assert unpack_integers(pack_integers(wide)).tolist() == wide.tolist()


def test_integers_take_the_bytes_that_the_largest_needs() -> None:
    assert [pack_integers(np.array([n]))[0] for n in (-128, 128, 40_000)] == ["1", "2", "4"]


def test_values_of_a_list_are_cut_to_ten_digits() -> None:
    column = np.array([1.0 / 3.0, -12_345_678.123_456_789, np.nan, 0.0, 1e-9 / 7.0, np.inf])

    found = plain_values(column)

    assert found == [0.3333333333, -12_345_678.12, None, 0.0, 1.428571429e-10, None]
    assert plain_values(np.array([3, 4])) == [3, 4]


def test_fewer_points_hide_no_drawdown() -> None:
    random = np.random.default_rng(1)
    worth = 10_000 * np.exp(np.cumsum(random.normal(0, 0.001, 200_000)))
    worth[123_456] *= 0.3  # one candle's spike
    time_ms = 1_577_836_800_000 + 60_000 * np.arange(len(worth))
    marks = CurveColumns(time_ms=time_ms, equity=worth * UNITS_PER_QUOTE)
    peak = np.maximum.accumulate(np.maximum(worth, 10_000))

    drawn = equity_curve(marks, {}, 10_000.0)

    assert len(drawn["time"]) < 20_000
    assert min(drawn["equity"]) == pytest.approx(worth.min(), abs=1e-4)
    assert max(drawn["equity"]) == pytest.approx(worth.max(), abs=1e-4)
    assert min(drawn["drawdown"]) == pytest.approx((worth / peak - 1).min(), abs=1e-6)
    assert np.all(np.diff(drawn["time"]) > 0)
    np.testing.assert_array_equal(curve_points(worth[:100]), np.arange(100))


def test_a_curve_in_bitcoin_has_the_decimals_of_its_amounts() -> None:
    marks = CurveColumns(
        time_ms=60_000 * np.arange(3), equity=np.array([500_000_010, 512_345_670, 499_999_990])
    )

    assert equity_curve(marks, {}, 0.5)["equity"] == [0.50000001, 0.51234567, 0.49999999]


def test_text_from_data_cannot_become_markup(result: Result) -> None:
    evil = "</script><script>alert(1)</script>"
    summary = {**result.summary, "symbols": [evil], "strategy": evil, "name": evil}
    plain = Page(result.report())

    parts = report_parts(summary, result.traded, result.marks, {evil: result.candles["TEST"]})
    page = Page("".join(parts))

    assert page.scripts == plain.scripts
    assert json.loads(page.data)["summary"]["symbols"] == [evil]


NO_MARKS = CurveColumns(time_ms=np.zeros(0, np.int64), equity=np.zeros(0, np.int64))


@pytest.mark.slow
def test_a_year_of_minutes_stays_small_and_quick(tmp_path: Path) -> None:
    candles = random_candles(525_600, 5, "1m")
    worth = 10_000 * UNITS_PER_QUOTE * candles["close"] / candles["close"][0]
    marks = CurveColumns(time_ms=candles["open_ms"] + 60_000, equity=worth)
    started = time.perf_counter()

    write_report(tmp_path / "r.html", {"capital": 10_000.0}, {}, marks, {"X": candles})

    assert (tmp_path / "r.html").stat().st_size < 9_000_000
    assert time.perf_counter() - started < 60
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


@needs_browser
def test_a_real_browser_draws_it(result: Result, tmp_path: Path) -> None:
    page = result.plot(tmp_path / "page.html")

    dom = open_in_browser(page, tmp_path / "profile", "?trade=3&theme=dark")

    assert 'data-ready="yes"' in dom
    assert "data-errors" not in dom
    assert 'data-theme="dark"' in dom
    assert dom.count("<canvas") >= 4
    assert "Trade 3, " in dom
    assert f"{len(result.trades)} trades, page 1 of" in dom


@needs_browser
def test_the_page_says_where_its_configuration_comes_from(tmp_path: Path) -> None:
    summary = {"config": {"report": {"origin": "By hand.\n<b>papertape</b> sweep"}}}
    for name, content in (("said", summary), ("not", {"config": {"report": {"origin": None}}})):
        write_report(tmp_path / f"{name}.html", content, {}, NO_MARKS, {})

    said, silent = (open_in_browser(tmp_path / f"{n}.html", tmp_path / n) for n in ("said", "not"))

    assert (
        '<section id="origin" class="quiet"><p>By hand.</p><p>&lt;b&gt;papertape&lt;/b&gt; sweep</p>' in said
    )
    assert re.search(r'<section id="origin"[^>]* hidden', silent)


@needs_browser
def test_a_browser_draws_what_inputs_are_worth_and_in_how_many_models(tmp_path: Path) -> None:
    def attempt(inputs: list[str], lower: float | None) -> dict[str, Any]:
        group = {"inputs": inputs, "value": 0.0021, "lower": lower, "upper": 0.0035}
        return {
            "due_ms": 0,
            "outcome": "rejected",
            "record": {},
            "gate": {"worth": {"rows": 1_234, "groups": [group]}},
        }

    both = ["rsi_14", "mfi_14"]
    attempts = [attempt(both, 0.0004), attempt(["rsi_14"], 0.0004), attempt(both, None)]
    attempts[-1]["gate"]["selection"] = {"rsi_14": 1.0, "mfi_14": 0.9, "adx_14": 0.2}
    write_report(tmp_path / "page.html", {"model": {"attempts": attempts}}, {}, NO_MARKS, {})

    dom = open_in_browser(tmp_path / "page.html", tmp_path / "profile")

    assert "data-errors" not in dom
    assert '<td class="words">rsi_14, mfi_14</td><td>+2.10</td>' in dom
    assert "– … +3.50" in dom
    assert "1 of 3" in dom
    assert "1,234 rows" in dom
    assert "It reads 2 of 3 inputs" in dom


@needs_browser
def test_a_browser_draws_a_page_with_nothing_in_it(tmp_path: Path) -> None:
    write_report(tmp_path / "page.html", {}, {}, NO_MARKS, {})

    dom = open_in_browser(tmp_path / "page.html", tmp_path / "profile")

    assert 'data-ready="yes"' in dom
    assert "data-errors" not in dom
    assert "No candle was replayed." in dom
    assert "no trade" in dom


@needs_browser
@pytest.mark.asyncio
async def test_nothing_is_cut_on_a_screen_on_a_phone_or_on_paper(result: Result, tmp_path: Path) -> None:
    page = result.plot(tmp_path / "page.html")

    async with browser_tab(tmp_path / "profile") as tab:
        for width, medium in ((1440, "screen"), (390, "screen"), (1040, "print")):
            await tab.call("Emulation.setEmulatedMedia", media=medium)
            await tab.open(page, width)
            assert await tab.value("document.scrollingElement.scrollWidth") <= width, medium
            assert await tab.value(CUT) == [], (width, medium)
        printed = await tab.printed()

    assert tab.errors == []
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Subtype /Image") >= 2  # a picture of each chart


@needs_browser
@pytest.mark.asyncio
async def test_ranges_and_zoom_decide_how_finely_candles_are_drawn(result: Result, tmp_path: Path) -> None:
    page = result.plot(tmp_path / "page.html")

    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(page, 1440)
        whole = await tab.value("document.getElementById('level').textContent")
        names = await tab.value("[...document.querySelectorAll('#ranges button')].map((b) => b.textContent)")
        await tab.value("document.querySelectorAll('#ranges button')[1].click()")
        week = await tab.value("document.getElementById('level').textContent")
        legend = await tab.value("document.getElementById('legend').textContent")
        scale = await tab.value(
            "[2, 8].map((n) => { moneyPlaces = n; return new EquityView().equity.priceFormatter().format(0.51234567); })"
        )
        told = await tab.value(
            "['distribution', 'rolling', 'years', 'falls'].map((id) => document.getElementById(id).childElementCount > 0)"
        )

    assert tab.errors == []
    assert whole.startswith("8,760 candles of 1h, 2 drawn as one; zoom in to see each")
    assert names == ["1 D", "1 W", "1 M", "3 M"]  # a year of hours has no longer part
    assert week == "8,760 candles of 1h"
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\dO [\d.,]+H [\d.,]+L [\d.,]+C [\d.,]+", legend)
    assert "Vol " in legend
    assert told == [True] * 4
    assert scale == ["0.51", "0.51234567"]  # of an account in bitcoin


@needs_browser
@pytest.mark.asyncio
async def test_the_browser_itself_keeps_the_page_off_the_net(result: Result, tmp_path: Path) -> None:
    """Whatever a page would ask for elsewhere, its own policy refuses."""
    page = result.plot(tmp_path / "page.html")
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(page, 1440)
        assert tab.errors == []
        asked = await tab.call(
            "Runtime.evaluate",
            expression="fetch('http://127.0.0.1:9/').then(() => 'came', (error) => error.name)",
            awaitPromise=True,
            returnByValue=True,
        )
        assert asked["result"]["value"] == "TypeError"
        refused = [line for line in tab.errors if "Content Security Policy" in line]
        assert refused
