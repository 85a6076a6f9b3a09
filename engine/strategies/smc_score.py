"""
The Smart Money component: one score in [-1, 1] from the columns of `smc`, and a bracket that uses structure.

Four parts, each in [-1, 1], positive for higher prices:

    bias      0.35   where structure points: 0.5 higher timeframe + 0.3 swing + 0.2 internal trend. The higher timeframe
                     comes first; all three agreeing is worth 1
    reaction  0.25   0.6 for a candle that reached a live zone (block or gap, either timeframe) and closed back,
                     0.4 for a leg that is in its entry zone (62 … 79 % given back)
    sweep     0.25   liquidity taken, then a displacement the other way: its body ÷ 3 ATR up to 1, fading over the ten
                     candles after the sweep; half as much for a market structure shift without one
    value     0.15   1 - 2 × position in the trailing range: discount is cheap, premium dear

The weights say what the literature agrees on (trend before trigger, trigger before price) and nothing more: no public
test shows an edge of these concepts after costs. `papertape study` measures them on a tape; the model weighs them anew.
"""

from typing import Final

from papertape.engine.features.smc.columns import (
    DISPLACED,
    ENTRY,
    FARTHEST,
    LEVEL_ABOVE,
    LEVEL_BELOW,
    POOL_ABOVE,
    POOL_BELOW,
    POSITION,
    REACTION,
    SHIFT_UP_BARS,
    STOP_ABOVE,
    STOP_BELOW,
    SWEEP_UP_BARS,
    TREND_HIGHER,
    TREND_INTERNAL,
    TREND_SWING,
    UNIT,
)
from papertape.engine.jit import FloatArray, kernel

BIAS_WEIGHT: Final = 0.35
REACTION_WEIGHT: Final = 0.25
SWEEP_WEIGHT: Final = 0.25
VALUE_WEIGHT: Final = 0.15

_FADE_BARS: Final = 10.0
_FULL_BODY: Final = 3.0  # ATR: a displacement that counts whole
_STOP_BEYOND: Final = 0.1  # ATR past the far edge of the zone
_LEAST_STOP: Final = 0.5  # ATR: closer stops are noise
_MOST_STOP: Final = 5.0


@kernel
def sweep_part(features: FloatArray, k: int, base: int) -> float:
    """Return what recent sweeps with displacement say, in [-1, 1]."""
    total = 0.0
    body = features[base + DISPLACED, k]
    for number in range(2):
        side = 1.0 - 2.0 * number
        since = features[base + SWEEP_UP_BARS + number, k]
        if since >= _FADE_BARS:
            continue
        strength = min(max(side * body / _FULL_BODY, 0.0), 1.0)
        if strength == 0.0 and features[base + SHIFT_UP_BARS + number, k] <= since:
            strength = 0.5
        total += side * strength * (1.0 - since / _FADE_BARS)
    return total


@kernel
def smc_score(features: FloatArray, k: int, base: int) -> float:
    """
    Return the Smart Money component at column `k`, in [-1, 1]; NaN while it warms up.

    base  row of the first column of `smc` in `features`
    """
    bias = (
        0.5 * features[base + TREND_HIGHER, k]
        + 0.3 * features[base + TREND_SWING, k]
        + 0.2 * features[base + TREND_INTERNAL, k]
    )
    reaction = 0.6 * features[base + REACTION, k] + 0.4 * features[base + ENTRY, k]
    value = 1.0 - 2.0 * features[base + POSITION, k]
    return (  # type: ignore[no-any-return]
        BIAS_WEIGHT * bias
        + REACTION_WEIGHT * reaction
        + SWEEP_WEIGHT * sweep_part(features, k, base)
        + VALUE_WEIGHT * value
    )


@kernel
def structure_bracket(features: FloatArray, k: int, base: int, side: int) -> tuple[float, float]:
    """
    Return (stop distance, target distance) in quote per base for an entry on `side`; 0 where structure offers none.

    The stop lies just beyond the far edge of the nearest block behind, the target at the opposing liquidity: the nearest
    pool, otherwise the nearest level, if it pays at least the risk.
    """
    atr = features[base + UNIT, k]
    behind = STOP_BELOW if side > 0 else STOP_ABOVE
    pool = POOL_ABOVE if side > 0 else POOL_BELOW
    level = LEVEL_ABOVE if side > 0 else LEVEL_BELOW
    stop = features[base + behind, k]
    if not stop < _MOST_STOP or not atr > 0.0:
        return 0.0, 0.0
    stop = max(stop + _STOP_BEYOND, _LEAST_STOP)
    target = features[base + pool, k]
    if target >= FARTHEST or target < stop:
        target = features[base + level, k]
    if target >= FARTHEST or target < stop:
        target = 0.0
    return stop * atr, target * atr
