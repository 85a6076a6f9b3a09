"""
Delta's products: what may be traded there, in our units. Unknown keys are ignored and missing ones get defaults.

Source: ../shared/reference/delta-exchange.md, sections 4.5 and 5.1.
"""

from dataclasses import dataclass
from typing import Any, Final

from papertape.replay.sources.delta_parse import number

FUNDING_INTERVAL_S: Final = 28_800


@dataclass(frozen=True, slots=True)
class Product:
    """
    One contract. Rates are fractions, never percent; 0 where the venue does not say.

    contract_value         base units per contract; quote units when `is_inverse`
    *_margin_slope         growth of the margin rate per unit of notional above `margin_slope_from`
    """

    symbol: str
    id: int = 0
    contract_type: str = ""
    state: str = "live"
    trading_status: str = "operational"
    base: str = ""
    quote: str = ""
    index_symbol: str = ""
    is_inverse: bool = False
    contract_value: float = 1.0
    tick_size: float = 0.0
    initial_margin_rate: float = 0.0
    maintenance_margin_rate: float = 0.0
    initial_margin_slope: float = 0.0
    maintenance_margin_slope: float = 0.0
    margin_slope_from: float = 0.0
    maximum_leverage: float = 0.0
    notional_limit: float = 0.0
    taker_fee_rate: float = 0.0
    maker_fee_rate: float = 0.0
    funding_interval_s: int = FUNDING_INTERVAL_S

    @property
    def is_live(self) -> bool:
        """Return whether it is listed now; trading may still be halted."""
        return self.state == "live"


def parse_product(values: Any) -> Product | None:
    """Return a product, None when it has no symbol."""
    if not isinstance(values, dict) or not isinstance(values.get("symbol"), str):
        return None

    def get(name: str, default: float = 0.0, scale: float = 1.0) -> float:
        found = number(values.get(name))
        return found * scale if found == found else default

    specs = values.get("product_specs")
    specs = specs if isinstance(specs, dict) else {}
    interval_s = number(specs.get("rate_exchange_interval"))
    initial_rate = get("initial_margin", scale=0.01)
    return Product(
        symbol=values["symbol"],
        id=int(get("id")),
        contract_type=_text(values.get("contract_type")),
        state=_text(values.get("state")) or "live",
        trading_status=_text(values.get("trading_status")) or "operational",
        base=_asset(values, "underlying_asset") or _text(values.get("contract_unit_currency")),
        quote=_asset(values, "quoting_asset"),
        index_symbol=_asset(values, "spot_index"),
        is_inverse=values.get("notional_type") == "inverse",
        contract_value=get("contract_value", 1.0),
        tick_size=get("tick_size"),
        initial_margin_rate=initial_rate,
        maintenance_margin_rate=get("maintenance_margin", scale=0.01),
        initial_margin_slope=get("initial_margin_scaling_factor", scale=0.01),
        maintenance_margin_slope=get("maintenance_margin_scaling_factor", scale=0.01),
        margin_slope_from=get("max_leverage_notional"),
        maximum_leverage=1.0 / initial_rate if initial_rate > 0.0 else 0.0,
        notional_limit=get("position_notional_limit"),
        taker_fee_rate=get("taker_commission_rate"),
        maker_fee_rate=get("maker_commission_rate"),
        funding_interval_s=int(interval_s) if interval_s > 0 else FUNDING_INTERVAL_S,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _asset(values: dict[str, Any], name: str) -> str:
    """Return the symbol of a nested asset or index."""
    asset = values.get(name)
    return _text(asset.get("symbol")) if isinstance(asset, dict) else ""
