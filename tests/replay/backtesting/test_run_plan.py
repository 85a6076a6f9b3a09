"""The plan of a run: accounts that stand beside it have the results of runs of their own, and what is off is not run."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.events import Action, Command
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Confluence, EmaCross, make_strategy
from papertape.replay import Tape, backtest
from papertape.replay.backtesting.run import replay
from papertape.replay.tapes.quality import brief, measure
from papertape.replay.tapes.synthetic import synthesize
from tests.support.helpers import random_candles

HOUR_MS = 3_600_000


def spec_of(strategy: Any, n_symbols: int, timeframe: str) -> EngineSpec:
    markets = [Market(name, is_perpetual=True) for name in ("A", "B", "C")[:n_symbols]]
    return EngineSpec(markets, strategy, timeframe, "1h", 10_000.0, Settings("all_in"))


@pytest.mark.parametrize("timeframe", ["1h", "4h"])
@pytest.mark.parametrize("n_symbols", [1, 3])
def test_a_follower_has_the_results_of_a_run_of_its_own(n_symbols: int, timeframe: str) -> None:
    spec = spec_of(EmaCross(), n_symbols, timeframe)
    candles = [random_candles(5_000, seed) for seed in range(n_symbols)]
    later = replace(spec.settings, latency_bars=2)
    others = {
        "dear": replace(spec, markets=[replace(m, taker_fee_rate=0.004) for m in spec.markets]),
        "late": replace(spec, settings=later),
    }
    start = int(candles[0]["open_ms"][0])
    told = [
        (start + 900 * HOUR_MS, Command(Action.FLATTEN)),
        (start + 1_000 * HOUR_MS, Command(Action.SCALE, 0.5)),
        (start + 2_000 * HOUR_MS, Command(Action.PAUSE)),
        (start + 2_100 * HOUR_MS, Command(Action.RESUME)),
    ]

    together = replay(spec, candles, events=told, followers=others)

    alone = replay(spec, candles, events=told)
    assert together.engine.digest == alone.engine.digest
    assert together.trades.tobytes() == alone.trades.tobytes()
    for name, other in others.items():
        own = replay(other, candles, events=told)
        assert len(own.trades) > 20
        assert together.others[name].trades.tobytes() == own.trades.tobytes()
        np.testing.assert_array_equal(together.others[name].marks["equity"], own.recorder.marks["equity"])
    assert together.others["dear"].trades.tobytes() != alone.trades.tobytes()


class InPython:
    """Buys after a rise and is shown its account."""

    features = ("ema_12", "ema_26")

    def decide(self, view: Any) -> Any:
        from papertape.engine.strategies.protocol import Decision

        return Decision(target=int(view["ema_12"] > view["ema_26"]))


def test_a_strategy_that_sees_its_account_runs_again_for_another() -> None:
    from papertape.engine.errors import ConfigError

    spec = spec_of(InPython(), 1, "1h")

    with pytest.raises(ConfigError, match="shown its account"):
        replay(spec, [random_candles(100, 1)], followers={"other": spec})


def test_sensitivity_is_the_same_in_either_way() -> None:
    tape = Tape(random_candles(3_000, 5), "binance-usdm", "TEST", "1h")
    common: dict[str, Any] = {"retrain_every": "never", "account": {"sizing": "all_in"}}

    kernel = backtest(tapes=[tape], strategy="ema_cross", **common)
    python = backtest(tapes=[tape], strategy=f"{__name__}:InPython", **common)

    assert kernel.metrics["trades"] == python.metrics["trades"]
    assert kernel.summary["sensitivity"] == python.summary["sensitivity"]
    assert [row["name"] for row in kernel.summary["sensitivity"]] == [
        "as configured",
        "costs ×2",
        "one 1h candle later",
    ]


def test_what_is_off_is_not_there_and_changes_nothing_else() -> None:
    tape = Tape(random_candles(3_000, 5), "binance-usdm", "TEST", "1h")
    common: dict[str, Any] = {"tapes": [tape], "strategy": "ema_cross", "retrain_every": "never"}
    account = {"sizing": "all_in"}
    off = {"sensitivity": False, "benchmarks": False, "random_draws": 0, "regimes": False}

    whole = backtest(**common, account=account)
    bare = backtest(**common, account=account, report=off)

    assert bare.digest == whole.digest
    assert bare.metrics == whole.metrics
    assert bare.summary["benchmarks"] == {}
    assert bare.summary["sensitivity"] == []
    assert "regime" not in bare.summary["breakdown"]
    assert set(bare.trades["regime"]) == {""}
    assert set(whole.summary["benchmarks"]) == {"buy_and_hold", "always_flat", "random_entry"}
    assert whole.summary["benchmarks"]["random_entry"]["draws"] == 200
    assert len(set(whole.trades["regime"])) > 2


@pytest.mark.parametrize("kind", ["jumps", "regimes", "noise"])
def test_the_brief_of_a_tape_is_that_of_its_whole_measure(kind: str) -> None:
    candles = synthesize(kind, 3_000, "1h", seed=3).candles.copy()
    candles["volume"][10:13] = 0.0
    candles["flag_bits"][100:110] |= 1
    candles = np.delete(candles, [500, 501, 502, 900])
    whole = measure(candles, "1h")

    found = brief(candles, "1h")

    assert (found.gaps, found.missing) == (whole.gaps, whole.missing) == (2, 4)
    assert found.zero_volume == whole.zero_volume == 3
    assert found.extreme_moves == whole.extreme_moves
    assert dict(found.flags) == {name: n for name, n in whole.flags.items() if n}
    assert found.flags["flat-filled"] == 10


def test_confluence_is_followed_too() -> None:
    spec = replace(
        spec_of(Confluence(use_ml=False, use_smc=False, confidence_threshold=0.3), 1, "1h"),
        settings=Settings("risk", 0.01),
    )
    candles = [random_candles(3_000, 8)]
    other = replace(spec, settings=replace(spec.settings, latency_bars=1))

    together = replay(spec, candles, followers={"late": other})

    own = replay(other, candles)
    assert len(own.trades) > 10
    assert together.others["late"].trades.tobytes() == own.trades.tobytes()
    assert make_strategy("confluence", {}).features
