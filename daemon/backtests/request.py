"""
What may be asked of a backtest: a configuration that the same models check, no file outside some folders, no code of its own.

A request comes over the network, so it names neither code nor places: strategies, features and a function for fees are built in, or are those that
the daemon's own configuration names; tapes and series lie in the folders that it allows.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from papertape.engine.errors import ConfigError, DataError, did_you_mean
from papertape.engine.records import SERIES_NAMES
from papertape.engine.strategies import STRATEGIES
from papertape.replay.config import Config, make_config
from papertape.replay.config.user_code import check_strategy
from papertape.replay.importers.named import about_tape, is_file
from papertape.replay.tapes.store import Store

SET_ASIDE: Final = ("live", "daemon", "notifications", "backtests")  # no replay reads them
LONGEST_NAME: Final = 255


def checked(values: Mapping[str, Any], own: Config) -> tuple[dict[str, Any], Config]:
    """
    Return what a replay reads of a request, with the daemon's tape store where it names none, and that as a configuration.

    own  the daemon's configuration

    Raises ConfigError with every fault that the models find, or the first thing that is not allowed here.
    """
    try:
        json.dumps(values, allow_nan=False)
        make_config(values, "config")  # also what is set aside has to be right
        kept = {name: part for name, part in values.items() if name not in SET_ASIDE}
        if own.data.store is not None:
            kept["data"] = {"store": own.data.store, **kept.get("data", {})}
        config = make_config(kept, "config")
        _refuse_code(config, own)
        for entry in ({}, *(entry.parameters for entry in config.strategy.schedule)):
            check_strategy(config.strategy.name, {**config.strategy.parameters, **entry})
        _refuse_places(config, own)
    except (ValueError, RecursionError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise ConfigError(f"config: it cannot be read: {reason}") from error
    return kept, config


def _refuse_code(config: Config, own: Config) -> None:
    """Raise ConfigError for code that the daemon's own configuration does not name."""
    allowed = {own.strategy.name, *own.backtests.strategies, *STRATEGIES}
    if config.strategy.name not in allowed:
        hint = did_you_mean(config.strategy.name, sorted(allowed))
        raise ConfigError(
            f"config: strategy.name: {config.strategy.name!r} is neither built in nor named by the daemon's configuration"
            f"{hint}; its owner can add it to backtests.strategies"
        )
    for path in config.signals.own_features:
        if path not in own.signals.own_features:
            raise ConfigError(
                f"config: signals.own_features: {path!r} is not one of the daemon's own configuration"
            )
    fees = config.account.fee_function
    if fees not in (None, own.account.fee_function):
        raise ConfigError(
            f"config: account.fee_function: {fees!r} is not that of the daemon's own configuration"
        )


def _refuse_places(config: Config, own: Config) -> None:
    """Raise ConfigError for a file outside the folders that are allowed, or a tape that is not there."""
    data = config.data
    home = Store(own.data.store).directory
    folders = (home, *own.backtests.folders)
    if data.store is not None:
        _refuse_outside("data.store", data.store, folders)
    for name in SERIES_NAMES:
        for symbol, path in getattr(data, name).items():
            _refuse_outside(f"data.{name}.{symbol}", str(path), folders)
    store = Store(data.store)
    for name in data.tapes:
        if len(name) > LONGEST_NAME:
            raise ConfigError(
                f"config: data.tapes: a name has at most {LONGEST_NAME} characters, not {len(name)}"
            )
        if len(Path(name).parts) > 1 or is_file(name):
            _refuse_outside("data.tapes", name, folders)
            if not Path(name).exists():
                raise ConfigError(f"config: data.tapes: {name}: there is no such file")
            continue
        try:
            about_tape(name, store)
        except DataError as error:
            raise ConfigError(f"config: data.tapes: {error}") from error


def _refuse_outside(key: str, name: str, folders: Sequence[Path]) -> None:
    """Raise ConfigError for a file or folder that lies in none of these, links followed."""
    if len(name) > 16 * LONGEST_NAME:
        raise ConfigError(f"config: {key}: the path is too long")
    place = Path(name).resolve()
    if not any(place.is_relative_to(folder.resolve()) for folder in folders):
        raise ConfigError(
            f"config: {key}: {name} is not in a folder that backtests may read; the daemon's owner can add it to "
            "backtests.folders"
        )
