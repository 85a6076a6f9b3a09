"""The sections [market] and [markets.SYMBOL] of the configuration: costs, sizes and margin of a market."""

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from papertape.engine.broker.ledger import LARGEST_QUOTE
from papertape.replay.config.fields import utc_time

Rate = Annotated[float, Field(ge=0.0, lt=0.5)]
MakerRate = Annotated[float, Field(gt=-0.01, lt=0.5)]
# Source: ccxt manual, "Leverage Tiers Structure" (4.5.90).
_OF_CCXT: Final = {
    "maxNotional": "up_to",
    "maxLeverage": "leverage",
    "maintenanceMarginRate": "maintenance_rate",
}


class TierSettings(BaseModel):
    """One row of a table of fees: the rates from a volume of thirty days on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    volume: float = Field(gt=0.0, description="of thirty days, all markets together, quote")
    taker_fee_rate: Rate = Field(description="of notional, where a fill takes")
    maker_fee_rate: MakerRate = Field(description="where it waited; below 0: a rebate")


class BracketSettings(BaseModel):
    """One row of a table of leverage; from where the row before ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    up_to: float = Field(gt=0.0, description="notional, quote")
    leverage: float = Field(gt=0.0, le=1_000.0, description="highest of a position of that size")
    maintenance_rate: float = Field(ge=0.0, lt=1.0, description="of the notional within this row")

    @model_validator(mode="before")
    @classmethod
    def _tier_is_one(cls, values: Any) -> Any:
        """Take a row as ccxt gives it: `fetch_leverage_tiers` of any venue."""
        if not isinstance(values, Mapping) or not values.keys() >= _OF_CCXT.keys():
            return values
        found = {ours: values[theirs] for theirs, ours in _OF_CCXT.items()}
        return found if found["up_to"] is not None else found | {"up_to": LARGEST_QUOTE}


class MarketFigures(BaseModel):
    """What of a market can change while it is traded."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    tick_size: float | None = Field(None, ge=0.0, description="step of prices, quote; 0: any")
    lot_size: float | None = Field(None, ge=0.0, description="step of sizes, base units; 0: any")
    minimum_size: float | None = Field(None, ge=0.0, description="of an order, base units")
    minimum_notional: float | None = Field(None, ge=0.0, description="of an order, quote")
    taker_fee_rate: Rate | None = Field(None, description="of notional, where a fill takes")
    maker_fee_rate: MakerRate | None = Field(
        None, description="likewise where it waited; below 0: a rebate"
    )
    fee_fixed: float | None = Field(None, ge=0.0, description="of every fill, quote, on top")
    fee_minimum: float | None = Field(
        None, ge=0.0, description="smallest fee of a fill, quote; not of a rebate"
    )
    fee_surcharge_rate: float | None = Field(
        None, ge=0.0, le=1.0, description="tax on fees, as a share of them"
    )
    fee_tiers: tuple[TierSettings, ...] | None = Field(
        None,
        description="`volume` (of thirty days, quote), `taker_fee_rate`, `maker_fee_rate`: the rates from there on",
    )
    half_spread_rate: Rate | None = Field(
        None, description="of the price, where a fill crosses the spread"
    )
    slippage_rate: Rate | None = Field(None, description="of the price, beside the half spread")
    maximum_leverage: float | None = Field(None, ge=0.0, description="of a position; 0: no limit")
    leverage: float | None = Field(
        None, ge=0.0, le=1_000.0,
        description="isolated margin: a position is liquidated when it has lost notional ÷ leverage; 0: never",
    )  # fmt: skip
    maintenance_rate: Rate | None = Field(
        None, description="of notional that the margin must still be worth"
    )
    maintenance_slope: float | None = Field(
        None, ge=0.0, le=1.0, description="that it grows by per quote of notional"
    )
    maintenance_from: float | None = Field(
        None, ge=0.0, description="notional from which it grows, quote"
    )
    initial_rate: Rate | None = Field(None, description="of notional that opening takes")
    initial_slope: float | None = Field(
        None, ge=0.0, le=1.0, description="that it grows by per quote of notional beyond maintenance_from"
    )  # fmt: skip
    maximum_notional: float | None = Field(
        None, ge=0.0, description="of a position, quote; 0: no limit"
    )
    brackets: tuple[BracketSettings, ...] | None = Field(
        None,
        description="`up_to` (notional, quote), `leverage`, `maintenance_rate`: what holds up to there, in place of the rates above",
    )
    liquidation_fee_rate: Rate | None = Field(None, description="of notional, beside the margin")


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
    contract_value: float | None = Field(None, gt=0.0, description="base units of one contract")
    read_only: bool | None = Field(
        None, description="only features of others read it (`SYMBOL:rsi_14`); it is never traded"
    )
    changes: tuple[DatedFigures, ...] | None = Field(
        None, description="figures that are others from later times on, as { start, tick_size, … } in order"
    )  # fmt: skip

    @field_validator("changes")
    @classmethod
    def _times_ascend(
        cls, rows: tuple[DatedFigures, ...] | None
    ) -> tuple[DatedFigures, ...] | None:
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
