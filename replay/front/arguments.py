"""From the arguments of a call to a configuration; an argument that is unknown is answered with what to write."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from papertape.engine.errors import ConfigError
from papertape.replay.config import Config, load_config, make_config


class Spelling(NamedTuple):
    """How others spell an argument: our name, the key of the configuration, and how a value is turned into ours."""

    name: str
    key: str
    turned: Callable[[Any], Any] = lambda value: value


def _days(value: Any) -> str:
    return f"{value:g}d" if isinstance(value, int | float) else f"{value}d"


_FEE_RATE: Final = "market.taker_fee_rate"
# The prototype's own spellings first, then those of other backtesters.
SPELLINGS: Final = {
    "start_date": Spelling("start", "data.start"),
    "end_date": Spelling("end", "data.end"),
    "model_type": Spelling("model", "signals.model"),
    "num_epochs": Spelling("epochs", "learning.epochs"),
    "n_epochs": Spelling("epochs", "learning.epochs"),
    "epochs": Spelling("epochs", "learning.epochs"),
    "retrain_frequency_days": Spelling("retrain_every", "signals.retrain_every", _days),
    "days_back": Spelling("days_back", "learning.window_days"),
    "lookback_days": Spelling("days_back", "learning.window_days"),
    "interval": Spelling("timeframe", "data.timeframe"),
    "cash": Spelling("initial_capital", "account.capital"),
    "capital": Spelling("initial_capital", "account.capital"),
    "leverage": Spelling("leverage", "account.leverage_cap"),
    "commission": Spelling("commission", _FEE_RATE),
    "fee": Spelling("fee", _FEE_RATE),
    "fees": Spelling("fees", _FEE_RATE),
    "slippage": Spelling("slippage", "market.slippage_rate"),
    "df": Spelling("data", "data"),
    "tape": Spelling("data", "data"),
}


def configuration(
    call: str,
    parameters: Iterable[str],
    given: Mapping[str, tuple[str, Any]],
    more: Mapping[str, Any],
    config: Config | str | Path | None = None,
) -> Config:
    """
    Return the configuration that a call's arguments make, or the one that it was given.

    call        its name, for messages; parameters: its arguments by name
    given       argument → (key of the configuration, value); those that are None were not given
    more        what came beside them: whole sections, or names that do not exist
    config      a ready configuration or its file, beside which nothing else may say anything

    Raises ConfigError with one sentence, or with every fault of the values.
    """
    chosen = {name: one for name, one in given.items() if one[1] is not None}
    for name, value in more.items():
        if name not in Config.model_fields:
            raise ConfigError(f"{call}: {_way_out(name, value, parameters)}")
        if not isinstance(value, Mapping):
            raise ConfigError(f"{call}: {name}={value!r} is no section; write {name}={{'key': value}}")
    if config is not None:
        if beside := [*chosen, *more]:
            raise ConfigError(
                f"{call}: {', '.join(beside)} beside config=, which says everything; write it into the configuration, "
                "or leave config= out"
            )
        return config if isinstance(config, Config) else load_config(Path(config))
    values: dict[str, Any] = {}
    for key, value in chosen.values():
        section, _, field = key.partition(".")
        values.setdefault(section, {})[field] = value
    for name, section_values in more.items():
        values[name] = {**values.get(name, {}), **section_values}
    return make_config(values, call)


def _way_out(name: str, value: Any, parameters: Iterable[str]) -> str:
    """Return what to write in place of an argument that does not exist."""
    known = [*parameters, *Config.model_fields]
    if spelling := SPELLINGS.get(name):
        if callable(value) and spelling.key == _FEE_RATE:
            return f"{name}: write fee_function={getattr(value, '__name__', '…')}"
        turned = spelling.turned(value)
        if spelling.name in known:
            shown = "…" if spelling.name == "data" else repr(turned)
            return f"{name}: write {spelling.name}={shown}"
        section, _, key = spelling.key.partition(".")
        return f"{name}: write {section}={{{key!r}: {turned!r}}}"
    sections = [section for section, keys in _keys().items() if name in keys]
    if sections == ["data"] and "config" in known:  # `data` are the candles themselves
        return f"{name}: write config=Config(data={{{name!r}: {value!r}}}, …)"
    if len(sections) == 1 and sections != ["data"]:
        return f"{name}: write {sections[0]}={{{name!r}: {value!r}}}"
    if nearest := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"{name}: unknown; did you mean {nearest[0]!r}?"
    return f"{name}: unknown; choose one of {', '.join(sorted(set(known)))}"


def _keys() -> dict[str, set[str]]:
    """Return the keys of every section of the configuration."""
    return {
        name: set(field.annotation.model_fields)
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
