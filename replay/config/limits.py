"""The sections [limits] and [portfolio] of the configuration: what the account may lose and hold, and how it is divided."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from papertape.engine.broker.risk.allocation import Allocation
from papertape.engine.broker.risk.groups import MOST_GROSS, as_groups
from papertape.engine.broker.risk.limits import Limits
from papertape.engine.errors import ConfigError
from papertape.replay.config.fields import keys_of, shared


class GroupSettings(BaseModel):
    """Symbols that rise and fall together, and what all of them may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbols: tuple[str, ...] = Field(min_length=1, description="each in one group at most")
    gross: float = Field(
        gt=0.0, le=MOST_GROSS, description="notional of all their positions ÷ equity"
    )


@keys_of(Limits)
class LimitSettings(BaseModel):
    """What may be lost and held; 0: no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    groups: tuple[GroupSettings, ...] = Field(
        (),
        description="`symbols` that move together, and the `gross` of all their positions ÷ equity",
    )

    @model_validator(mode="after")
    def _groups_are_apart(self) -> Self:
        """Refuse a symbol that stands twice."""
        try:
            as_groups(self.groups)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    def limits(self) -> Limits:
        """Return the limits as the engine takes them."""
        return Limits(**shared(self, Limits))


@keys_of(Allocation)
class PortfolioSettings(BaseModel):
    """Which part of the account each symbol trades with."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    allocation: Literal["none", "equal", "inverse_volatility", "risk_parity", "score", "shares"] = (
        Field(
            "none",
            description="none: all trade with the whole account; inverse_volatility: see account.volatility_days; risk_parity: by sixty days; score: by the confidence of decisions; shares: as below",
        )
    )
    shares: dict[str, Annotated[float, Field(gt=0.0, le=1.0)]] = Field(
        default_factory=dict, description="of equity by symbol, at most 1 together"
    )

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        """Refuse shares that cannot be."""
        try:
            self.rules()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    def rules(self) -> Allocation:
        """Return the allocation as the engine takes it."""
        return Allocation(**shared(self, Allocation))
