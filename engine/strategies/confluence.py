"""
The default strategy: additive scores of three components, each in [-1, 1], and a bracket from volatility.

Technical score: the mean of four votes in [-1, 1], each squashed by x / (1 + |x|):

    trend       (fast EMA − slow EMA) ÷ ATR
    momentum    (RSI − 50) ÷ 15
    swing       MACD histogram ÷ (0.25 × ATR)
    strength    (+DI − −DI) ÷ 20, weighed by ADX ÷ 25 up to 1

The sum of the components, weighed and normalised over those that are present, decides the direction; its magnitude
is the confidence. The ML component is absent until a model exists, and so is the SMC component until its signals do:
their weight goes to what is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from engine.errors import ConfigError
from engine.jit import FloatArray, Row, Rows, kernel, record
from engine.records import FLAT, KEEP, LONG, SHORT
from engine.strategies.decisions import want

PARAMETERS: Final = record(
    ("threshold", "f8"),
    ("exit_threshold", "f8"),
    ("stop_atr", "f8"),
    ("target_atr", "f8"),
    ("is_short_allowed", "i8"),
)
STATE: Final = record(("bars", "i8"))

_FAST, _SLOW, _RSI, _HISTOGRAM, _ADX, _PLUS, _MINUS, _ATR = 0, 1, 2, 5, 6, 7, 8, 9


@kernel
def squash(x: float) -> float:
    """Return x / (1 + |x|): odd, monotone, within (-1, 1), and the same bits everywhere."""
    return x / (1.0 + abs(x))


@kernel
def technical_score(features: FloatArray, k: int) -> float:
    """Return the technical component at one close, in (-1, 1); NaN while a feature warms up."""
    atr = features[_ATR, k]
    if not atr > 0.0:
        return 0.0 * float(atr)  # NaN stays NaN; a market that does not move has no opinion
    trend = squash((features[_FAST, k] - features[_SLOW, k]) / atr)
    momentum = squash((features[_RSI, k] - 50.0) / 15.0)
    swing = squash(features[_HISTOGRAM, k] / (0.25 * atr))
    strength = squash((features[_PLUS, k] - features[_MINUS, k]) / 20.0)
    strength *= min(features[_ADX, k] / 25.0, 1.0)
    return (trend + momentum + swing + strength) / 4.0  # type: ignore[no-any-return]


@kernel
def decide(features: FloatArray, n: int, parameters: Row, decisions: Rows) -> None:
    """Enter above the threshold, leave when the score has turned, otherwise keep."""
    for k in range(n):
        score = technical_score(features, k)
        confidence = abs(score)
        target = KEEP
        if score > parameters.threshold:
            target = LONG
        elif score < -parameters.threshold:
            target = SHORT if parameters.is_short_allowed != 0 else FLAT
        elif confidence < parameters.exit_threshold:
            target = FLAT
        atr = features[_ATR, k]
        stop = parameters.stop_atr * atr
        want(decisions[k], target, stop, parameters.target_atr * atr, confidence, score)


@dataclass(slots=True)
class Confluence:
    """
    Additive confluence of components with a bracket of `stop_atr` and `target_atr` average true ranges.

    confidence_threshold  magnitude of the score above which it enters
    exit_threshold        magnitude below which it leaves before stop or target
    """

    confidence_threshold: float = 0.45
    exit_threshold: float = 0.1
    stop_atr: float = 2.0
    target_atr: float = 3.0
    allow_short: bool = True
    name: str = field(default="confluence", init=False)
    state_dtype: np.dtype[Any] = field(default=STATE, init=False)
    features: Sequence[str] = field(
        default=("ema_20", "ema_50", "rsi_14", "macd_12_26_9", "adx_14", "atr_14"), init=False
    )
    _parameters: Rows = field(default_factory=lambda: np.zeros(1, PARAMETERS), init=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.confidence_threshold < 1.0:
            value = self.confidence_threshold
            raise ConfigError(f"strategy.confidence_threshold: {value} is not between 0 and 1")
        if not 0.0 <= self.exit_threshold <= self.confidence_threshold:
            raise ConfigError(
                f"strategy.exit_threshold: {self.exit_threshold} is not between 0 and "
                f"confidence_threshold = {self.confidence_threshold}"
            )
        for name in ("stop_atr", "target_atr"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"strategy.{name}: {getattr(self, name)} is not above 0")
        self._parameters[0] = (
            self.confidence_threshold,
            self.exit_threshold,
            self.stop_atr,
            self.target_atr,
            int(self.allow_short),
        )

    def decide_batch(
        self, features: FloatArray, candles: Rows, n: int, state: Rows, decisions: Rows
    ) -> None:
        """Write `n` decisions."""
        decide(features, n, self._parameters[0], decisions)
