"""The sections [account], [limits] and [portfolio]: how the account trades, what it may lose and hold, how it is divided."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from papertape.engine.broker.ledger import DECIMALS, refuse_capital, unit_decimals
from papertape.engine.broker.risk.allocation import Allocation
from papertape.engine.broker.risk.groups import MOST_GROSS, as_groups
from papertape.engine.broker.risk.limits import Limits
from papertape.engine.broker.risk.sizes import SizeRules
from papertape.engine.broker.sizing import RISK_LEVELS
from papertape.engine.errors import ConfigError
from papertape.replay.config.fields import keys_of, shared

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


@keys_of(SizeRules)
class Account(BaseModel):
    """How the account trades."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    capital: float = Field(10_000.0, gt=0.0, description="starting cash in quote")
    quote: str = Field("USDT", min_length=1, description="currency of the cash")
    money_decimals: int | None = Field(
        None,
        ge=0,
        le=DECIMALS,
        description="of quote that are counted; left out: 9, and from a capital of 1e9 on those of the currency",
    )
    sizing: Literal["risk", "fraction", "all_in", "volatility", "kelly"] = Field(
        "risk",
        description="risk: by the distance of the stop; fraction: of equity; all_in: all buying power; volatility: the same "
        "movement from every market; kelly: by what the account's trades won",
    )
    risk_level: Literal["low", "medium", "high"] = Field(
        "medium", description="fraction of equity lost at the stop: 0.5 %, 1 %, 2 %"
    )
    risk_fraction: float | None = Field(None, gt=0.0, le=1.0, description="in place of the risk level")
    fixed_fraction: float = Field(
        0.25, ge=0.0, le=125.0, description="of equity, as notional; above 1 on perpetuals with leverage_cap"
    )
    cash_share: Fraction = Field(0.99, description="largest part of buying power per order")
    leverage_cap: float = Field(1.0, gt=0.0, le=125.0, description="gross, perpetuals")
    latency_bars: int = Field(0, ge=0, le=1000, description="base candles beyond the next")
    margin: Literal["isolated", "cross"] = Field(
        "isolated",
        description="isolated: a perpetual with leverage stands on its own margin; cross: all stand on the account",
    )
    allow_short: bool = Field(True, description="whether positions below zero may be opened")
    volume_share: float = Field(
        0.0, ge=0.0, le=1.0, description="of a candle's volume that working orders may fill; 0: any"
    )
    limit_fill: Literal["through", "touch"] = Field(
        "through", description="when a working limit order fills: traded through by a tick, or touched"
    )
    fee_function: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = Field(
        None, description="yours, as module:name: what a fill pays, in place of the markets' rates"
    )

    @model_validator(mode="after")
    def _capital_fits(self) -> Self:
        """Refuse a capital beyond the range of the unit that it is counted in."""
        try:
            refuse_capital(self.capital, self.decimals, self.quote)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def decimals(self) -> int:
        """Return how many decimals of quote the account counts."""
        return unit_decimals(self.capital, self.quote, self.money_decimals)

    @property
    def risk(self) -> float:
        """Return the fraction of equity at risk per trade."""
        return self.risk_fraction or RISK_LEVELS[self.risk_level]


class GroupSettings(BaseModel):
    """Symbols that rise and fall together, and what all of them may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbols: tuple[str, ...] = Field(min_length=1, description="each in one group at most")
    gross: float = Field(gt=0.0, le=MOST_GROSS, description="notional of all their positions ÷ equity")


@keys_of(Limits)
class LimitSettings(BaseModel):
    """What may be lost and held; 0: no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    groups: tuple[GroupSettings, ...] = Field(
        (), description="`symbols` that move together, and the `gross` of all their positions ÷ equity"
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

    allocation: Literal["none", "equal", "inverse_volatility", "risk_parity", "score", "shares"] = Field(
        "none",
        description="none: all trade with the whole account; inverse_volatility: see account.volatility_days; risk_parity: by sixty days; score: by the confidence of decisions; shares: as below",
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
