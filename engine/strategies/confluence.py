"""
The default strategy: additive scores of three components, each in [-1, 1], and a bracket from volatility.

Technical score: the mean of four votes in [-1, 1], each squashed by x / (1 + |x|):

    trend       (fast EMA − slow EMA) ÷ ATR
    momentum    (RSI − 50) ÷ 15
    swing       MACD histogram ÷ (0.25 × ATR)
    strength    (+DI − −DI) ÷ 20, weighed by ADX ÷ 25 up to 1

ML score: (2p − 1) ÷ `ml_full_edge`, within ±1, of the model's calibrated probability p that the price rises: an honest
model of markets seldom leaves the middle, and its 0.6 must not count like a fifth of an opinion. SMC score: see `smc_score`.

The sum of the components, each times its weight's share of the weights that are present, decides the direction; its
magnitude is the confidence. A component is absent while its score is NaN (no model, a feature that warms up) or while it
is switched off: its weight goes to what is there. The three contributions that a decision carries add up to its score.

The model need not be a component (`model_use`). As a filter it has no weight: what the others want to enter it lets through
where its score on that side is at least `ml_floor`. As a sizer it gives their entries the share of their size that its score
on that side is, nothing below 0. An entry that it does not let through decides nothing: what is held goes on with its bracket.
Without an opinion it is absent, and the others enter as if it were switched off.

A filter or a sizer may be asked another question (`model_asks`): not which side pays, but whether the signal that the others
give pays after costs. Its score is then that of the entry, whichever its side, and its zero is where a bracket's gains and
losses even out: p = stop ÷ (stop + target) in place of one half. What a trade costs is in the answer.
Source: M. López de Prado, Advances in Financial Machine Learning (2018), section 3.6: one model for the side, one for the size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.jit import FloatArray, Row, Rows, kernel, record
from papertape.engine.model.training.labels import QUESTIONS, SIDE, SIGNAL
from papertape.engine.records import FLAT, KEEP, LONG, SHORT
from papertape.engine.strategies.decisions import want
from papertape.engine.strategies.own_signals import even_chance
from papertape.engine.strategies.parameters import parameter
from papertape.engine.strategies.smc_score import smc_score, structure_bracket

PARAMETERS: Final = record(
    ("threshold", "f8"),
    ("exit_threshold", "f8"),
    ("stop_atr", "f8"),
    ("target_atr", "f8"),
    ("is_short_allowed", "i8"),
    ("weight_model", "f8"),  # 0 = switched off
    ("weight_smc", "f8"),
    ("weight_technical", "f8"),
    ("is_structure_bracket", "i8"),
    ("ml_full_edge", "f8"),
    ("is_sized", "i8"),  # by confidence
    ("model_use", "i8"),  # place in MODEL_USES
    ("ml_floor", "f8"),
    ("ml_even", "f8"),  # probability at which the score is 0
    ("is_about_signal", "i8"),  # the model's answer, not about the side
)
STATE: Final = record(("bars", "i8"))

_LARGEST_WEIGHT: Final = 1e6  # only ratios matter
_TECHNICAL: Final = ("ema_20", "ema_50", "rsi_14", "macd_12_26_9", "adx_14", "atr_14")
_FAST, _SLOW, _RSI, _HISTOGRAM, _ADX, _PLUS, _MINUS, _ATR = 0, 1, 2, 5, 6, 7, 8, 9
_SMC = 10  # row of the first column of `smc`, after the technical ones
BRACKETS: Final = ("volatility", "structure")
MODEL_USES: Final = ("component", "filter", "sizer")
_FILTER, _SIZER = 1, 2  # places in MODEL_USES


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
def model_score(features: FloatArray, k: int, full_edge: float, even: float) -> float:
    """Return the ML component at one close, in [-1, 1]; NaN without an opinion."""
    edge = 2.0 * (features[len(features) - 1, k] - even)
    if np.isnan(edge):
        return np.nan
    return min(max(edge / full_edge, -1.0), 1.0)  # type: ignore[no-any-return]


@kernel
def size_for(confidence: float, threshold: float) -> float:
    """Return the share of the full size that a confidence deserves: a half at the threshold, all of it at 1."""
    return min(0.5 + 0.5 * max(confidence - threshold, 0.0) / (1.0 - threshold), 1.0)


@kernel
def allowed(agreement: float, model_use: int, floor: float) -> float:
    """
    Return the share of an entry's size that the model lets through.

    agreement  its score on the side of the entry, in [-1, 1]; NaN: it has no opinion
    """
    if np.isnan(agreement):
        return 1.0
    if model_use == _FILTER:
        return 1.0 if agreement >= floor else 0.0
    if model_use == _SIZER:
        return max(agreement, 0.0)
    return 1.0


@kernel
def share(score: float, weight: float, total: float) -> float:
    """Return what a component contributes: its score times its share of the total weight; nothing when it is absent."""
    return 0.0 if np.isnan(score) or weight == 0.0 else weight / total * score


@kernel
def present(score: float, weight: float) -> float:
    """Return a component's weight, or 0 when it is absent."""
    return 0.0 if np.isnan(score) else weight


@kernel
def decide(features: FloatArray, n: int, parameters: Row, decisions: Rows) -> None:
    """Enter above the threshold, leave when the score has turned, otherwise keep."""
    for k in range(n):
        technical = technical_score(features, k)
        model = model_score(features, k, parameters.ml_full_edge, parameters.ml_even)
        opinion = model
        smc = smc_score(features, k, _SMC) if parameters.weight_smc != 0.0 else np.nan
        total = present(technical, parameters.weight_technical)
        total += present(model, parameters.weight_model) + present(smc, parameters.weight_smc)
        technical = share(technical, parameters.weight_technical, total)
        model = share(model, parameters.weight_model, total)
        smc = share(smc, parameters.weight_smc, total)
        # Without an ATR there is no bracket, and without a component no score.
        score = np.nan
        if total > 0.0 and not np.isnan(features[_ATR, k]):
            score = model + smc + technical
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
        goal = parameters.target_atr * atr
        if parameters.is_structure_bracket != 0 and target in (LONG, SHORT):
            found, aim = structure_bracket(features, k, _SMC, target)
            stop = found if found > 0.0 else stop
            goal = aim if aim > 0.0 else goal
        size = 1.0
        if parameters.is_sized != 0 and target in (LONG, SHORT):
            size = size_for(confidence, parameters.threshold)
        if target in (LONG, SHORT):
            agreement = opinion if parameters.is_about_signal != 0 else target * opinion
            size *= allowed(agreement, parameters.model_use, parameters.ml_floor)
            if size == 0.0:
                target, size = KEEP, 1.0
        want(decisions[k], target, stop, goal, confidence, technical, smc, model, size)


@dataclass
class Confluence:
    """
    Additive confluence of components with a bracket of `stop_atr` and `target_atr` average true ranges.

    confidence_threshold  magnitude of the score above which it enters
    exit_threshold        magnitude below which it leaves before stop or target
    use_ml, use_smc       whether these components take part
    weight_…              of the components, equal by default: nothing says yet which deserves more
    ml_full_edge          |2p − 1| from which the model's opinion counts whole: 0.2 is p = 0.6
    model_use             component, filter or sizer, as above; ml_floor: of a filter
    model_asks            side or signal, as above
    size_by_confidence    entries get half their size at the threshold, all of it at full confidence
    bracket               volatility: as above; structure: stop beyond the nearest block, target at the opposing liquidity,
                          each from volatility where structure offers none
    """

    confidence_threshold: float = parameter(
        0.45, low=0.001, high=0.999, help="magnitude of the score above which it enters"
    )
    exit_threshold: float = parameter(
        0.1, low=0.0, high=1.0, help="magnitude below which it leaves before stop or target"
    )
    stop_atr: float = parameter(2.0, low=0.01, help="distance of the stop in ATR")
    target_atr: float = parameter(3.0, low=0.01, help="distance of the target in ATR")
    allow_short: bool = parameter(True, help="sell short; otherwise leave")
    use_ml: bool = parameter(True, help="a model takes part")
    use_smc: bool = parameter(True, help="market structure takes part")
    weight_ml: float = parameter(1.0, low=0.0, high=_LARGEST_WEIGHT, help="of the model")
    weight_smc: float = parameter(1.0, low=0.0, high=_LARGEST_WEIGHT, help="of market structure")
    weight_technical: float = parameter(1.0, low=0.0, high=_LARGEST_WEIGHT, help="of technical signals")
    bracket: str = parameter("volatility", choices=BRACKETS, help="where stop and target are")
    ml_full_edge: float = parameter(
        0.2, low=0.001, high=1.0, help="|2p − 1| from which the model counts whole"
    )
    model_use: str = parameter(
        "component", choices=MODEL_USES, help="what the model is: a score, a filter or the size"
    )
    ml_floor: float = parameter(
        0.0, low=-1.0, high=1.0, help="score of a filtering model from which it lets an entry through"
    )
    model_asks: str = parameter(
        SIDE, choices=QUESTIONS, help="which side pays, or whether the strategy's own signal does"
    )
    size_by_confidence: bool = parameter(False, help="half size at the threshold, all at 1")
    name: str = field(default="confluence", init=False)
    state_dtype: np.dtype[Any] = field(default=STATE, init=False)
    features: Sequence[str] = field(default=_TECHNICAL, init=False)
    _parameters: Rows = field(default_factory=lambda: np.zeros(1, PARAMETERS), init=False)

    def __post_init__(self) -> None:
        if self.exit_threshold > self.confidence_threshold:
            raise ConfigError(
                f"strategy.exit_threshold: {self.exit_threshold} is not at most "
                f"confidence_threshold = {self.confidence_threshold}"
            )
        has_smc = self.use_smc and self.weight_smc > 0.0
        if self.bracket == "structure" and not has_smc:
            raise ConfigError("strategy.bracket: structure needs the SMC component; it is off")
        self._refuse_circular(has_smc)
        self.features = (*_TECHNICAL, "smc") if has_smc else _TECHNICAL
        is_about_signal = self.use_ml and self.model_asks == SIGNAL
        self._parameters[0] = (
            self.confidence_threshold,
            self.exit_threshold,
            self.stop_atr,
            self.target_atr,
            int(self.allow_short),
            self.weight_ml if self.use_ml and self.model_use == "component" else 0.0,
            self.weight_smc if has_smc else 0.0,
            self.weight_technical,
            int(self.bracket == "structure"),
            self.ml_full_edge,
            int(self.size_by_confidence),
            MODEL_USES.index(self.model_use) if self.use_ml else 0,
            self.ml_floor,
            even_chance(self.stop_atr, self.target_atr) if is_about_signal else 0.5,
            int(is_about_signal),
        )

    def _refuse_circular(self, has_smc: bool) -> None:
        """Raise ConfigError where a model is asked about a signal that it is a part of, or that there never is."""
        if not self.use_ml or self.model_asks != SIGNAL:
            return
        if self.model_use == "component":
            raise ConfigError(
                "strategy.model_asks: as a component the model is part of the signal, so it cannot be asked whether that pays; "
                'write signals.model_use = "filter" or "sizer", or signals.model_asks = "side"'
            )
        if self.weight_technical == 0.0 and not has_smc:
            raise ConfigError(
                "strategy.model_asks: without the model no component has a weight, so there is no signal to ask about; give "
                "weight_technical or weight_smc one"
            )

    def decide_batch(self, features: FloatArray, candles: Rows, n: int, state: Rows, decisions: Rows) -> None:
        """Write `n` decisions."""
        decide(features, n, self._parameters[0], decisions)
