"""What an engine is built from: plain values, checked once, with a fingerprint that a snapshot is bound to."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Final

import numpy as np

from papertape.engine.broker.account import (
    FILL_THROUGH,
    FILL_TOUCH,
    MARGIN_CROSS,
    MARGIN_ISOLATED,
    SETTINGS,
    SIZE_ALL_IN,
    SIZE_BY_FRACTION,
    SIZE_BY_KELLY,
    SIZE_BY_RISK,
    SIZE_BY_VOLATILITY,
)
from papertape.engine.broker.ledger import DECIMALS, UNITS_PER_VOLUME, money, refuse_capital, units_per_quote
from papertape.engine.broker.risk.allocation import Allocation
from papertape.engine.broker.risk.brackets import (
    Bracket,
    amounts_of,
    as_brackets,
    check_leverage,
    largest_notional,
)
from papertape.engine.broker.risk.fees import (
    MAKER_RATE,
    RATE,
    FeeTier,
    as_tiers,
    check_fees,
    doubled,
    write_fees,
    write_reserve,
)
from papertape.engine.broker.risk.groups import refuse_unknown_members, write_groups
from papertape.engine.broker.risk.limits import Limits
from papertape.engine.broker.risk.own_fees import FeeFunction, as_fee_function
from papertape.engine.broker.risk.sizes import SizeRules
from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.features.own.base import OwnFeature
from papertape.engine.features.own.definition import definition_of
from papertape.engine.features.own.names import own_features, request_texts
from papertape.engine.jit import Row, Rows
from papertape.engine.jit.cache import source_digest
from papertape.engine.options import check_options, option
from papertape.engine.records import MARKET
from papertape.engine.strategies.own_signals import refuse_two_questions
from papertape.engine.strategies.parameters import values_as_text
from papertape.engine.strategies.past import history_bars_of
from papertape.engine.strategies.protocol import KernelStrategy, Strategy
from papertape.engine.strategies.turns import BySymbol, Turn, refuse_bad_turns

SIZINGS: dict[str, int] = {
    "risk": SIZE_BY_RISK,
    "fraction": SIZE_BY_FRACTION,
    "all_in": SIZE_ALL_IN,
    "volatility": SIZE_BY_VOLATILITY,
    "kelly": SIZE_BY_KELLY,
}

_NO_LIMITS: Final = Limits()
_UNDIVIDED: Final = Allocation()
_SIZES: Final = SizeRules()
MARGINS: dict[str, int] = {"isolated": MARGIN_ISOLATED, "cross": MARGIN_CROSS}
LIMIT_FILLS: dict[str, int] = {"through": FILL_THROUGH, "touch": FILL_TOUCH}


@dataclass(slots=True, frozen=True)
class Market:
    """
    What is known of a market; sizes of 0 mean "any", rates are fractions.

    Quantities are in base units; `contract_value` converts a venue's contracts to them. What is `read_only` feeds features
    of others (`BTCUSD:rsi_14`) and is never traded: no strategy is asked about it, and no model learns from it.

    fee_…               of a fill, beyond its rate, and rates by what was traded (`papertape.engine.broker.risk.fees`)
    maximum_notional    of a position, quote, that the venue takes at all; 0: any
    leverage            of a position's isolated margin (`papertape.engine.broker.risk.margin`); 0: it is never liquidated
    maintenance_rate    of notional that the margin must still be worth; it grows by `maintenance_slope` per quote of
                        notional beyond `maintenance_from`
    initial_rate        of notional that must be there to open; it grows by `initial_slope` likewise
    brackets            leverage and maintenance by notional, in place of those rates (`papertape.engine.broker.risk.brackets`)

    >>> market = Market("BTCUSD", is_perpetual=True, contract_value=0.001, taker_fee_rate=0.0005)
    >>> round(20_000.0 * 0.5 * market.taker_fee_rate, 9)  # the fee of half a bitcoin at 20,000
    5.0
    """

    symbol: str
    is_perpetual: bool = False
    contract_value: float = option(1.0, "base units of one contract", gt=0.0)
    tick_size: float = option(0.0, "step of prices, quote; 0: any", ge=0.0)
    lot_size: float = option(0.0, "step of sizes, base units; 0: any", ge=0.0)
    minimum_size: float = option(0.0, "of an order, base units", ge=0.0)
    minimum_notional: float = option(0.0, "of an order, quote", ge=0.0)
    taker_fee_rate: float = option(0.0005, "of notional, where a fill takes", **RATE)
    maker_fee_rate: float = option(0.0002, "likewise where it waited; below 0: a rebate", **MAKER_RATE)
    fee_fixed: float = option(0.0, "of every fill, quote, on top", ge=0.0, lt=1e9)
    fee_minimum: float = option(0.0, "smallest fee of a fill, quote; not of a rebate", ge=0.0, lt=1e9)
    fee_surcharge_rate: float = option(0.0, "tax on fees, as a share of them", ge=0.0, le=1.0)
    fee_tiers: tuple[FeeTier, ...] = ()
    half_spread_rate: float = option(0.00005, "of the price, where a fill crosses the spread", **RATE)
    slippage_rate: float = option(0.0001, "of the price, beside the half spread", **RATE)
    maximum_leverage: float = option(0.0, "of a position; 0: no limit", ge=0.0)
    leverage: float = option(
        0.0,
        "isolated margin: a position is liquidated when it has lost notional ÷ leverage; 0: never",
        ge=0.0,
        le=1_000.0,
    )
    maintenance_rate: float = option(0.0, "of notional that the margin must still be worth", ge=0.0, lt=1.0)
    maintenance_slope: float = option(0.0, "that it grows by per quote of notional", ge=0.0, le=1.0)
    maintenance_from: float = option(0.0, "notional from which it grows, quote", ge=0.0)
    initial_rate: float = option(0.0, "of notional that opening takes", ge=0.0, le=1.0)
    initial_slope: float = option(
        0.0, "that it grows by per quote of notional beyond maintenance_from", ge=0.0, le=1.0
    )
    maximum_notional: float = option(0.0, "of a position, quote; 0: no limit", ge=0.0)
    brackets: tuple[Bracket, ...] = ()
    liquidation_fee_rate: float = option(0.0, "of notional, beside the margin", **RATE)
    read_only: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "brackets", as_brackets(self.brackets))
        object.__setattr__(self, "fee_tiers", as_tiers(self.fee_tiers))
        where = f"market {self.symbol}"
        check_options(where, self)
        check_fees(where, self)
        check_leverage(where, self)

    @property
    def largest_notional(self) -> float:
        """Return how large a position may be at its leverage, quote; 0: any."""
        return largest_notional(
            self.leverage,
            self.brackets,
            self.initial_rate,
            self.initial_slope,
            self.maintenance_from,
            self.maximum_notional,
        )

    def plain(self) -> dict[str, Any]:
        """Return what is known as JSON has it."""
        tables = ("brackets", "fee_tiers")
        return asdict(self) | {name: list(map(asdict, getattr(self, name))) for name in tables}

    @property
    def entry_cost_rate(self) -> float:
        """Return what buying costs of a notional, fixed fees aside."""
        fee_rate = self.taker_fee_rate * (1.0 + self.fee_surcharge_rate)
        return fee_rate + self.half_spread_rate + self.slippage_rate

    @property
    def with_doubled_costs(self) -> "Market":
        """Return the same market with every cost twice; a rebate stays as it is."""
        return replace(self, **doubled(self))

    def write(self, row: Row, n_markets: int = 1, decimals: int = DECIMALS) -> None:
        """Write what is known into a MARKET record; n_markets: that the account trades; decimals: of quote that it counts."""
        row["units_per_quote"] = units_per_quote(decimals)
        row["quote_per_unit"] = float(f"1e-{decimals}")
        row["quote_per_volume"] = float(f"{UNITS_PER_VOLUME}e-{decimals}")
        known = {entry.name for entry in fields(self)} | {"largest_notional"}
        for name in known & set(MARKET.names or ()):
            row[name] = getattr(self, name)
        write_fees(row, self, n_markets)
        if self.brackets:
            highest = self.brackets[0].leverage
            row["maximum_leverage"] = min(self.maximum_leverage or highest, highest)
            row["n_brackets"] = len(self.brackets)
            for name, column in zip(("from", "rate", "amount"), amounts_of(self.brackets).T, strict=True):
                row[f"bracket_{name}"][: len(column)] = column


@dataclass(slots=True, frozen=True)
class Settings:
    """
    How the account trades.

    sizing          risk | fraction | all_in | volatility | kelly
    risk_fraction   of equity, lost at the stop; fixed_fraction: of equity, as notional
    cash_share      largest part of buying power that one order may use
    leverage_cap    gross notional ÷ equity on perpetuals
    latency_bars    base candles between the earliest possible fill and ours
    volume_share    of a candle's volume that working orders may fill; 0 = any
    limit_fill      through | touch: when a working limit order fills
    margin          isolated | cross: whether a perpetual with leverage stands on its own margin, or all on the account
    """

    sizing: str = "risk"
    risk_fraction: float = 0.01
    fixed_fraction: float = 0.25
    cash_share: float = 0.99
    leverage_cap: float = 1.0
    latency_bars: int = 0
    allow_short: bool = True
    volume_share: float = 0.0
    limit_fill: str = "through"
    margin: str = "isolated"

    def rows(self) -> Rows:
        """Return the settings as one SETTINGS record."""
        named = {"sizing": SIZINGS, "limit_fill": LIMIT_FILLS, "margin": MARGINS}
        for name, known in named.items():
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"account.{name}: unknown {value!r}{did_you_mean(value, known)}")
        rows = np.zeros(1, SETTINGS)
        for entry in fields(self):
            value = getattr(self, entry.name)
            rows[entry.name] = named[entry.name][value] if entry.name in named else value
        return rows


@dataclass(slots=True, frozen=True)
class EngineSpec:
    """
    Everything that decides what an engine does.

    markets         one per symbol; their order changes nothing
    base_timeframe  what fills and stops see; timeframe: what the strategy sees, a multiple of it
    capital         starting cash in quote
    extra_features  computed beside the strategy's own, on the strategy's timeframe or with @timeframe
    model_features  likewise, for models: a model that reads another one is refused
    own_features    features of somebody's own that the others may name, beside those that the strategy holds itself
    events          report the events of market structure (`smc` among the features); decisions do not depend on it
    limits          on what may be lost and held
    allocation      which part of the account each symbol trades with
    sizes           by volatility and by Kelly's fraction, where `settings.sizing` asks for them
    starts_ms       the first close after it is the first that the strategy is asked about
    symbol_strategies  the same strategy with parameters of its own, by symbol; all others share `strategy`
    turns           the same strategy with other parameters, which decide from then on, in order
    closes_at_turns positions are closed at the first open of a turn, and what rests is taken back; else both are carried
    money_decimals  of quote that the account counts (`papertape.engine.broker.ledger`)
    fee_function    a user's, in place of the markets' rates (`papertape.engine.broker.risk.own_fees`)
    """

    markets: Sequence[Market]
    strategy: KernelStrategy | Strategy
    timeframe: str
    base_timeframe: str
    capital: float = 10_000.0
    settings: Settings = Settings()
    extra_features: Sequence[str] = ()
    model_features: Sequence[str] = ()
    events: bool = False
    own_features: Sequence[Any] = ()
    limits: Limits = _NO_LIMITS
    sizes: SizeRules = _SIZES
    allocation: Allocation = _UNDIVIDED
    starts_ms: int = 0
    symbol_strategies: BySymbol = field(default_factory=dict)
    turns: Sequence[Turn] = ()
    closes_at_turns: bool = False
    money_decimals: int = DECIMALS
    fee_function: FeeFunction | None = None  # or what one is made of

    def __post_init__(self) -> None:
        object.__setattr__(self, "fee_function", as_fee_function(self.fee_function))
        base_ms, length_ms = timeframe_ms(self.base_timeframe), timeframe_ms(self.timeframe)
        if length_ms % base_ms:
            raise ConfigError(
                f"timeframe: {self.timeframe} is not a multiple of the base timeframe {self.base_timeframe}"
            )
        refuse_capital(self.capital, self.money_decimals)
        symbols = [market.symbol for market in self.markets]
        if not symbols or len(set(symbols)) != len(symbols):
            raise ConfigError(f"markets: {symbols} must be at least one symbol, each once")
        if not self.traded:
            raise ConfigError(f"markets: {symbols} are all read_only; leave it out where you trade")
        refuse_unknown_members(self.limits.groups, symbols)
        refuse_bad_turns(self.every_turn, self.traded)
        refuse_two_questions(self.strategies)
        self.allocation.refuse(self.traded, self.settings.sizing)

    @property
    def units_per_quote(self) -> float:
        """Return how many money units one quote is."""
        return units_per_quote(self.money_decimals)

    @property
    def capital_units(self) -> int:
        """Return the starting cash in money units."""
        return money(self.capital, self.units_per_quote)

    @property
    def every_turn(self) -> tuple[Turn, ...]:
        """Return the strategy that begins and those of later turns, in order."""
        return (Turn(self.starts_ms, self.strategy, self.symbol_strategies), *self.turns)

    @property
    def strategies(self) -> tuple[KernelStrategy | Strategy, ...]:
        """Return the strategy with the parameters of every turn and symbol."""
        return tuple(one for turn in self.every_turn for one in turn.strategies)

    @property
    def requests(self) -> tuple[str, ...]:
        """Return what the strategy reads, in any turn and for any symbol, as text."""
        named = (name for one in self.strategies for name in request_texts(one.features))
        is_one = len(self.strategies) == 1
        return request_texts(self.strategy.features) if is_one else tuple(dict.fromkeys(named))

    @property
    def own(self) -> dict[str, OwnFeature]:
        """Return the features of somebody's own, by name; raises ConfigError for what cannot be one."""
        named = [feature for one in self.strategies for feature in one.features]
        return own_features((*named, *self.own_features))

    def settings_rows(self) -> Rows:
        """Return how the account trades and what limits it, as one SETTINGS record."""
        rows = self.settings.rows()
        rows["has_tiers"] = self.fee_function is not None or any(
            m.fee_tiers and not m.read_only for m in self.markets
        )
        self.limits.write(rows[0])
        self.allocation.write(rows[0])
        base_ms, sizes = timeframe_ms(self.base_timeframe), self.sizes
        rows["variance_target"] = sizes.variance_target(base_ms)
        rows["variance_decay"] = sizes.variance_decay(base_ms)
        rows["kelly_decay"] = sizes.kelly_decay()
        for name in ("kelly_trades", "kelly_share", "kelly_least", "kelly_most"):
            rows[name] = getattr(sizes, name)
        return rows

    def reading(self, features: Sequence[str]) -> "EngineSpec":
        """Return the same with more features for models, each once."""
        named = tuple(dict.fromkeys((*self.model_features, *features)))
        return self if named == self.model_features else replace(self, model_features=named)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols in the order in which they are processed."""
        return tuple(sorted(market.symbol for market in self.markets))

    @property
    def traded(self) -> tuple[str, ...]:
        """Return the symbols that are traded, in the same order."""
        return tuple(sorted(market.symbol for market in self.markets if not market.read_only))

    def market_rows(self) -> Rows:
        """Return one MARKET record per symbol, in processing order."""
        is_cross = self.settings.margin == "cross"
        rows = market_rows(self.markets, is_cross=is_cross, decimals=self.money_decimals)
        write_groups(rows, self.limits.groups, self.symbols)
        self.allocation.write_shares(rows, self.symbols, self.traded)
        if self.fee_function is not None:
            rows["fee_address"] = self.fee_function.address
            for row in rows:
                write_reserve(row, len(self.traded))
        return rows

    def fingerprint(self) -> str:
        """Return a digest of these values and of the engine's sources."""
        strategy = self.strategy
        values: dict[str, Any] = {
            "sources": source_digest(),
            "markets": sorted(repr(market) for market in self.markets),
            "strategy": [type(strategy).__module__, type(strategy).__qualname__, *values_as_text(strategy)],
            "rest": [self.timeframe, self.base_timeframe, self.capital, repr(self.settings)],
            "extra": [list(self.extra_features), list(self.model_features)],
        }
        own = {name: definition_of(feature) for name, feature in sorted(self.own.items())}
        if own:
            values["own_features"] = own
        if self.limits.is_any:
            values["limits"] = [repr(self.limits)]
        rules = {"sizes": (self.sizes, _SIZES), "allocation": (self.allocation, _UNDIVIDED)}
        values |= {name: [repr(a)] for name, (a, default) in rules.items() if a != default}
        if self.money_decimals != DECIMALS:
            values["money_decimals"] = self.money_decimals
        if self.fee_function is not None:
            values["fee_function"] = repr(self.fee_function)
        if self.starts_ms or len(self.strategies) > 1:
            turns = [turn.as_text() for turn in self.every_turn]
            values["turns"] = [self.closes_at_turns, turns]
        bars = history_bars_of(strategy)
        if bars:
            values["history_bars"] = [bars]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def market_rows(markets: Sequence[Market], *, is_cross: bool, decimals: int = DECIMALS) -> Rows:
    """Return one MARKET record per symbol, in the order of their names."""
    rows = np.zeros(len(markets), MARKET)
    rows["is_cross"] = is_cross
    n_traded = len([market for market in markets if not market.read_only])
    for row, market in zip(rows, sorted(markets, key=attrgetter("symbol")), strict=True):
        market.write(row, n_traded, decimals)
    return rows
