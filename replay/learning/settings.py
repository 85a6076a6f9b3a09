"""What a configuration means for learning, as plain values that a training process can be given."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError
from papertape.engine.model.inputs import default_inputs
from papertape.engine.model.relevance.selection import ALL
from papertape.engine.model.training.labels import SIDE, SIGNAL
from papertape.engine.spec import EngineSpec
from papertape.engine.strategies.own_signals import can_short_of, model_asks_of, signals_name
from papertape.replay.config import Config
from papertape.replay.config.cadence import Cadence, cadence
from papertape.replay.config.fields import shared
from papertape.replay.config.learning import Learning

DAY_MS: Final = 86_400_000
LEAST_SHARE: Final = 0.5  # of the training window that must be there before a model is trained
_GATE_DAYS: Final = 30  # at least, unless told otherwise
_GATE_CLOSES: Final = 250  # the gate refuses fewer than 200, and some have no outcome
_GATE_HORIZONS: Final = 20  # it wants eight blocks of two, and the last labels are not known yet
_BRACKET: Final = (2.0, 3.0)  # average true ranges, where a strategy has no bracket of its own


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """
    How models are trained and judged.

    kind               of `engine.model.KINDS`; sizes: of the kind, those that differ from its defaults
    timeframe          of the strategy; features: requests that are computed; inputs: columns that are read, () = all
    window_ms, gate_ms the model learns from `window_ms` of rows and is judged on the `gate_ms` after them
    policy             of POLICIES: what lets a model take over
    cost               of a round trip, as a fraction of the notional
    no_trade           rows at which neither side earns more than `cost` are a class of their own
    asks, signals_of   what models answer, and whose signals those are if they are asked about signals
    drift, check_bars  of `papertape.engine.model.drift.policy.DriftOptions`, and how many closes lie between two looks; 0: none
    options            of `papertape.engine.model.training.train.TrainingOptions`, by name, beside those above
    """

    kind: str
    timeframe: str
    features: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    tapes: tuple[str, ...] = ()
    window_ms: int = 90 * DAY_MS
    gate_ms: int = 30 * DAY_MS
    gate_alpha: float = 0.05
    policy: str = "recipe"
    cost: float = 0.0013
    label: str = "bracket"
    horizon_bars: int = 24
    stop_atr: float = _BRACKET[0]
    target_atr: float = _BRACKET[1]
    variance_share: float = 0.5
    asks: str = SIDE
    signals_of: str = ""
    no_trade: bool = False
    sizes: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 7
    is_fine_tuned: bool = False
    activation_delay_ms: int = 0
    time_limit_s: float = 600.0
    memory_limit_mb: int = 4096
    drift: dict[str, Any] = field(default_factory=dict)
    check_bars: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what JSON made of the fields; raises KeyError or TypeError when one is missing or unknown."""
        names = [entry.name for entry in fields(cls)]
        if unknown := [name for name in values if name not in names]:
            raise KeyError(unknown[0])
        taken: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        return cls(**taken)


def features_of(config: Config, timeframe: str) -> tuple[str, ...]:
    """Return what is computed for models on a strategy's timeframe, in replay and live alike; nothing without models."""
    return _read_by_models(config, timeframe)[0]


def _read_by_models(config: Config, timeframe: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the requests to compute and the columns that are read, () for all."""
    signals = config.signals
    if not signals.use_ml:
        return (), ()
    if signals.model_features:
        return signals.model_features, ()
    # Structure costs more than everything else; it is read where the strategy has it computed anyway.
    has_structure = signals.use_smc and config.strategy.name == "confluence"
    return default_inputs(has_structure, signals.model_timeframes, timeframe)


def asks_model(spec: EngineSpec) -> bool:
    """Return whether a strategy of an account looks at what a model says."""
    return any(
        getattr(strategy, "reads_model", getattr(strategy, "use_ml", False)) for strategy in spec.strategies
    )


def cadence_of(config: Config, spec: EngineSpec) -> Cadence | None:
    """
    Return when models are trained; None when the strategy does not ask a model, or never.

    Raises ConfigError for a cadence that is shorter than a candle of the strategy.
    """
    is_read = config.signals.use_ml and asks_model(spec)
    found = cadence(config.signals.retrain_every) if is_read else None
    if found is not None:
        try:
            found.check_length(spec.timeframe)
        except ConfigError as error:
            raise ConfigError(f"signals.retrain_every: {error}") from error
    return found


def gate_ms_of(learning: Learning, length_ms: int) -> int:
    """Return how much is kept for the gate; by itself as much as it needs to judge at all (see `GateOptions`)."""
    if learning.gate_days is not None:
        return round(learning.gate_days * DAY_MS)
    closes = max(_GATE_CLOSES, _GATE_HORIZONS * learning.horizon_bars)
    return max(_GATE_DAYS * DAY_MS, closes * length_ms)


def _signals_of(config: Config, spec: EngineSpec) -> str:
    """Return whose signals models are asked about, nothing where they are asked about sides; raises ConfigError."""
    wanted, asks = config.signals.model_asks, model_asks_of(spec.strategy)
    if wanted == SIGNAL and asks != SIGNAL:
        raise ConfigError(
            f"signals.model_asks: {config.strategy.name} does not ask a model about its own signal; confluence does, and so "
            'does a strategy of yours that answers whole batches and says model_asks = "signal"'
        )
    if asks != SIGNAL:
        return ""
    if config.learning.label != "bracket":
        raise ConfigError(
            f"learning.label: {config.learning.label!r} leaves trades without a bracket, and a signal is followed in the "
            'strategy\'s own (signals.model_asks); write "bracket"'
        )
    if config.learning.no_trade:
        raise ConfigError(
            "learning.no_trade: true is for sides of the market; whether a signal pays its costs is the question already "
            "(signals.model_asks); leave it out"
        )
    can_short = can_short_of(spec.markets, spec.settings.allow_short)
    return signals_name(spec.every_turn, can_short)


def settings_of(config: Config, spec: EngineSpec, tapes: Sequence[str] = ()) -> LearningSettings:
    """
    Return how models are trained for an engine.

    tapes  sha256 of what the rows come from, in the order of the engine's symbols
    """
    learning = config.learning
    features, inputs = _read_by_models(config, spec.timeframe)
    stop, target = (
        float(getattr(spec.strategy, name, default))
        for name, default in zip(("stop_atr", "target_atr"), _BRACKET, strict=True)
    )
    traded = [market for market in spec.markets if not market.read_only]
    sides = [m.entry_cost_rate for m in traded]
    return LearningSettings(
        **shared(learning, LearningSettings),
        kind=config.signals.model,
        timeframe=spec.timeframe,
        features=features,
        inputs=inputs,
        symbols=spec.traded,
        tapes=tuple(tapes),
        window_ms=round(learning.window_days * DAY_MS),
        gate_ms=gate_ms_of(learning, timeframe_ms(spec.timeframe)),
        cost=2.0 * sum(sides) / len(sides),
        stop_atr=stop,
        target_atr=target,
        asks=model_asks_of(spec.strategy),
        signals_of=_signals_of(config, spec),
        options={
            "epochs": learning.epochs,
            "patience": learning.patience,
            "is_per_symbol": learning.per_symbol,
            "embargo_bars": learning.embargo_bars,
            "device": learning.device,
            **({"shrink": True} if learning.shrink else {}),
            **({"seeds": learning.seeds} if learning.seeds > 1 else {}),
            **({"windows": learning.windows} if learning.windows > 1 else {}),
            **({"select": learning.select} if learning.select != ALL else {}),
        },
        is_fine_tuned=learning.fine_tune,
        activation_delay_ms=round(learning.activation_delay_s * 1000.0),
        drift=asdict(config.drift.options()),
        check_bars=config.drift.check_bars if config.drift.is_watched else 0,
    )
