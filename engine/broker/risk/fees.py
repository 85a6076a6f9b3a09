"""
Fees: what a fill pays, and how the rates fall with what was traded.

A fill pays rate × notional, the market's fixed fee on top, together no less than its smallest fee, and a surcharge on all of
that (a tax on fees). Only a rate below 0, which is a rebate and has to be configured as one, makes a fee negative; it
has neither smallest fee nor surcharge. A liquidation pays its own rate and nothing else. What a user's function says
(`papertape.engine.broker.risk.own_fees`) stands in place of rate, fixed and smallest fee.

With tiers the rates of a UTC day are those of the volume of the thirty days before it, of all markets of the account
together; at its start an account has traded nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, Final

import numpy as np

from papertape.engine.broker.account import TIER_DAYS
from papertape.engine.broker.ledger import UNITS_PER_VOLUME, added, money
from papertape.engine.candles import DAY_MS
from papertape.engine.errors import ConfigError
from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.jit.native import ask_at
from papertape.engine.options import check_options, option
from papertape.engine.records import MOST_TIERS

# What a user's function is asked about in place of 0 (taker) or 1 (maker): the largest fill that could be, as a taker.
LARGEST: Final = -1.0

# Bounds of what is charged on a notional; only what is paid to makers may be below 0, which is a rebate.
RATE: Final = {"ge": 0.0, "lt": 0.5}
MAKER_RATE: Final = {"gt": -0.01, "lt": 0.5}
_RATES: Final = ("taker_fee_rate", "maker_fee_rate")
_OTHER_COSTS: Final = ("half_spread_rate", "slippage_rate", "fee_fixed", "fee_minimum")


@dataclass(frozen=True, slots=True)
class FeeTier:
    """The rates from a volume of thirty days on, quote; those of the market itself hold below the first."""

    volume: float = option(MISSING, "of thirty days, all markets together, quote", gt=0.0)
    taker_fee_rate: float = option(MISSING, "of notional, where a fill takes", **RATE)
    maker_fee_rate: float = option(MISSING, "where it waited; below 0: a rebate", **MAKER_RATE)


def as_tiers(rows: Sequence[Any]) -> tuple[FeeTier, ...]:
    """Return rows as tiers, whether they are that already, mappings of the same names, or values in their order."""
    found = []
    for row in rows:
        values = row if isinstance(row, Mapping) else None
        if isinstance(row, FeeTier):
            found.append(row)
        else:
            found.append(FeeTier(*row) if values is None else FeeTier(**values))
    return tuple(found)


def check_fees(where: str, market: Any) -> None:
    """Raise ConfigError for fees of a market that nobody can mean; `where` begins the sentence."""
    if len(market.fee_tiers) >= MOST_TIERS:
        raise ConfigError(f"{where}: {len(market.fee_tiers)} fee tiers are more than {MOST_TIERS - 1}")
    before = 0.0
    for number, row in enumerate(market.fee_tiers, 1):
        place = f"{where}: fee tier {number}"
        check_options(place, row)
        if not before < row.volume:
            raise ConfigError(
                f"{place}: volume {row.volume:g} is not above {before:g}, that of the one before"
            )
        before = row.volume


def write_fees(row: Row, market: Any, n_markets: int) -> None:
    """Write what a MARKET record has of a market's fees beside its figures; n_markets: that the account trades."""
    write_reserve(row, n_markets)
    tiers = [FeeTier(0.0, market.taker_fee_rate, market.maker_fee_rate), *market.fee_tiers]
    row["n_tiers"] = len(tiers)
    for entry in fields(FeeTier):
        column = f"tier_{entry.name}"
        row[column][: len(tiers)] = [getattr(tier, entry.name) for tier in tiers]


def write_reserve(row: Row, n_markets: int) -> None:
    """Write what buying power leaves for the fees of a MARKET record; several markets may each pay a fixed fee at one open."""
    least = max(row["fee_fixed"], row["fee_minimum"])
    surcharge_rate = row["fee_surcharge_rate"]
    row["has_fees"] = bool(least or surcharge_rate or row["fee_address"])
    row["fee_reserve"] = least * (1.0 + surcharge_rate) * n_markets
    row["fee_markets"] = n_markets


def counts_volume(markets: Rows, traded: Sequence[int]) -> bool:
    """Return whether something asks what was traded in thirty days: tiers of a market that is traded, or a user's function."""
    asks = (markets["n_tiers"] > 1) | (markets["fee_address"] != 0)
    return any(asks[symbol] for symbol in traded)


def doubled(market: Any) -> dict[str, Any]:
    """Return every cost of a market twice, or the most that it takes; a rebate stays as it is."""
    bounds = {entry.name: entry.metadata.get("lt", np.inf) for entry in fields(market)}

    def costs(of: Any, names: Sequence[str]) -> dict[str, float]:
        found = {name: getattr(of, name) for name in names}
        most = {name: float(np.nextafter(bounds[name], 0.0)) for name in names}
        return {n: min(2.0 * cost, most[n]) if cost > 0.0 else cost for n, cost in found.items()}

    rows = tuple(replace(row, **costs(row, _RATES)) for row in market.fee_tiers)
    return {**costs(market, (*_RATES, *_OTHER_COSTS)), "fee_tiers": rows}


@kernel
def fee_of(
    account: Row, market: Row, quantity: float, price: float, is_maker: bool, is_largest: bool = False
) -> int:
    """Return what a fill pays that is no liquidation, money units; is_largest: that could be, asked to leave room for it."""
    rate = market.maker_fee_rate if is_maker else market.taker_fee_rate
    notional = quantity * price
    fee = notional * rate
    if market.has_fees != 0:
        if market.fee_address != 0:
            volume = account.volume * market.quote_per_volume
            kind = LARGEST if is_largest else 1.0 if is_maker else 0.0
            fee = ask_at(market.fee_address, price, quantity, kind, rate, volume, market.fee_minimum)
        else:
            fee += market.fee_fixed
            if rate >= 0.0:
                fee = max(fee, market.fee_minimum)
        fee += max(fee, 0.0) * market.fee_surcharge_rate
    return money(fee, market.units_per_quote)


@kernel
def begin_day(account: Row, markets: Rows, open_ms: int) -> None:
    """Let the rates of a new day be those of the thirty days before it."""
    day = open_ms // DAY_MS
    if day <= account.volume_day:
        return
    for missed in range(max(account.volume_day + 1, day - TIER_DAYS), day):
        account.volumes[missed % TIER_DAYS] = 0
    account.volume = 0
    for k in range(TIER_DAYS):
        account.volume = added(account.volume, account.volumes[k])
    account.volumes[day % TIER_DAYS] = 0
    account.volume_day = day
    set_rates(markets, account.volume)


@kernel
def set_rates(markets: Rows, volume: int) -> None:
    """Write the rates of a volume into the markets."""
    for symbol in range(len(markets)):
        market = markets[symbol]
        row = market.n_tiers - 1
        while row > 0 and volume * market.quote_per_volume < market.tier_volume[row]:
            row -= 1
        market.taker_fee_rate = market.tier_taker_fee_rate[row]
        market.maker_fee_rate = market.tier_maker_fee_rate[row]


@kernel
def count_volume(account: Row, fills: Rows, first: int, last: int) -> None:
    """Add fills `first` … `last - 1` to the volume of their day."""
    for row in range(first, last):
        today = account.volume_day % TIER_DAYS
        account.volumes[today] = added(account.volumes[today], fills[row].notional // UNITS_PER_VOLUME)
