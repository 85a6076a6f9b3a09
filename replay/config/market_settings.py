"""The sections [market] and [markets.SYMBOL] of the configuration: costs, sizes and margin of a market."""

import math
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from papertape.engine.broker.ledger import LARGEST_AMOUNT
from papertape.engine.broker.risk.brackets import Bracket
from papertape.engine.broker.risk.fees import FeeTier
from papertape.engine.spec import Market
from papertape.replay.config.fields import keys_of, unsaid, utc_time

# Source: ccxt manual, "Leverage Tiers Structure" (4.5.90).
_OF_CCXT: Final = {
    "maxNotional": "up_to",
    "maxLeverage": "leverage",
    "maintenanceMarginRate": "maintenance_rate",
}


@keys_of(FeeTier)
class TierSettings(BaseModel):
    """One row of a table of fees: the rates from a volume of thirty days on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@keys_of(Bracket)
class BracketSettings(BaseModel):
    """One row of a table of leverage; from where the row before ends."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _tier_is_one(cls, values: Any) -> Any:
        """Take a row as ccxt gives it: `fetch_leverage_tiers` of any venue."""
        if not isinstance(values, Mapping) or not values.keys() >= _OF_CCXT.keys():
            return values
        found = {ours: values[theirs] for theirs, ours in _OF_CCXT.items()}
        # Without an upper limit: what no amount reaches, whatever unit an account counts in.
        return found if found["up_to"] is not None else found | {"up_to": LARGEST_AMOUNT}


class MarketFigures(BaseModel):
    """What of a market can change while it is traded."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    tick_size: float | None = unsaid(Market, "tick_size")
    lot_size: float | None = unsaid(Market, "lot_size")
    minimum_size: float | None = unsaid(Market, "minimum_size")
    minimum_notional: float | None = unsaid(Market, "minimum_notional")
    taker_fee_rate: float | None = unsaid(Market, "taker_fee_rate")
    maker_fee_rate: float | None = unsaid(Market, "maker_fee_rate")
    fee_fixed: float | None = unsaid(Market, "fee_fixed")
    fee_minimum: float | None = unsaid(Market, "fee_minimum")
    fee_surcharge_rate: float | None = unsaid(Market, "fee_surcharge_rate")
    fee_tiers: tuple[TierSettings, ...] | None = Field(
        None,
        description="`volume` (of thirty days, quote), `taker_fee_rate`, `maker_fee_rate`: the rates from there on",
    )
    half_spread_rate: float | None = unsaid(Market, "half_spread_rate")
    slippage_rate: float | None = unsaid(Market, "slippage_rate")
    maximum_leverage: float | None = unsaid(Market, "maximum_leverage")
    leverage: float | None = unsaid(Market, "leverage")
    maintenance_rate: float | None = unsaid(Market, "maintenance_rate")
    maintenance_slope: float | None = unsaid(Market, "maintenance_slope")
    maintenance_from: float | None = unsaid(Market, "maintenance_from")
    initial_rate: float | None = unsaid(Market, "initial_rate")
    initial_slope: float | None = unsaid(Market, "initial_slope")
    maximum_notional: float | None = unsaid(Market, "maximum_notional")
    brackets: tuple[BracketSettings, ...] | None = Field(
        None,
        description="`up_to` (notional, quote), `leverage`, `maintenance_rate`: what holds up to there, in place of the rates above",
    )
    liquidation_fee_rate: float | None = unsaid(Market, "liquidation_fee_rate")

    @model_validator(mode="after")
    def _table_has_leverage(self) -> Self:
        """Refuse a leverage above all of the table beside it, before a market is known."""
        highest = self.model_dump(include={"brackets"})["brackets"] or [{"leverage": math.inf}]
        if (self.leverage or 0.0) > highest[0]["leverage"]:
            raise ValueError(
                f"leverage {self.leverage:g} is above {highest[0]['leverage']:g}, that of its smallest bracket"
            )
        return self


class DatedFigures(MarketFigures):
    """What of a market is another from a time on."""

    start: datetime = Field(description="what is decided after it follows this, UTC")

    @field_validator("start", mode="before")
    @classmethod
    def _date_is_utc(cls, value: Any) -> Any:
        return utc_time(value, is_end=False)

    @model_validator(mode="before")
    @classmethod
    def _can_change(cls, values: Any) -> Any:
        """Refuse what would be another market, and a row that says nothing."""
        if not isinstance(values, Mapping):
            return values
        for name in ("kind", "contract_value", "read_only"):
            if name in values:
                raise ValueError(f"{name} cannot change while a market is traded; leave it out")
        for name in ("tick_size", "lot_size"):
            if values.get(name) == 0:
                raise ValueError(f"{name} 0 is no step; leave it out where it does not change")
        if not set(values) - {"start"}:
            raise ValueError("it changes nothing; leave the row out")
        return values

    @property
    def figures(self) -> dict[str, Any]:
        """Return what is another from then on."""
        return self.model_dump(exclude_none=True, exclude={"start"})


class MarketSettings(MarketFigures):
    """Costs and sizes of a market; what is not given comes from the market data, then from defaults."""

    kind: Literal["spot", "perpetual"] | None = Field(None, description="what is traded")
    contract_value: float | None = unsaid(Market, "contract_value")
    read_only: bool | None = Field(
        None, description="only features of others read it (`SYMBOL:rsi_14`); it is never traded"
    )
    changes: tuple[DatedFigures, ...] | None = Field(
        None, description="figures that are others from later times on, as { start, tick_size, … } in order"
    )

    @field_validator("changes")
    @classmethod
    def _times_ascend(cls, rows: tuple[DatedFigures, ...] | None) -> tuple[DatedFigures, ...] | None:
        for before, row in pairwise(rows or ()):
            if row.start <= before.start:
                raise ValueError(
                    f"{row.start:%Y-%m-%d %H:%M} does not come after {before.start:%Y-%m-%d %H:%M}; write them in order"
                )
        return rows

    @property
    def figures(self) -> dict[str, Any]:
        """Return what is known of the market from the start on."""
        return self.model_dump(exclude_none=True, exclude={"changes"})
