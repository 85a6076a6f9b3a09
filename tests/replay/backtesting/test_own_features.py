"""A backtest with features of somebody's own, from the strategy and from the configuration."""

from typing import Any

import pytest

import papertape
from papertape.engine.errors import StrategyError
from tests.support.helpers import random_candles
from tests.support.own_features import Efficiency, Trader, wilder

QUIET: dict[str, Any] = {"use_ml": False, "report": {"sensitivity": False, "random_draws": 0}}


def tape() -> papertape.Tape:
    return papertape.Tape(random_candles(400, 3), "binance-usdm", "T", "1h")


def test_a_strategy_trades_on_its_own_features() -> None:
    result = papertape.backtest(tape(), strategy=Trader, **QUIET)

    assert len(result.trades) > 5


class Loud(Efficiency):
    """Says what it is shown."""

    def update(self, candle: Any) -> float:
        print("shown", candle.open_ms)  # noqa: T201
        return super().update(candle)


class Reader:
    features = (Loud(), wilder)

    def decide(self, view: Any) -> None:
        return None


def test_each_candle_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    papertape.backtest(tape(), strategy=Reader, **QUIET)

    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("shown")]
    assert len(shown) == len(set(shown)) == 400


class Broken(Efficiency):
    """Has no value at one candle."""

    name = "broken"

    def update(self, candle: Any) -> Any:
        return "none" if super().update(candle) > 0.5 else 0.0


class Fragile:
    features = (Broken(),)

    def decide(self, view: Any) -> None:
        return None


def test_a_replay_ends_at_the_first_value_that_is_none() -> None:
    message = r"Fragile: T, candle closed 2020-\S+Z: feature broken: it returned 'none', which is no number"
    with pytest.raises(StrategyError, match=message):
        papertape.backtest(tape(), strategy=Fragile, **QUIET)
