"""Candles that nobody traded in: a tape of them is refused, told it is replayed, and fills in them are counted."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.records import FILL
from papertape.replay.backtesting.run import run_backtest
from papertape.replay.config import make_config
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.untraded import fills_without_volume, sentence
from tests.support.helpers import random_candles


def config(**data: Any) -> Any:
    return make_config(
        {
            "strategy": {"name": "ema_cross", "parameters": {"fast": 3, "slow": 8}},
            "account": {"sizing": "all_in"},
            "signals": {"use_ml": False},
            "report": {"sensitivity": False, "study": False},
            "data": data,
        }
    )


def tape(volume: float | None = None, symbol: str = "AAA") -> Tape:
    rows = random_candles(300, 5)
    if volume is not None:
        rows["volume"] = volume
    return Tape(rows, "delta-india", symbol, "1h")


@pytest.mark.parametrize(
    "given",
    [tape(0.0), tape(1.0, "MARK:BTCUSD"), replace(tape(), kind="mark")],
    ids=["no volume", "symbol", "kind"],
)
def test_a_tape_that_nobody_trades_on_is_refused_unless_told(given: Tape) -> None:
    with pytest.raises(ConfigError, match=r"--set data\.no_volume=trade"):
        run_backtest(config(), [given])

    result = run_backtest(config(no_volume="trade"), [given])

    n = len(result.fills)
    assert n > 0
    untraded = n if not given.candles["volume"].any() else 0
    assert result.summary["fills_without_volume"] == untraded
    said = [text for text in result.summary["doubts"] if "candles without volume" in text]
    assert len(said) == (1 if untraded else 0)


def test_fills_in_candles_without_volume_are_counted_by_hand() -> None:
    rows = random_candles(6, 1)
    other = random_candles(4, 2)
    rows["volume"][[1, 3]] = 0.0
    fills = np.zeros(4, FILL)
    fills["candle_ms"] = [*rows["open_ms"][[1, 2, 3]], other["open_ms"][1]]
    fills["symbol"] = [0, 0, 0, 1]

    assert fills_without_volume(fills, [rows, other]) == 2
    assert fills_without_volume(fills[:0], [rows, other]) == 0
    assert sentence(0, 4) == []
    assert sentence(2, 4)[0].startswith("2 of 4 fills")
