"""`prove` finds what is planted in each form of one's own features, and flags none that is honest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape import kernel_feature, table_feature
from papertape.engine.candles import HOUR_MS
from papertape.engine.errors import ConfigError, StrategyError
from papertape.engine.features.history import CLOSE
from papertape.replay.research.feature_subjects import feature_subject, given_subject
from papertape.replay.research.lookahead import Proof, prove
from tests.support.helpers import random_candles
from tests.support.own_features import FEATURES

CANDLES = random_candles(400, seed=60)
SEEN: list[float] = []


def proof_of(feature: Any, n: int = 400) -> Proof:
    return prove("x", given_subject(feature, "x", HOUR_MS), CANDLES[:n], 2)


@pytest.mark.parametrize("feature", FEATURES, ids=["kernel", "object", "table"])
def test_honest_features_pass(feature: Any) -> None:
    proof = proof_of(feature, 60)

    assert proof.leak is None
    assert proof.is_proven
    assert proof.cut_off == 58


@table_feature(look_back=9)
def centred(candles: Any) -> Any:
    """A window that is centred."""
    return candles["close"].rolling(9, center=True, min_periods=1).mean()


@table_feature(look_back=9)
def shifted(candles: Any) -> Any:
    """Tomorrow's close; at the newest candle there is none."""
    return candles["close"].shift(-1)


@table_feature(look_back=30)
def filled(candles: Any) -> Any:
    """Gaps filled from behind."""
    return candles["close"].where(candles["close"] > candles["open"]).bfill()


@pytest.mark.parametrize("feature", [centred, shifted, filled], ids=lambda f: f.name)
def test_a_function_that_knows_tomorrow_on_a_chart_is_found(feature: Any) -> None:
    proof = proof_of(feature)

    assert proof.leak is not None
    assert proof.leak.name == f"{feature.name} over the whole tape"


@table_feature(look_back=9)
def whole_mean(candles: Any) -> Any:
    """Less the mean of everything."""
    return candles["close"] - candles["close"].mean()


@table_feature(look_back=4)
def slow(candles: Any) -> Any:
    """An average that is longer than what it declares."""
    return candles["close"].ewm(span=20, adjust=False).mean()


@kernel_feature(look_back=2, name="ahead")
def ahead(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    for i in range(first, last):
        out[i - first] = history[CLOSE, min(i + 1, last - 1)]


@kernel_feature(look_back=2, name="far")
def far(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    for i in range(first, last):
        out[i - first] = history[CLOSE, i - 40] if count + i - first >= 40 else np.nan


class Cache:
    """Keeps the closes of everything in its module."""

    name = "cache"

    def update(self, candle: Any) -> float:
        SEEN.append(candle.close)
        return float(np.mean(SEEN))


class OfItself:
    """The same on itself."""

    name = "of_itself"

    def __init__(self) -> None:
        self.seen: dict[int, float] = {}

    def update(self, candle: Any) -> float:
        self.seen[candle.open_ms] = candle.close
        return max(self.seen.values())


@table_feature(look_back=4)
def cached(candles: Any) -> Any:
    """The same in a function."""
    SEEN.append(float(candles["close"].iloc[-1]))
    return candles["close"] * 0 + max(SEEN)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (whole_mean, "depends on more than look_back = 9 candles"),
        (slow, "depends on more than look_back = 4 candles"),
        (far, "reads more than the 2 candles of look_back = 2"),
        (Cache(), "it changed .*SEEN, which no snapshot finds"),
        (OfItself(), "it changed self.seen, which no snapshot finds"),
        (cached, "it changed .*SEEN, which no snapshot finds"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_keeps_or_reads_more_than_it_declares_is_refused(feature: Any, message: str) -> None:
    with pytest.raises(StrategyError, match=message):
        proof_of(feature)


def test_a_kernel_that_looks_ahead_inside_its_batch_is_found() -> None:
    try:
        proof = proof_of(ahead)
    except StrategyError as error:
        assert "after this one" in str(error)  # noqa: PT017 - either is right: found by the engine, or by the cuts
    else:
        assert proof.leak is not None


MODULE = """
from papertape import table_feature

class Last:
    name = "last"
    state_fields = ("before",)
    def update(self, candle):
        move, self.before = candle.close - self.before, candle.close
        return move

last = Last()

@table_feature(look_back=3)
def mean(candles):
    return candles["close"].rolling(3).mean()

def plain(candles):
    return candles["close"]
"""


@pytest.mark.slow
def test_a_path_names_any_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named_here.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)

    for name in ("last", "mean", "plain"):
        proof = prove(name, feature_subject(f"named_here:{name}", HOUR_MS), CANDLES[:60], 2)
        assert proof.is_proven
    with pytest.raises(ConfigError, match="named_here:Last is a type, neither a function"):
        prove("x", feature_subject("named_here:Last", HOUR_MS), CANDLES)
