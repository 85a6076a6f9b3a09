"""The catalogue: what is listed, with the fields and the number formats of the venue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np

from papertape.engine.errors import DataError
from papertape.replay.config import Config
from papertape.replay.config.markets import market_for
from papertape.replay.tapes.tape import Tape

EIGHT_HOURS_S: Final = 28_800
_QUOTES: Final = ("USDT", "USDC", "USD", "INR", "EUR", "BTC", "ETH")
_FIRST_ID: Final = 27
_DECIMALS_MAX: Final = 8
_SAMPLED: Final = 512  # candles looked at to find the price step of a market nobody describes


@dataclass(slots=True)
class Listing:
    """One perpetual; a fault may change its tick size, state and trading status."""

    id: int
    symbol: str
    tick_size: Decimal
    contract_value: Decimal
    taker_fee_rate: float
    maker_fee_rate: float
    funding_s: int
    launch_ms: int
    state: str = "live"
    trading_status: str = "operational"

    @property
    def decimals(self) -> int:
        """Return the decimals of a price."""
        exponent = self.tick_size.normalize().as_tuple().exponent
        assert isinstance(exponent, int)
        return max(-exponent, 0)

    @property
    def assets(self) -> tuple[str, str]:
        """Return base and quote."""
        for quote in _QUOTES:
            if self.symbol.endswith(quote) and len(self.symbol) > len(quote):
                return self.symbol[: -len(quote)], quote
        return self.symbol, "USD"

    @property
    def index_symbol(self) -> str:
        """Return the name of its index; the venue writes XBT for BTC there."""
        base, quote = self.assets
        return f".DE{'XBT' if base == 'BTC' else base}{quote}"

    def product(self) -> dict[str, Any]:
        """Return the product as the venue describes it."""
        base, quote = self.assets
        asset = {"id": 14, "symbol": quote, "precision": 8}
        return {
            "id": self.id,
            "symbol": self.symbol,
            "description": f"{base} perpetual, {quote} margined",
            "contract_type": "perpetual_futures",
            "state": self.state,
            "trading_status": self.trading_status,
            "notional_type": "vanilla",
            "is_quanto": False,
            "contract_value": f"{self.contract_value:.18f}",
            "contract_unit_currency": base,
            "tick_size": f"{self.tick_size:.18f}",
            "initial_margin": "1.000000000000000000",
            "maintenance_margin": "0.500000000000000000",
            "initial_margin_scaling_factor": "0.000002500000000000",
            "maintenance_margin_scaling_factor": "0.000001250000000000",
            "max_leverage_notional": "100000",
            "default_leverage": "100.000000000000000000",
            "position_size_limit": 125_000,
            "position_notional_limit": "5000000",
            "impact_size": 10_000,
            "taker_commission_rate": f"{self.taker_fee_rate:.18f}",
            "maker_commission_rate": f"{self.maker_fee_rate:.18f}",
            "funding_method": "mark_price",
            "annualized_funding": "10.950000000000000000",
            "basis_factor_max_limit": "10.950000000000000000",
            "price_band": "5.000000000000000000",
            "liquidation_penalty_factor": "0.500000000000000000",
            "settlement_time": None,
            "settlement_price": None,
            "launch_time": f"{np.datetime64(self.launch_ms // 1000, 's')}Z",
            "barrier_price": None,
            "strike_price": None,
            "product_specs": {
                "rate_exchange_interval": self.funding_s,
                "funding_clamp_value": 0.05 * self.funding_s / EIGHT_HOURS_S,
                "only_reduce_only_orders_allowed": False,
                "tags": ["layer_1"],
            },
            "underlying_asset": {"id": self.id + 1000, "symbol": base, "precision": 8},
            "quoting_asset": asset,
            "settling_asset": asset,
            "spot_index": {
                "id": self.id + 2000,
                "symbol": self.index_symbol,
                "tick_size": f"{self.tick_size.normalize():f}",
                "index_type": "spot_pair",
            },
            "ui_config": {},
        }


def list_tapes(
    tapes: Sequence[Tape],
    funding_hours: Mapping[str, int] | None = None,
    contract_values: Mapping[str, float] | None = None,
) -> dict[str, Listing]:
    """Return a listing per tape; by default a contract is one base unit, so that volumes pass through unchanged."""
    hours, values = funding_hours or {}, contract_values or {}
    listings: dict[str, Listing] = {}
    for number, tape in enumerate(tapes):
        if tape.symbol in listings:
            raise DataError(f"{tape.symbol}: two tapes have it; the venue lists a symbol once")
        market = market_for(tape, Config())
        tick = Decimal(repr(market.tick_size)) if market.tick_size else tick_size_of(tape)
        listings[tape.symbol] = Listing(
            _FIRST_ID + number,
            tape.symbol,
            tick,
            Decimal(repr(values.get(tape.symbol, 1.0))),
            market.taker_fee_rate,
            market.maker_fee_rate,
            hours.get(tape.symbol, 8) * 3600,
            int(tape.candles["open_ms"][0]),
        )
    return listings


def tick_size_of(tape: Tape) -> Decimal:
    """Return the coarsest power of ten that the first prices are multiples of, at least 1e-8."""
    head = tape.candles[:_SAMPLED]
    prices = np.concatenate([head[name] for name in ("open", "high", "low", "close")])
    for decimals in range(_DECIMALS_MAX):
        if (np.round(prices, decimals) == prices).all():
            return Decimal(1).scaleb(-decimals)
    return Decimal(1).scaleb(-_DECIMALS_MAX)
