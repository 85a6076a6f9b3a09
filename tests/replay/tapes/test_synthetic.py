"""Seeded markets: always labelled, always tradable, and with exactly the structure that was planted."""

import math
from pathlib import Path

import numpy as np
import pytest

from papertape.engine.candles import FLAG_SYNTHETIC
from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray
from papertape.replay.tapes.quality import measure
from papertape.replay.tapes.store import Tape, read_tape, write_tape
from papertape.replay.tapes.synthetic import KINDS, START_MS, synthesize


def log_returns(tape: Tape) -> FloatArray:
    values: FloatArray = np.log(tape.candles["close"] / tape.candles["open"])
    return values


@pytest.mark.parametrize("kind", KINDS)
def test_every_market_is_labelled_tradable_and_without_gaps(kind: str) -> None:
    tape = synthesize(kind, 70_000, "15m", 3)

    q = measure(tape.candles, "15m")

    assert tape.venue == "synthetic"
    assert f"synthetic {kind}, seed 3" in tape.source
    assert (tape.candles["flag_bits"] == FLAG_SYNTHETIC).all()
    assert (q.bad_rows, q.conflicts) == (0, 0)
    assert (q.gaps, q.duplicates, q.zero_volume) == (0, 0, 0)
    assert q.first_ms == START_MS
    assert np.array_equal(tape.candles["open"][1:], tape.candles["close"][:-1])


def test_equal_seeds_give_equal_bytes_and_others_do_not() -> None:
    first, same, other = (synthesize("regimes", 500, seed=seed) for seed in (1, 1, 2))

    assert first.sha256 == same.sha256 != other.sha256


def test_noise_has_the_stated_volatility_and_no_memory() -> None:
    returns = log_returns(synthesize("noise", 100_000, volatility=0.01))

    # Standard errors over 100,000: 0.22 % of σ, 0.0032 for a correlation.
    assert math.isclose(returns.std(), 0.01, rel_tol=0.01)
    assert abs(np.corrcoef(returns[1:], returns[:-1])[0, 1]) < 0.013


def test_planted_edge_is_there_in_the_stated_size() -> None:
    returns = log_returns(synthesize("edge", 100_000, edge=0.25))

    hits = np.mean(np.sign(returns[1:]) == np.sign(returns[:-1]))

    assert abs(np.corrcoef(returns[1:], returns[:-1])[0, 1] - 0.25) < 0.013
    assert abs(hits - (0.5 + math.asin(0.25) / math.pi)) < 0.007


def test_a_pattern_is_known_from_two_signs_and_from_nothing_simpler() -> None:
    returns = log_returns(synthesize("pattern", 100_000, edge=0.4))
    sign = np.sign(returns)

    # Standard errors over 100,000: 0.0015 for a share, 0.0032 for a correlation.
    assert abs(np.mean(sign[2:] == sign[1:-1] * sign[:-2]) - 0.7) < 0.006
    assert abs(np.mean(sign == 1.0) - 0.5) < 0.01
    for lag in (1, 2):
        assert abs(np.corrcoef(returns[lag:], returns[:-lag])[0, 1]) < 0.013


def test_garch_has_quiet_and_loud_times_and_nothing_to_find_in_the_sign() -> None:
    returns = log_returns(synthesize("garch", 100_000, volatility=0.01))

    # Long-run variance σ² and, for α = 0.1 and β = 0.85, a lag-one correlation of squares of (Bollerslev, 1986)
    # α (1 − αβ − β²) ÷ (1 − 2αβ − β²). Squares of fat tails are known roughly.
    assert math.isclose(returns.std(), 0.01, rel_tol=0.05)
    theory = 0.1 * (1.0 - 0.085 - 0.7225) / (1.0 - 0.17 - 0.7225)
    assert abs(np.corrcoef(returns[1:] ** 2, returns[:-1] ** 2)[0, 1] - theory) < 0.06
    assert abs(np.corrcoef(returns[1:], returns[:-1])[0, 1]) < 0.02


def test_jumps_and_regimes_have_fatter_tails_than_noise() -> None:
    def kurtosis(kind: str) -> float:
        returns = log_returns(synthesize(kind, 50_000))
        return float(np.mean((returns - returns.mean()) ** 4) / returns.var() ** 2)

    assert abs(kurtosis("noise") - 3.0) < 0.2
    assert kurtosis("regimes") > 4.0
    assert kurtosis("jumps") > 10.0


def test_a_synthetic_tape_stays_flagged_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_tape(synthesize("noise", 10), path)

    assert (read_tape(path).candles["flag_bits"] == FLAG_SYNTHETIC).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "nois"}, "did you mean 'noise'"),
        ({"n": 0}, "rows: 0 is not between"),
        ({"n": 10_000_001}, "is not between 1 and 10,000,000"),
        ({"edge": 1.0}, "edge: 1.0 is not between"),
        ({"price": -1.0}, "price must be above 0"),
        ({"timeframe": "7m"}, "unknown timeframe"),
    ],
)
def test_impossible_parameters_are_refused(change: dict[str, object], words: str) -> None:
    arguments: dict[str, object] = {"kind": "noise", "n": 10, **change}

    with pytest.raises(DataError, match=words):
        synthesize(**arguments)  # type: ignore[arg-type] # wrong on purpose
