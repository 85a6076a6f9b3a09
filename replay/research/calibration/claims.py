"""
What each statistic says of one history: whether it claims an edge at 5 %. All of them are called as the product calls them.

    PSR                 the probability that the Sharpe ratio is above 0 is at least 95 %
    DSR                 the same for the best of twenty trials, after their number
    PBO                 a probability of backtest overfitting of at most 5 %, of twenty trials
    step-down           at least one of twenty trials is found
    bootstrap interval  the 5 % quantile of the paths of blocks of days is above 0
    placebo             at most 5 % of placebos do as well as forty trades
    efficiency          the mean walk-forward efficiency of eight windows is above 0 at 5 %
    ledger verdict      what `papertape trials show` says of a search of twenty
    usual practice      what nobody should do: the best of twenty with an error for independent days, as if it were the only one
"""

import base64
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.performance.overfitting import overfitting, superior
from papertape.engine.performance.paths import drawn_paths, in_blocks
from papertape.engine.performance.placebo import PlacedTrades, placebo_test
from papertape.engine.performance.resampling import block_length, stretched
from papertape.engine.performance.significance import (
    expected_best_sharpe,
    has_moved_enough,
    probability_above,
    sharpe_error,
    sharpe_spread,
    sharpe_waves,
)
from papertape.replay.research.calibration.shapes import Random, history
from papertape.replay.research.trials.matrix import median_block, verdict
from papertape.replay.research.walkforward.efficiency import probability_of_more

Claim = Callable[[Random, str, float], bool]
LEVEL: Final = 0.05
N_DAYS: Final = 365
N_TRIALS: Final = 20
_PATHS: Final = 256
_PLACEBOS: Final = 256
_N_TRADES: Final = 40
_LONGEST: Final = 5  # days of a placebo's trade
_TRAIN, _TEST, _WINDOWS = 120, 60, 8
_FIRST_DAY: Final = 18_000


def _psr(random: Random, shape: str, edge: float) -> bool:
    returns = history(shape, random, N_DAYS, 1, edge)
    return _is_above(returns, 0, 0.0)


def _is_above(returns: FloatArray, place: int, threshold: float) -> bool:
    """Return whether the Sharpe ratio of one trial is above a threshold at 95 %; who hardly moved claims nothing."""
    if not has_moved_enough(returns)[place]:
        return False
    found, n = sharpe_waves(returns[:, place : place + 1]), len(returns)
    error = sharpe_error(found.waves[:, 0], n)
    return probability_above(float(found.sharpe[0]), threshold, error, n) >= 1.0 - LEVEL


def _dsr(random: Random, shape: str, edge: float) -> bool:
    returns = history(shape, random, N_DAYS, N_TRIALS, edge)
    sharpe = sharpe_waves(returns).sharpe
    threshold = expected_best_sharpe(N_TRIALS, float(sharpe.std(ddof=1)))
    return _is_above(returns, int(np.argmax(sharpe)), threshold)


def _dsr_mixed(random: Random, shape: str, edge: float) -> bool:
    """Return whether any trial is above where half of them saw sixty days alone, as windows of a walk-forward do."""
    returns = history(shape, random, N_DAYS, N_TRIALS, edge)
    trials = [returns[:, [k]] for k in range(N_TRIALS // 2)]
    for k in range(N_TRIALS // 2, N_TRIALS):
        start = int(random.integers(N_DAYS - _TEST + 1))
        trials.append(returns[start : start + _TEST, [k]])
    spread = sharpe_spread([(float(sharpe_waves(own).sharpe[0]), len(own)) for own in trials])
    best = expected_best_sharpe(N_TRIALS, spread or 0.0)
    return any(_is_above(own, 0, best / math.sqrt(len(own))) for own in trials)


def _pbo(random: Random, shape: str, edge: float) -> bool:
    returns = history(shape, random, N_DAYS, N_TRIALS, edge)
    found = overfitting(returns, block=median_block(returns))
    return found is not None and found.probability <= LEVEL


def _step_down(random: Random, shape: str, edge: float) -> bool:
    returns = history(shape, random, N_DAYS, N_TRIALS, edge)
    return superior(returns, seed=int(random.integers(1 << 30))).size > 0


def _interval(random: Random, shape: str, edge: float) -> bool:
    returns = history(shape, random, N_DAYS, 1, edge)[:, 0]
    block = block_length(returns)
    draw = in_blocks(stretched(returns, block), block)
    found = drawn_paths(draw, _PATHS, 0.5, int(random.integers(1 << 30)), 0)
    return float(np.quantile(found.total, LEVEL)) > 0.0


def _placebo(random: Random, shape: str, edge: float) -> bool:
    """Return what placebos say of trades at random times of a market of this shape; an edge is paid by every trade."""
    opens = np.concatenate(
        [[1.0], np.cumprod(1.0 + np.maximum(history(shape, random, N_DAYS, 1)[:, 0], -0.9))]
    )
    held = random.integers(1, _LONGEST + 1, _N_TRADES)
    free = N_DAYS - int(held.sum())
    entries = np.sort(random.integers(0, free + 1, _N_TRADES)) + np.cumsum(held) - held
    weight = np.where(random.random(_N_TRADES) < 0.5, 1.0, -1.0)
    own = weight * (opens[entries + held] / opens[entries] - 1.0)
    own += edge * float(own.std()) / math.sqrt(_N_TRADES)
    placed = PlacedTrades(opens, held, weight, np.zeros(_N_TRADES), own)
    found = placebo_test([placed], _PLACEBOS, int(random.integers(1 << 30)))
    return found is not None and found.probability <= LEVEL


def _efficiency(random: Random, shape: str, edge: float) -> bool:
    """Return what eight windows say, in each of which the best of twenty is chosen and gone on with."""
    returns = history(shape, random, _TRAIN + _WINDOWS * _TEST, N_TRIALS, edge)
    found = []
    for window in range(_WINDOWS):
        start = window * _TEST
        seen, then = np.split(returns[start : start + _TRAIN + _TEST], [_TRAIN])
        best = int(np.argmax(sharpe_waves(seen).sharpe))
        grew, grows = _annual(seen[:, best]), _annual(then[:, best])
        if grew > 0.0:
            found.append(grows / grew)
    probability = probability_of_more(found)
    return probability is not None and probability >= 1.0 - LEVEL


def _annual(returns: FloatArray) -> float:
    return math.expm1(float(np.log1p(np.maximum(returns, -0.99)).sum()) * 365.0 / len(returns))


def _verdict(random: Random, shape: str, edge: float) -> bool:
    returns = history(shape, random, N_DAYS, N_TRIALS, edge)
    texts = [
        f"{_FIRST_DAY}:1:{base64.b64encode(column.astype('<f4').tobytes()).decode()}" for column in returns.T
    ]
    return verdict(texts).is_claim


def _usual(random: Random, shape: str, edge: float) -> bool:
    returns = history(shape, random, N_DAYS, N_TRIALS, edge)
    best = float(sharpe_waves(returns).sharpe.max())
    return NormalDist().cdf(best * math.sqrt(N_DAYS - 1)) >= 1.0 - LEVEL


CLAIMS: Final[dict[str, Claim]] = {
    "PSR": _psr,
    "DSR": _dsr,
    "PBO": _pbo,
    "step-down": _step_down,
    "bootstrap interval": _interval,
    "placebo": _placebo,
    "efficiency": _efficiency,
    "ledger verdict": _verdict,
    "usual practice": _usual,
    "DSR mixed": _dsr_mixed,
}
UNJUDGED: Final = "usual practice"
