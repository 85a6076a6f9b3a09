"""Features of somebody's own: what they are by hand, whatever the batches, restarts, symbols, timeframes."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from papertape.engine import Engine
from papertape.engine.errors import DataError
from papertape.engine.features import evaluate
from papertape.engine.features.own.base import looked_at_twice
from papertape.engine.features.own.kernels import kernel_feature
from papertape.engine.features.own.names import own_features
from papertape.engine.jit import Rows
from tests.support.helpers import interleave, random_candles
from tests.support.own_features import (
    FEATURES,
    Efficiency,
    Trader,
    by_hand,
    joined,
    spec_of,
    values_of,
    wilder,
)

NAMES = ("wilder", "efficiency", "stretch")


@cache
def tape(n: int, seed: int) -> Rows:
    return random_candles(n, seed=seed)


def two(n: int) -> Rows:
    return interleave([tape(n, 3), tape(n, 4)])


def run(spec: Any, candles: Rows, batch: int) -> Engine:
    engine = Engine(spec)
    for start in range(0, len(candles), batch):
        report = engine.step(candles[start : start + batch])
        assert not report.faults, report.faults[0]
    return engine


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_by_hand(name: str) -> None:
    candles = tape(600, 3)
    engine = run(spec_of(Trader()), candles, len(candles))

    expected = by_hand(candles["close"])[name]
    np.testing.assert_allclose(values_of(engine)[name], expected, rtol=1e-9, atol=1e-9)
    assert np.isfinite(expected).sum() > 500


def test_a_kernel_of_ones_own_is_the_built_in_of_the_same_work() -> None:
    candles = tape(600, 3)
    own = evaluate("wilder", candles, own={"wilder": wilder})

    np.testing.assert_allclose(own[0], evaluate("rsi_14", candles)[0], rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_longer_timeframe_is_what_its_candles_give_when_they_are_known(name: str) -> None:
    candles = tape(600, 3)
    engine = run(spec_of(Trader()), candles, len(candles))

    slow = by_hand(joined(candles, 4)["close"])[name]
    expected = np.concatenate([np.full(3, np.nan), np.repeat(slow, 4)])[:600]
    np.testing.assert_allclose(values_of(engine)[f"{name}@4h"], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_any_batching_gives_the_same_digest(batch: int) -> None:
    spec = spec_of(Trader(), ("AAA", "BBB"))
    whole = run(spec, two(300), 600)

    assert run(spec, two(300), batch).digest == whole.digest
    assert whole.account["sequence"][0] > 40


@pytest.mark.slow
def test_a_restart_at_any_candle_gives_the_same_digest_and_the_same_state() -> None:
    spec, candles = spec_of(Trader()), tape(90, 3)
    whole = run(spec, candles, 90)

    first = Engine(spec)
    for place in range(1, 90):
        first.step(candles[place - 1 : place])
        second = Engine(spec)
        second.restore(first.snapshot())
        second.step(candles[place:])
        assert second.digest == whole.digest, place
        assert second.snapshot() == whole.snapshot(), place


def test_every_symbol_has_a_state_of_its_own_whatever_it_is_called() -> None:
    spec = spec_of(Trader(), ("AAA", "BBB"))
    both = run(spec, two(200), 400)
    renamed = run(spec_of(Trader(), ("Y/USDT:USDT", "Z/USDT:USDT")), two(200), 64)

    assert renamed.digest == both.digest
    for symbol, seed in enumerate((3, 4)):
        alone = values_of(run(spec_of(Trader()), tape(200, seed), 200))
        for name, values in values_of(both, symbol).items():
            np.testing.assert_array_equal(values, alone[name])


def test_another_symbols_is_read_like_any_feature() -> None:
    strategy = Trader(others=("BBB:efficiency", "BBB:wilder@4h"))
    engine = run(spec_of(strategy, ("AAA", "BBB")), two(200), 400)
    alone = values_of(run(spec_of(Trader()), tape(200, 4), 200))

    found = values_of(engine, 0)
    np.testing.assert_array_equal(found["BBB:efficiency"], alone["efficiency"])
    np.testing.assert_array_equal(found["BBB:wilder@4h"], alone["wilder@4h"])


class Named:
    """Names features that the configuration brings."""

    features = ("stretch", "efficiency@4h")

    def decide(self, view: Any) -> None:
        return None


def test_what_the_configuration_brings_is_asked_for_by_name() -> None:
    candles = tape(200, 3)
    spec = spec_of(
        Named(), own_features=FEATURES, extra_features=("wilder",), model_features=("wilder", "stretch@4h")
    )
    found = values_of(run(spec, candles, 50))
    whole = values_of(run(spec, candles, 200))

    expected = by_hand(candles["close"])
    np.testing.assert_allclose(whole["wilder"], expected["wilder"], rtol=1e-9)
    np.testing.assert_allclose(whole["stretch"], expected["stretch"], rtol=1e-9, atol=1e-9)
    for name in ("wilder", "efficiency@4h", "stretch@4h"):
        np.testing.assert_array_equal(found[name], whole[name][-50:])


def test_the_first_candles_and_ever_rarer_ones_are_looked_at_twice_in_any_batching() -> None:
    whole = looked_at_twice(0, 5_000)

    assert whole == [0, *(2**k for k in range(13))]
    for size in (1, 2, 3, 64, 777):
        parts = [s + k for s in range(0, 5_000, size) for k in looked_at_twice(s, min(size, 5_000 - s))]
        assert parts == whole


@kernel_feature(look_back=2, state=[("gain", "f8"), ("loss", "f8")], parameters=(13,), name="wilder")
def _other(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    for i in range(first, last):
        out[i - first] = 0.0


@pytest.mark.parametrize(
    "features", [(wilder, Efficiency(9)), (_other, Efficiency())], ids=["another parameter", "another kernel"]
)
def test_a_snapshot_of_another_version_is_refused(features: Any) -> None:
    saved = run(spec_of(Trader((wilder, Efficiency()), ())), tape(50, 3), 50).snapshot()
    changed = Engine(spec_of(Trader(features, ())))

    with pytest.raises(DataError, match="another configuration or other sources"):
        changed.restore(saved)


def test_the_same_feature_twice_is_one() -> None:
    assert list(own_features(("ema_5", wilder, Efficiency(), wilder, Efficiency()))) == [
        "wilder",
        "efficiency",
    ]


def test_whoever_has_none_pays_nothing_for_them() -> None:
    spec = spec_of(Trader((), ("ema_9@4h",)))
    engine = run(spec, tape(50, 3), 50)

    assert all(lane._own is None for _, _, lane in engine.frames._each)
    assert engine.frames.faults.save()["feature_faults"].size == 0
    assert replace(spec, own_features=()).fingerprint() == spec.fingerprint()
