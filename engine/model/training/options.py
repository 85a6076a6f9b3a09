"""How a model is trained, as plain values that a job file and a record can hold."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

from papertape.engine.errors import ConfigError, DataError, did_you_mean
from papertape.engine.features import columns_of
from papertape.engine.model.inputs import MODEL_FEATURES
from papertape.engine.model.kinds import KINDS
from papertape.engine.model.record import MOST_MEMBERS, MOST_WINDOWS
from papertape.engine.model.relevance.selection import ALL, SELECTIONS
from papertape.engine.model.training.labels import LABELS, QUESTIONS, SIDE, SIGNAL, reads_cost

DEVICES: Final = ("auto", "cpu", "cuda")

_WORDS: Final[Mapping[str, Collection[str]]] = {
    "kind": KINDS,
    "label": LABELS,
    "asks": QUESTIONS,
    "device": DEVICES,
    "select": SELECTIONS,
}
_RULES: Final[tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...]] = (
    (("horizon_bars", "epochs", "patience", "batch", "sequence"), lambda v: v >= 1, "is not at least 1"),
    (
        ("burn_in", "seed", "weight_decay", "embargo_bars", "cost"),
        lambda v: 0 <= v < math.inf,
        "is not a number of at least 0",
    ),
    (
        ("stop_atr", "target_atr", "learning_rate", "clip_norm", "l2", "time_limit_s"),
        lambda v: 0.0 < v < math.inf,
        "is not a number above 0",
    ),
    (("variance_share",), lambda v: 0.0 < v <= 1.0, "is not above 0 and at most 1"),
    (("dropout",), lambda v: 0.0 <= v < 1.0, "is not from 0 to below 1"),
)
# Not written where they are what all models were before there was a choice.
_BEFORE: Final = {"shrink": False, "seeds": 1, "windows": 1, "select": ALL, "no_trade": False}


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """
    What is trained, on what, and how.

    kind            of `engine.model.KINDS`; sizes: of the kind, its defaults where left out
    features        requests that the rows were computed from; inputs: their columns that the model reads, () = all
    label           bracket, with stop and target in ATR, direction, or variance, with variance_share: how much of the horizon's
                    variance may be spent; horizon_bars: when a trade ends at the latest
    asks            side, or signal: whether a strategy's own pays in its bracket, after `cost` of a round trip; signals_of: which
    no_trade        a class of its own for rows at which neither side earns more than `cost`
    embargo_bars    kept free before a later part, beside the purge; None: as many as the horizon
    epochs          at most; patience: epochs, or trees, without a better validation loss after which training stops
    learning_rate   at its highest, after a short warm-up; weight_decay: of AdamW, not of biases; clip_norm: of the gradient
    batch           sequences in a step, more when there are very many; sequence: closes in one that are learnt; burn_in: closes read before them
    dropout         share of inputs hidden, in training, through a whole sequence
    l2              penalty of the logistic kind, on coefficients of scaled inputs, and of lightgbm, on leaves
    patience        of lightgbm: trees
    device          auto: CUDA where it is and agrees with the CPU; cpu; cuda, refused where there is none
    time_limit_s    after which the best epoch so far is the result
    shrink          towards the base rate by what later rows bear out, in place of a temperature
    seeds           models that are trained, with `seed` and the numbers after it; the model is the mean of their log-odds
    windows         likewise, as many for each seed: on the whole of the training part, its newest half, quarter and so on
    is_per_symbol   weights of its own for each symbol, in place of one model for all
    select          all: every input is read; stability: those that are chosen again and again from the training part
    is_fine_tuned   begin at the parent's weights, with its scaling, in place of afresh
    """

    kind: str = "cnn_lstm"
    features: tuple[str, ...] = MODEL_FEATURES
    inputs: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    label: str = "bracket"
    horizon_bars: int = 24
    stop_atr: float = 2.0
    target_atr: float = 3.0
    variance_share: float = 0.5
    asks: str = SIDE
    cost: float = 0.0013
    signals_of: str = ""
    no_trade: bool = False
    embargo_bars: int | None = None
    epochs: int = 50
    patience: int = 10
    learning_rate: float = 3e-3
    weight_decay: float = 0.3
    clip_norm: float = 1.0
    batch: int = 8
    sequence: int = 32
    burn_in: int = 64
    dropout: float = 0.3
    l2: float = 1.0
    seed: int = 7
    device: str = "auto"
    time_limit_s: float = 600.0
    is_per_symbol: bool = False
    is_fine_tuned: bool = False
    shrink: bool = False
    seeds: int = 1
    windows: int = 1
    select: str = ALL

    def __post_init__(self) -> None:
        for name, table in _WORDS.items():
            value = getattr(self, name)
            if value not in table:
                raise ConfigError(f"training.{name}: unknown {value!r}{did_you_mean(value, table)}")
        self._check_question()
        for names, is_allowed, rule in _RULES:
            for name in names:
                value = getattr(self, name)
                if value is not None and not is_allowed(value):
                    raise ConfigError(f"training.{name}: {value} {rule}")
        if not self.features:
            raise ConfigError("training.features: there are none; name at least one")
        self._check_sizes()
        self._check_members()

    def _check_question(self) -> None:
        """Raise ConfigError for what cannot be asked about a strategy's own signals."""
        if self.asks == SIGNAL and self.label != "bracket":
            raise ConfigError(
                f"training.label: {self.label!r} leaves trades without a bracket, and a signal is followed in the strategy's; "
                "write bracket"
            )
        if self.asks == SIGNAL and self.no_trade:
            raise ConfigError(
                "training.no_trade: true is for sides of the market; whether a signal pays its costs is the question already; "
                "leave it out"
            )

    def _check_members(self) -> None:
        """Raise ConfigError for an ensemble of too many or too few, or of models that are all the same."""
        for name, most in (("seeds", MOST_MEMBERS), ("windows", MOST_WINDOWS)):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"training.{name}: {getattr(self, name)} is not from 1 to {most}")
        if self.members > MOST_MEMBERS:
            raise ConfigError(
                f"training.windows: {self.windows} for each of {self.seeds} seeds are {self.members} models, above "
                f"{MOST_MEMBERS}; write fewer of either"
            )
        if self.seeds > 1 and self.kind == "logistic":
            raise ConfigError(
                f"training.seeds: {self.seeds} is not for logistic, which is the same from every seed; leave it out"
            )

    def _check_sizes(self) -> None:
        """Raise ConfigError for sizes that do not fit together, and for what cannot be tuned further."""
        for name, size in self.sizes.items():
            if name not in KINDS[self.kind].sizes:
                known = ", ".join(KINDS[self.kind].sizes) or "none"
                raise ConfigError(f"training.sizes: {self.kind} has no {name!r}; it has {known}")
            if size < 1:
                raise ConfigError(f"training.sizes: {name} {size} is not at least 1")
        try:
            KINDS[self.kind].shapes(1, self.all_sizes)
        except DataError as error:
            raise ConfigError(f"training.sizes: {str(error).removeprefix('model: ')}") from error
        if self.is_fine_tuned and self.select != ALL:
            raise ConfigError(
                f"training.is_fine_tuned: true is not for select = {self.select}, for the model before reads other inputs; "
                "leave one of them out"
            )
        if self.is_fine_tuned and self.kind == "lightgbm":
            raise ConfigError(
                "training.is_fine_tuned: true is not for lightgbm, whose trees are grown afresh; leave it out"
            )

    @property
    def read(self) -> tuple[str, ...]:
        """Return the columns that the model reads."""
        return self.inputs or tuple(name for request in self.features for name in columns_of(request))

    @property
    def members(self) -> int:
        """Return how many models are trained that speak as one."""
        return self.seeds * self.windows

    @property
    def all_sizes(self) -> dict[str, int]:
        """Return every size of the kind."""
        return {**KINDS[self.kind].sizes, **self.sizes}

    @property
    def embargo(self) -> int:
        """Return the embargo in bars."""
        return self.horizon_bars if self.embargo_bars is None else self.embargo_bars

    def to_json(self) -> dict[str, Any]:
        """Return plain values as `from_json` takes them."""
        values = {**asdict(self), "sizes": dict(self.sizes)}
        for name, before in _BEFORE.items():
            if values[name] == before:
                del values[name]
        if self.label != "variance":
            del values["variance_share"]
        if self.asks == SIDE:
            del values["asks"], values["signals_of"]
        if not reads_cost(self):
            del values["cost"]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return checked options, or raise ConfigError."""
        names = [entry.name for entry in fields(cls)]
        for name in values:
            if name not in names:
                raise ConfigError(f"training: unknown option {name!r}{did_you_mean(name, names)}")
        plain: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        return cls(**plain)
