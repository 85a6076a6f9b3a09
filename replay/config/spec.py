"""From a configuration to tapes and to what an engine is built from: what replay and live operation share."""

from collections.abc import Callable, Sequence
from functools import partial

from papertape.engine.broker.risk.groups import refuse_unknown_members
from papertape.engine.broker.risk.own_fees import FeeFunction
from papertape.engine.broker.risk.sizes import SizeRules
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.features.own.base import OwnFeature
from papertape.engine.records import SERIES_NAMES
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import KernelStrategy, Strategy, load_object, make_strategy
from papertape.engine.strategies.turns import BySymbol, Turn, refuse_unknown_symbols
from papertape.replay.config import Config, ScheduledParameters
from papertape.replay.config.fields import about_symbol, shared
from papertape.replay.config.markets import first_ms_of, market_at_first, market_for, refuse_other_money
from papertape.replay.importers.named import about_tape, named_tape, sample, sample_about
from papertape.replay.tapes.own_features import load_feature
from papertape.replay.tapes.store import Store, Tape, time_ms


def load_tapes(config: Config) -> list[Tape]:
    """Return the tapes that a configuration names: files, names in the store, or the embedded sample."""
    store = Store(config.data.store)
    return [named_tape(name, store) for name in config.data.tapes] or [sample()]


def make_spec(config: Config, tapes: Sequence[Tape]) -> EngineSpec:
    """Return the engine's specification for these tapes, with what is dated before their first candle."""
    frames = {tape.timeframe for tape in tapes}
    if len(frames) != 1:
        raise ConfigError(
            f"data.tapes: timeframes {sorted(frames)} differ; resample the finer ones with "
            "`papertape tape resample`"
        )
    first_ms = first_ms_of(config, tapes)
    markets = [market_at_first(config, market_for(tape, config), first_ms) for tape in tapes]
    refuse_other_money(markets, {tape.symbol: tape.kind for tape in tapes})
    return spec_for(config, markets, frames.pop())


def check_names(config: Config) -> None:
    """Raise ConfigError for a market of the configuration that is none of its tapes or symbols; no candle is read."""
    chosen = config.strategy
    has_own = any(chosen.symbols_in(entry) for entry in (None, *chosen.schedule))
    has_series = any(getattr(config.data, name) for name in SERIES_NAMES)
    if config.markets or config.limits.groups or config.portfolio.rules().is_any or has_own or has_series:
        store, names = Store(config.data.store), config.data.tapes
        found = [about_tape(name, store) for name in names] or [sample_about()]
        symbols = [*(str(about["symbol"]) for about in found), *config.live.symbols]
        check_together(
            partial(refuse_unknown_markets, config, symbols), partial(_refuse_unknown_series, config, symbols)
        )


def check_together(*checks: Callable[[], object]) -> None:
    """Make every check, and raise one ConfigError with the faults of all, one a line."""
    faults = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))


def refuse_unknown_markets(config: Config, symbols: Sequence[str]) -> None:
    """Raise ConfigError for sections of a symbol, members of groups and shares that nothing would read, one fault a line."""
    read_only = {name for name, market in config.markets.items() if market.read_only}
    traded = [symbol for symbol in symbols if symbol not in read_only]
    schedule = [
        partial(refuse_unknown_symbols, f"strategy.schedule: entry {number}: symbols", entry.symbols, traded)
        for number, entry in enumerate(config.strategy.schedule, start=1)
    ]
    check_together(
        partial(_refuse_unknown_sections, config, symbols),
        partial(refuse_unknown_members, config.limits.limits().groups, symbols),
        partial(refuse_unknown_symbols, "strategy.symbols", config.strategy.symbols, traded),
        *schedule,
        partial(config.portfolio.rules().refuse, traded, config.account.sizing),
    )


def _refuse_unknown_sections(config: Config, symbols: Sequence[str]) -> None:
    lines = [
        f"markets.{name}: no tape or symbol has that name{did_you_mean(name, symbols)}; there is "
        f"{', '.join(sorted(symbols))}"
        for name in config.markets
        if name not in symbols
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _refuse_unknown_series(config: Config, symbols: Sequence[str]) -> None:
    lines = [
        f"data.{name}.{symbol}: no tape has that symbol{did_you_mean(symbol, symbols)}"
        for name in SERIES_NAMES
        for symbol in sorted(getattr(config.data, name))
        if symbol not in symbols
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def own_features_of(config: Config) -> tuple[OwnFeature, ...]:
    """Return the features of somebody's own that a configuration names; their modules are imported."""
    found = []
    for path in config.signals.own_features:
        try:
            found.append(load_feature(path))
        except ConfigError as error:
            raise ConfigError(f"signals.own_features: {error}") from error
    return tuple(found)


def fee_function_of(config: Config) -> FeeFunction | None:
    """Return the function for fees that a configuration names, None for none; its module is imported."""
    path = config.account.fee_function
    if path is None:
        return None
    try:
        return FeeFunction(load_object(path), path)
    except ConfigError as error:
        where = "account.fee_function: "
        raise ConfigError(f"{where}{str(error).removeprefix(where)}") from error


def spec_for(config: Config, markets: Sequence[Market], base: str) -> EngineSpec:
    """Return the engine's specification for these markets and this base timeframe, replayed or live."""
    refuse_unknown_markets(config, [market.symbol for market in markets])
    account, chosen = config.account, config.strategy
    return EngineSpec(
        markets=markets,
        strategy=strategy_of(config),
        symbol_strategies=_by_symbol(config),
        timeframe=config.data.timeframe or base,
        base_timeframe=base,
        capital=account.capital,
        money_decimals=account.decimals,
        fee_function=fee_function_of(config),
        settings=Settings(**{**shared(account, Settings), "risk_fraction": account.risk}),
        extra_features=config.signals.extra_features,
        own_features=own_features_of(config),
        limits=config.limits.limits(),
        sizes=SizeRules(**shared(account, SizeRules)),
        allocation=config.portfolio.rules(),
        starts_ms=time_ms(chosen.start) if chosen.start is not None else 0,
        turns=[
            Turn(time_ms(entry.start), strategy_of(config, entry), _by_symbol(config, entry))
            for entry in chosen.schedule
        ],
        closes_at_turns=chosen.at_switch == "close",
    ).reading(config.signals.model_features)


def _by_symbol(config: Config, entry: ScheduledParameters | None = None) -> BySymbol:
    """Return the configured strategy of each symbol that has parameters of its own."""
    found = {}
    for symbol in config.strategy.symbols_in(entry):
        with about_symbol(symbol):
            found[symbol] = strategy_of(config, entry, symbol)
    return found


def strategy_of(
    config: Config, entry: ScheduledParameters | None = None, symbol: str = ""
) -> KernelStrategy | Strategy:
    """Return the configured strategy with the parameters of an entry of the schedule, and of a symbol."""
    chosen, signals = config.strategy, config.signals
    parameters = chosen.parameters_in(entry, symbol)
    if chosen.name == "confluence":
        parameters.setdefault("use_ml", signals.use_ml)
        parameters.setdefault("use_smc", signals.use_smc)
        parameters.setdefault("model_use", signals.model_use)
        parameters.setdefault("model_asks", signals.model_asks)
    return make_strategy(chosen.name, parameters, chosen.made_by)
