"""The sections of the configuration about models: how they are trained and judged, and what drift leads to."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from papertape.engine.errors import ConfigError
from papertape.engine.model.drift.policy import DriftOptions
from papertape.engine.model.record import MOST_MEMBERS, MOST_WINDOWS
from papertape.replay.config.fields import keys_of, shared

Days = Annotated[float, Field(gt=0.0, le=3_650.0)]
FIRST_POLICY: Final = "model"  # of every model before there was a choice, and the default at first


class Learning(BaseModel):
    """How models are trained, and how they are judged before they take over."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    window_days: Days = Field(90.0, description="of rows that a model learns from")
    gate_days: Days | None = Field(
        None,
        description="after the window, kept from training: on them models are judged; none: 30, or as many as "
        "250 closes and 20 horizons take",
    )
    gate_alpha: float = Field(
        0.05, gt=0.0, le=0.5, description="chance with which a model without merit may pass"
    )
    policy: Literal["model", "recipe", "newest", "shadow"] = Field(
        "recipe",
        description="what lets a model take over: its own gate; what all models of its recipe have shown; being the "
        "newest; nothing",
    )
    label: Literal["bracket", "direction", "variance"] = Field(
        "bracket",
        description="learn which side of the strategy's bracket pays more, the direction after the horizon, or the direction "
        "when the market has moved so much: variance_share",
    )
    horizon_bars: int = Field(
        24, ge=1, le=1000, description="of the strategy's timeframe, at most until a label is known"
    )
    variance_share: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="of label variance: a trade ends once squared true ranges come to this share of what horizon_bars candles "
        "as wide as the ATR at entry would have",
    )
    no_trade: bool = Field(
        False,
        description="rows at which neither side earns what a round trip costs are a class of their own, neither up nor down",
    )
    epochs: int = Field(50, ge=1, le=10_000, description="at most; it stops early")
    patience: int = Field(
        10, ge=1, le=10_000, description="epochs, or trees, without progress before it stops"
    )
    sizes: dict[str, int] = Field(
        default_factory=dict,
        description="of the model, for example { hidden = 16 }; lightgbm: { trees = 100, depth = 4 }",
    )
    shrink: bool = Field(
        False,
        description="draw probabilities towards the base rate as far as later rows of the window do not bear them out, "
        "in place of a temperature",
    )
    seeds: int = Field(
        1,
        ge=1,
        le=MOST_MEMBERS,
        description="models that are trained, each from a seed of its own, and speak as one; every one costs a training",
    )
    windows: int = Field(
        1,
        ge=1,
        le=MOST_WINDOWS,
        description="models for each seed that speak as one: trained on the whole of the training part, on its newest half, on "
        "its newest quarter and so on",
    )
    select: Literal["all", "stability"] = Field(
        "all",
        description="inputs that a model reads: all, or those that are chosen again and again from halves of its training part",
    )
    per_symbol: bool = Field(False, description="weights of its own for every symbol")
    fine_tune: bool = Field(False, description="go on from the champion in place of starting afresh")
    embargo_bars: int | None = Field(
        None, ge=0, le=10_000, description="between parts, beside the purge; default: horizon_bars"
    )
    activation_delay_s: float = Field(
        0.0, ge=0.0, le=7 * 86_400.0, description="from the due time until a model takes over"
    )
    time_limit_s: float = Field(600.0, gt=0.0, le=86_400.0, description="of training one model")
    memory_limit_mb: int = Field(4096, ge=512, le=1_048_576, description="of the training process")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="that torch trains on")
    seed: int = Field(
        7,
        ge=0,
        lt=2**31,
        description="of first weights, the first one's of several, and of the gate's bootstrap",
    )


def as_recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a configuration's values as the version meant them that wrote them down with a result or a journal.

    Every version writes every key that it has, so what is missing was not there to be chosen: without a policy a model was let in
    by its own gate, whatever the default is now.
    """
    return {**values, "learning": {"policy": FIRST_POLICY, **values.get("learning", {})}}


@keys_of(DriftOptions)
class Drift(BaseModel):
    """When drift counts, and what it may do; levels: warn, smaller, retrain, stop."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    is_watched: bool = Field(True, description="watch the model in force")
    check_bars: int = Field(24, ge=1, le=10_000, description="of the strategy's timeframe between two looks")

    @model_validator(mode="after")
    def _options_are_possible(self) -> "Drift":
        try:
            self.options()
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("drift: ")) from error
        return self

    def options(self) -> DriftOptions:
        """Return the policy as the watch takes it."""
        return DriftOptions(**shared(self, DriftOptions))
