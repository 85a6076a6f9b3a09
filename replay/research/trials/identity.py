"""What makes two trials the same: the digest of all of a configuration that decides, and that of the code behind it."""

import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from papertape.engine.jit.cache import source_digest
from papertape.engine.strategies import STRATEGIES, parameters_of
from papertape.engine.user_code.definition import digest_of
from papertape.replay.config import Config
from papertape.replay.config.cadence import cadence
from papertape.replay.config.learning import FIRST_POLICY, Learning
from papertape.replay.config.user_code import file_of

NOT_DECIDING: Final = ("report", "live", "daemon")  # sections that change no decision


def configuration_digest(config: Config, models: Sequence[tuple[int, bytes]] = ()) -> str:
    """
    Return the digest of all of a configuration that decides, of the text of a user's strategy, and of the models it is given.

    models  in place of those that it would train: (close in ms at which it takes over, artefact)

    What has its default does not count, so a key that a later version adds makes no old configuration a new one; tapes
    count by their hash, and the engine's own code by `code_digest`. A default that has changed counts by what it was at first.
    Features and a function for fees of a user's own count with their text as well.
    """
    found = digest_of_values(deciding(config), config)
    if not models:
        return found
    given = "".join(f"\n{at_ms} {hashlib.sha256(data).hexdigest()}" for at_ms, data in sorted(models))
    return hashlib.sha256(f"{found}{given}".encode()).hexdigest()


def deciding(config: Config) -> dict[str, Any]:
    """Return all of a configuration that decides and is not its default, as plain values."""
    values = config.model_dump(mode="json", exclude_defaults=True)
    _set_policy(values, config)
    for name in NOT_DECIDING:
        values.pop(name, None)
    for name in ("store", "tapes"):
        values.get("data", {}).pop(name, None)
    return values


def digest_of_values(values: Mapping[str, Any], config: Config) -> str:
    """Return the digest of a configuration of which `deciding` says these values."""
    text = json.dumps(values, sort_keys=True, allow_nan=False).encode()
    return hashlib.sha256(text + b"\n" + _code_of(config)).hexdigest()


def _set_policy(values: dict[str, Any], config: Config) -> None:
    """Name the policy where models may be let in otherwise than before there was a choice, and only there."""
    learning = values.pop("learning", {})
    learning.pop("policy", None)
    policy = config.learning.policy
    is_default = policy == Learning().policy
    if policy != FIRST_POLICY and not (is_default and _never_trains(config)):
        learning["policy"] = policy
    if learning:
        values["learning"] = learning


def _never_trains(config: Config) -> bool:
    """Return whether nothing is trained, as far as a configuration tells without anybody's code."""
    if not config.signals.use_ml or cadence(config.signals.retrain_every) is None:
        return True
    built_in = STRATEGIES.get(config.strategy.name) if config.strategy.made_by is None else None
    return built_in is not None and not hasattr(built_in, "use_ml")


def code_digest(config: Config, others: Sequence[str] = ()) -> str:
    """
    Return the digest of the code that decides: the engine's, and that of a user's strategy, features and function for fees.

    others  what may take their place, as module:Name; what is built in is the engine's
    """
    found = hashlib.sha256(source_digest().encode())
    found.update(_code_of(config))
    for name in sorted(set(others)):
        if ":" in name:
            found.update(b"\n" + name.encode() + b"\n" + _text_of(name))
    return found.hexdigest()


def trial_digest(configuration: str, tapes: Iterable[str]) -> str:
    """Return what makes a trial another: its configuration's digest, or the hashes of all its tapes."""
    return hashlib.sha256("\n".join([configuration, *sorted(tapes)]).encode()).hexdigest()


def _code_of(config: Config) -> bytes:
    """Return the text of a user's strategy, features and function for fees; nothing for built-in ones."""
    fees = config.account.fee_function
    named = [*config.signals.own_features, *([] if fees is None else [fees])]
    return _strategy_of(config) + b"".join(map(_text_of, named))


def _text_of(name: str) -> bytes:
    """Return the text of the module that module:Name lies in; nothing where it is not there, of a notebook's the definition."""
    module, _, own = name.partition(":")
    loaded = sys.modules.get(module)
    if loaded is not None and loaded.__spec__ is None:
        return digest_of(getattr(loaded, own, None)).encode()
    file = file_of(module)
    return file.read_bytes() if file is not None else b""


def _strategy_of(config: Config) -> bytes:
    made_by = config.strategy.made_by
    if made_by is not None:
        kind = made_by if isinstance(made_by, type) else type(made_by())
        own = "" if isinstance(made_by, type) else repr(sorted(parameters_of(made_by()).items()))
        try:
            return (inspect.getsource(kind) + own).encode()
        except (OSError, TypeError):  # typed into a session that keeps no text
            return (kind.__qualname__ + own).encode()
    return _text_of(config.strategy.name) if ":" in config.strategy.name else b""
