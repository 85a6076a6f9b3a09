"""From a configuration to tapes and to what an engine is built from: what replay and live operation share."""

from collections.abc import Sequence
from pathlib import Path

from papertape.engine.errors import ConfigError
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import make_strategy
from papertape.replay.config import Config
from papertape.replay.markets import market_for
from papertape.replay.tape import Store, Tape, read_tape


def load_tapes(config: Config) -> list[Tape]:
    """Return the tapes that a configuration names: files, names in the store, or the embedded sample."""
    if not config.data.tapes:
        from papertape.replay.sample import (
            sample_tape,  # pandas reads it, and whoever has tapes needs none
        )

        return [sample_tape()]
    store = Store(config.data.store)
    return [read_tape(Path(n)) if _is_file(n) else store.find(n) for n in config.data.tapes]


def _is_file(name: str) -> bool:
    return name.endswith(".parquet") or Path(name).is_file()


def make_spec(
    config: Config, tapes: Sequence[Tape], model_features: Sequence[str] = ()
) -> EngineSpec:
    """Return the engine's specification for these tapes; `model_features` are computed for models to come."""
    frames = {tape.timeframe for tape in tapes}
    if len(frames) != 1:
        raise ConfigError(
            f"data.tapes: timeframes {sorted(frames)} differ; resample the finer ones with "
            "`papertape tape resample`"
        )
    markets = [market_for(tape, config) for tape in tapes]
    return spec_for(config, markets, frames.pop(), model_features)


def spec_for(
    config: Config, markets: Sequence[Market], base: str, model_features: Sequence[str] = ()
) -> EngineSpec:
    """Return the engine's specification for these markets and this base timeframe, replayed or live."""
    account, parameters = config.account, dict(config.strategy.parameters)
    if config.strategy.name == "confluence":
        parameters.setdefault("use_ml", config.signals.use_ml)
        parameters.setdefault("use_smc", config.signals.use_smc)
    return EngineSpec(
        markets=markets,
        strategy=make_strategy(config.strategy.name, parameters),
        timeframe=config.data.timeframe or base,
        base_timeframe=base,
        capital=account.capital,
        settings=Settings(
            sizing=account.sizing,
            risk_fraction=account.risk,
            fixed_fraction=account.fixed_fraction,
            cash_share=account.cash_share,
            leverage_cap=account.leverage_cap,
            latency_bars=account.latency_bars,
            allow_short=account.allow_short,
        ),
        extra_features=config.signals.extra_features,
        model_features=tuple(dict.fromkeys((*config.signals.model_features, *model_features))),
    )
