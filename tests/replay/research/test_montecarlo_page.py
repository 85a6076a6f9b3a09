"""What the page of Monte Carlo draws: fans and histograms against numpy, tables against the result, and the page in a real browser."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape import backtest, montecarlo
from papertape.engine.performance.paths import PIECE, Curves, drawn_paths, in_blocks
from papertape.replay.research.montecarlo.draws import MonteCarlo
from papertape.replay.research.montecarlo.fans import LEVELS, fan_of, histogram
from papertape.replay.research.montecarlo.page import FANS, HISTOGRAMS, PAGE, write_montecarlo
from papertape.replay.tapes.synthetic import synthesize
from tests.support.browser import browser_tab, needs_browser
from tests.support.pages import opened_narrow_and_wide

QUIET: dict[str, Any] = {"use_ml": False, "report": {"sensitivity": False, "random_draws": 0}}


@pytest.fixture(scope="module")
def found() -> MonteCarlo:
    tape = synthesize("regimes", 1_000, "1h", seed=5, symbol="SYNTH")
    given = {"strategy": "ema_cross", "account": {"sizing": "all_in"}, **QUIET}
    return montecarlo(data=tape, paths=300, markets=14, delay=3, noise=0, workers=1, **given)


def embedded(page: Path) -> Any:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]


def test_a_fan_is_the_quantiles_of_all_accounts_on_their_way() -> None:
    returns = np.random.default_rng(4).normal(0.0, 0.03, 250)
    returns[7] = -1.2  # ruin: what is lost stays lost
    draw = in_blocks(returns, 6.0)
    curves = Curves.over(300, 250)

    with_curves = drawn_paths(draw, 300, 0.5, 7, 3, curves)
    fan = fan_of(curves, returns[:7])

    drawn = [draw(np.random.default_rng([7, 3, piece]), PIECE) for piece in range(2)]
    equity = np.maximum(1.0 + np.concatenate(drawn)[:300], 0.0).cumprod(axis=1)
    equity = np.concatenate([np.ones((300, 1)), equity], axis=1)
    assert (fan.places[0], fan.places[-1], len(fan.places)) == (0, 250, 120)
    np.testing.assert_allclose(curves.equity, equity[:, fan.places], rtol=1e-12)
    for level, band in zip(LEVELS, fan.bands, strict=True):
        np.testing.assert_allclose(band, np.quantile(equity[:, fan.places], level, axis=0))
    np.testing.assert_allclose(with_curves.total, equity[:, -1] - 1.0, rtol=1e-9, atol=1e-12)
    assert with_curves.total.min() == -1.0
    assert not len(fan.paths)
    alone = drawn_paths(draw, 300, 0.5, 7, 3)
    np.testing.assert_array_equal(alone.total, with_curves.total)


def test_a_few_paths_are_drawn_one_by_one() -> None:
    curves = Curves.over(12, 5)
    curves.equity[:] = np.linspace(0.5, 1.5, 12)[:, None]

    fan = fan_of(curves, None)

    np.testing.assert_array_equal(fan.paths, curves.equity)
    assert fan.own is None
    assert len(fan_of(Curves.over(13, 5), None).paths) == 0


def test_a_histogram_counts_every_path_once() -> None:
    values = np.random.default_rng(1).normal(size=1_000)

    bins = histogram(values, 9.0)

    assert (bins.edges[0], bins.edges[-1]) == (values.min(), 9.0)
    for low, high, count in zip(bins.edges[:-2], bins.edges[1:-1], bins.counts, strict=False):
        assert count == np.count_nonzero((values >= low) & (values < high))
    assert bins.counts.sum() == 1_000
    same = histogram(np.full(20, -0.25) + 1e-15 * np.arange(20), -0.25)
    assert (len(same.edges), same.counts.tolist()) == (2, [20])


def test_page_and_tables_are_the_result(found: MonteCarlo, tmp_path: Path) -> None:
    page = write_montecarlo(tmp_path / "out", found)

    assert page == tmp_path / "out" / PAGE
    data = embedded(page)
    told = {row["kind"]: row for row in found.to_json()["kinds"]}
    assert [kind["kind"] for kind in data["kinds"]] == list(told)
    fans, bins = (pd.read_parquet(tmp_path / "out" / name) for name in (FANS, HISTOGRAMS))
    table = found.table
    for kind in data["kinds"]:
        name, row = kind["kind"], told[kind["kind"]]
        assert {key: kind[key] for key in row} == row
        paths = table[table["kind"] == name]
        own = fans[fans["kind"] == name]
        # The last point of a fan is the quantile of the ends, whoever computed them.
        for level, band in zip(LEVELS, kind["fan"]["bands"], strict=True):
            assert band[-1] == pytest.approx(np.quantile(paths["total"], level), abs=1e-6)
            assert own[f"q{level * 100:02.0f}"].iloc[-1] == pytest.approx(1.0 + band[-1], abs=1e-6)
        for figure in ("total", "drawdown", "underwater"):
            chosen = bins[(bins["kind"] == name) & (bins["figure"] == figure)]
            assert chosen["paths"].sum() == len(paths)
            assert chosen["paths"].tolist() == kind["ends"][figure]["counts"]
            assert chosen["low"].min() <= paths[figure].min() <= paths[figure].max()
    assert found.placebo is not None
    assert data["placebo"]["probability"] == found.placebo.probability
    assert sum(data["placebo"]["ends"]["score"]["counts"]) == 300
    assert any("SYNTHETIC DATA" in sentence for sentence in data["head"]["sentences"])
    assert not re.search(r"(src|href)=[\"']?http|@import", page.read_text())


def test_the_run_itself_is_what_its_metrics_say(found: MonteCarlo) -> None:
    tape = synthesize("regimes", 1_000, "1h", seed=5, symbol="SYNTH")
    metrics = backtest(tape, strategy="ema_cross", account={"sizing": "all_in"}, **QUIET).metrics

    kinds = {kind.name: kind for kind in found.kinds}
    for name in ("order of trades", "blocks of days", "whole markets", "delays"):
        kind = kinds[name]
        assert kind.own is not None
        assert kind.fan.own is not None
        assert kind.own.total[0] == pytest.approx(metrics["total_return"], rel=1e-9)
        assert kind.fan.own[-1] == pytest.approx(1.0 + metrics["total_return"], rel=1e-9)


def test_nothing_drawn_is_no_page(found: MonteCarlo, tmp_path: Path) -> None:
    assert write_montecarlo(tmp_path, MonteCarlo("x", found.options, [], {"delays": "none"})) is None
    assert list(tmp_path.iterdir()) == []


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_page_is_drawn_narrow_and_wide_and_asks_nobody(found: MonteCarlo, tmp_path: Path) -> None:
    page = write_montecarlo(tmp_path / "out", found)
    assert page is not None
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.call("Network.enable")
        await opened_narrow_and_wide(tab, page)
        many = [kind for kind in found.kinds if not len(kind.fan.paths)]
        count = "document.querySelectorAll('%s').length"
        assert await tab.value(count % "#kinds .middle") == len(many) == 5
        assert await tab.value(count % "#kinds .path") == 3
        assert await tab.value(count % "#placebo svg.bins") == 2
        # What is drawn, taken back through the picture's scale (10 … 306 px from the highest to the lowest value).
        ends = await tab.value(
            "[...document.querySelectorAll('#kinds .middle')].map((p) => Number(p.getAttribute('d').split(' ').pop()))"
        )
        for kind, y in zip(many, ends, strict=True):
            assert kind.fan.own is not None
            every = np.append(kind.fan.bands, kind.fan.own[None, :], axis=0) - 1.0
            low, high = min(0.0, every.min()), max(0.0, every.max())
            value = low + (306.0 - y) / 296.0 * (high - low)
            assert value == pytest.approx(np.median(kind.paths.total), abs=0.06 * (high - low) / 296)
        assert tab.errors == []
        assert all(url.startswith("file:") for url in tab.requests)
