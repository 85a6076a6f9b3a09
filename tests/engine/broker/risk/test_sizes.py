"""Sizes by volatility and by Kelly's fraction, beside pandas' weighted means."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape.engine.broker.risk.sizes import SizeRules
from papertape.engine.errors import ConfigError
from papertape.engine.jit import Rows
from papertape.engine.records import (
    FLAT,
    LONG,
    REASON_ENTRY,
    REFUSED_NO,
    REFUSED_SIZE,
    REFUSED_VOLATILITY,
    SHORT,
)
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.replay.backtesting.run import replay
from papertape.replay.config import load_config
from tests.support.helpers import FREE, random_candles
from tests.support.portfolios import Portfolio, differences, run

PAGE = Path(__file__).parents[4] / "deploy" / "docs" / "sizing.md"
PERPETUAL = Market("X", **{**FREE, "is_perpetual": True})


class InAndOut:
    """Holds three candles long, three short, and is flat for one in between."""

    features: tuple[str, ...] = ()

    def decide(self, view: Any) -> Decision:
        place = view.time_ms // 3_600_000 % 8
        return Decision(FLAT if place in (3, 7) else LONG if place < 3 else SHORT)


class Buys(InAndOut):
    """The same way in by orders that leave the size to the account."""

    def decide(self, view: Any) -> None:
        if view.position:
            view.exit()
        else:
            view.buy()


def ran(candles: Rows, sizing: str, strategy: Any = None, **rules: Any) -> Any:
    settings = Settings(sizing, leverage_cap=100.0, cash_share=1.0)
    return replay(
        EngineSpec(
            [PERPETUAL], strategy or InAndOut(), "1h", "1h", 10_000.0, settings, sizes=SizeRules(**rules)
        ),
        [candles],
    )


def volatility(candles: Rows, half_life_bars: float) -> Any:
    """Return the yearly volatility known at each close, by pandas."""
    returns = pd.Series(candles["close"]).pct_change()
    return np.sqrt((returns**2).ewm(halflife=half_life_bars).mean() * 24 * 365).to_numpy()


def test_every_position_adds_the_same_volatility() -> None:
    candles = random_candles(300, 5)
    run = ran(candles, "volatility", target_volatility=0.3, volatility_days=0.5)

    known = volatility(candles, 12)
    opened = np.searchsorted(candles["open_ms"], run.trades["entry_ms"])
    wanted = 0.3 / known[opened - 1] * run.trades["equity_before"]
    assert len(opened) > 50
    np.testing.assert_allclose(run.trades["notional"], wanted, rtol=1e-8)
    # A full weight is 1 ÷ (1 − d) candles; half of it are the 12 returns of the first 13 candles.
    assert opened[0] == 13
    decisions = run.recorder.decisions
    early = decisions[decisions["time_ms"] < candles["open_ms"][13]]
    assert len(early) > 1
    assert set(early["refused"].tolist()) == {REFUSED_VOLATILITY}
    assert REFUSED_VOLATILITY not in decisions["refused"][len(early) :]


def test_a_price_that_never_moved_has_no_volatility() -> None:
    candles = random_candles(100, 5)
    for name in ("open", "high", "low", "close"):
        candles[name] = 100.0

    run = ran(candles, "volatility", volatility_days=0.5)

    assert not len(run.trades)
    assert set(run.recorder.decisions["refused"].tolist()) == {REFUSED_VOLATILITY}


def test_kelly_is_mean_by_mean_square_of_past_trades() -> None:
    candles = random_candles(600, 7)
    run = ran(candles, "kelly", kelly_trades=10, kelly_share=0.5, kelly_least=0.05, kelly_most=4.0)

    trades = run.trades
    gains = pd.Series(trades["pnl"] / trades["notional"])
    means, squares = (values.ewm(halflife=10).mean() for values in (gains, gains**2))
    kelly = (0.5 * means / squares).clip(0.05, 4.0).to_numpy()
    shares = trades["notional"] / trades["equity_before"]
    np.testing.assert_allclose(shares[:10], 0.25, rtol=1e-8)  # fixed_fraction
    np.testing.assert_allclose(shares[10:], kelly[9:-1], rtol=1e-6)  # gains are counted to 1e-9
    assert np.isclose(shares[10:], 0.05).any()
    assert (shares[10:] > 0.06).any()


def test_without_a_least_size_a_losing_record_opens_nothing() -> None:
    candles = random_candles(600, 7)
    run = ran(candles, "kelly", kelly_trades=10, kelly_least=0.0)

    trades, decisions = run.trades, run.recorder.decisions
    gains = pd.Series(trades["pnl"] / trades["notional"])
    assert gains.ewm(halflife=10).mean().iloc[-1] <= 0.0
    later = decisions[decisions["time_ms"] > trades["exit_ms"][-1]]
    # They rest as orders and find no size at the open, which is told once for each side.
    assert set(later["refused"][later["target"] != FLAT].tolist()) == {REFUSED_NO, REFUSED_SIZE}


@pytest.mark.parametrize("sizing", ["volatility", "kelly"])
def test_an_order_without_a_size_gets_what_a_decision_gets(sizing: str) -> None:
    candles = random_candles(200, 9)
    rules = {"volatility_days": 0.5, "target_volatility": 0.3, "kelly_trades": 5}
    run = ran(candles, sizing, Buys(), **rules)

    fills = run.recorder.fills
    entries = fills[fills["side"] > 0]
    assert len(entries) > 20
    # It is sized at the close before: on its equity and for its price, before the open is known.
    at = np.searchsorted(candles["open_ms"], entries["candle_ms"]) - 1
    marks = run.marks["equity"][at] / 1e9
    shares = entries["quantity"] * candles["close"][at] / marks
    if sizing == "volatility":
        np.testing.assert_allclose(shares, 0.3 / volatility(candles, 12)[at], rtol=1e-8)
        causes = run.recorder.orders["cause"]
        assert (causes == REFUSED_VOLATILITY).sum() == 12  # the first twelve closes ask in vain
        return
    gains = pd.Series(run.trades["pnl"] / run.trades["notional"])
    means, squares = (values.ewm(halflife=5).mean() for values in (gains, gains**2))
    kelly = (0.5 * means / squares).clip(0.02, 1.0).to_numpy()
    np.testing.assert_allclose(shares[5:], kelly[4 : len(shares) - 1], rtol=1e-6)


NAMES = ({"A": "A", "B": "B", "C": "C"}, {"A": "Z", "B": "M", "C": "B"}, {"A": "C", "B": "A", "C": "B"})


@pytest.mark.parametrize("sizing", ["volatility", "kelly"])
def test_names_batches_and_a_restart_change_nothing(sizing: str) -> None:
    tapes = {name: random_candles(120, seed) for seed, name in enumerate("ABC")}
    portfolio = Portfolio(
        tapes,
        {name: {**FREE, "is_perpetual": True} for name in "ABC"},
        Settings(sizing, leverage_cap=5.0),
        capital=10_000.0,
        sizes=SizeRules(volatility_days=0.5, target_volatility=0.3, kelly_trades=3),
    )
    told, _ = run(portfolio, NAMES[0], strategy=InAndOut())

    assert (told.fills["reason"] == REASON_ENTRY).sum() > 30
    for names in NAMES[1:]:
        assert not differences(told, run(portfolio, names, strategy=InAndOut())[0])
    for batch, restart in ((1, False), (17, True)):
        again, _ = run(portfolio, NAMES[0], strategy=InAndOut(), batch=batch, restart=restart)
        assert not differences(told, again)


@pytest.mark.parametrize(
    "change",
    ["target_volatility=0", "volatility_days=nan", "kelly_share=1.5", "kelly_trades=1", "kelly_least=-1"],
)
def test_what_no_size_can_mean_is_refused(change: str) -> None:
    name, value = change.split("=")

    with pytest.raises(ConfigError, match=f"account.{name}"):
        load_config(None, [f"account.{change}"])
    with pytest.raises(ConfigError, match=f"account: {name}"):
        SizeRules(**{name: float(value)})


def test_the_page_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    example = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]

    exec(compile(example, PAGE.name, "exec"), {})  # noqa: S102 - our own page

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["fraction", "volatility", "kelly"]
    assert lines[0].split()[1:4] == ["0.25", "…", "0.25"]
