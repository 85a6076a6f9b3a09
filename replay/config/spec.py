"""From a configuration to tapes and to what an engine is built from: what replay and live operation share."""

from collections.abc import Mapping, Sequence
from typing import Any

from papertape.engine.broker.risk.groups import refuse_unknown_members
from papertape.engine.broker.risk.sizes import SizeRules
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.features.own.base import OwnFeature
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import KernelStrategy, Strategy, make_strategy
from papertape.engine.strategies.turns import Turn
from papertape.replay.config import Config
from papertape.replay.config.fields import shared
from papertape.replay.config.markets import market_for
from papertape.replay.importers.named import about_tape, named_tape, sample, sample_about
from papertape.replay.tapes.own_features import load_feature
from papertape.replay.tapes.store import Store, Tape, time_ms


def load_tapes(config: Config) -> list[Tape]:
    """Return the tapes that a configuration names: files, names in the store, or the embedded sample."""
    store = Store(config.data.store)
    return [named_tape(name, store) for name in config.data.tapes] or [sample()]


def make_spec(config: Config, tapes: Sequence[Tape]) -> EngineSpec:
    """Return the engine's specification for these tapes."""
    frames = {tape.timeframe for tape in tapes}
    if len(frames) != 1:
        raise ConfigError(
            f"data.tapes: timeframes {sorted(frames)} differ; resample the finer ones with "
            "`papertape tape resample`"
        )
    markets = [market_for(tape, config) for tape in tapes]
    return spec_for(config, markets, frames.pop())


def check_names(config: Config) -> None:
    """Raise ConfigError for a market of the configuration that is none of its tapes or symbols; no candle is read."""
    if config.markets or config.limits.groups:
        store, names = Store(config.data.store), config.data.tapes
        found = [about_tape(name, store) for name in names] or [sample_about()]
        symbols = [str(about["symbol"]) for about in found]
        refuse_unknown_markets(config, [*symbols, *config.live.symbols])


def refuse_unknown_markets(config: Config, symbols: Sequence[str]) -> None:
    """Raise ConfigError for a section [markets.SYMBOL] or a member of a group that nothing would read."""
    refuse_unknown_members(config.limits.limits().groups, symbols)
    unknown = [name for name in config.markets if name not in symbols]
    if unknown:
        lines = (
            f"markets.{name}: no tape or symbol has that name{did_you_mean(name, symbols)}; there is "
            f"{', '.join(sorted(symbols))}"
            for name in unknown
        )
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


def spec_for(config: Config, markets: Sequence[Market], base: str) -> EngineSpec:
    """Return the engine's specification for these markets and this base timeframe, replayed or live."""
    refuse_unknown_markets(config, [market.symbol for market in markets])
    account, chosen = config.account, config.strategy
    return EngineSpec(
        markets=markets,
        strategy=_strategy_with(config, {}),
        timeframe=config.data.timeframe or base,
        base_timeframe=base,
        capital=account.capital,
        settings=Settings(**{**shared(account, Settings), "risk_fraction": account.risk}),
        extra_features=config.signals.extra_features,
        own_features=own_features_of(config),
        limits=config.limits.limits(),
        sizes=SizeRules(**shared(account, SizeRules)),
        starts_ms=time_ms(chosen.start) if chosen.start is not None else 0,
        turns=[
            Turn(time_ms(entry.start), _strategy_with(config, entry.parameters))
            for entry in chosen.schedule
        ],
        closes_at_turns=chosen.at_switch == "close",
    ).reading(config.signals.model_features)


def _strategy_with(config: Config, changes: Mapping[str, Any]) -> KernelStrategy | Strategy:
    """Return the configured strategy with some parameters changed."""
    chosen, signals = config.strategy, config.signals
    parameters = {**chosen.parameters, **changes}
    if chosen.name == "confluence":
        parameters.setdefault("use_ml", signals.use_ml)
        parameters.setdefault("use_smc", signals.use_smc)
    return make_strategy(chosen.name, parameters, chosen.made_by)
