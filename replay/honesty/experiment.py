"""What an experiment is given, and the row that it makes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, NamedTuple, Self

from papertape.engine.errors import ConfigError
from papertape.engine.model import KINDS

NETWORKS: Final = ("cnn_lstm", "lstm", "transformer")

Show = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class HonestyOptions:
    """
    How much is tried.

    networks         kinds that are trained beside the logistic one; none: torch is not needed
    attempts         retrainings per market of noise, thirty days apart
    edge             φ of the planted edge, `pattern` of the one that only a network can learn; see `papertape.replay.tapes.synthetic`
    margin           by which out-of-sample accuracy may stay below that of the best judge, beside chance
    boundaries       between parts, at which the purge is tried
    histories, years of a recipe, per kind of noise and edge; how long the noise is
    seed             of every market and model
    """

    networks: tuple[str, ...] = NETWORKS
    attempts: int = 4
    edge: float = 0.4
    pattern: float = 0.5
    margin: float = 0.05
    boundaries: int = 200
    histories: int = 200
    years: float = 4.0
    epochs: int = 50
    seed: int = 1

    def __post_init__(self) -> None:
        for name in self.networks:
            if name not in KINDS or name == "logistic":
                raise ConfigError(f"honesty: {name!r} is no network")
        for name, least in (
            ("attempts", 1),
            ("boundaries", 20),
            ("histories", 20),
            ("epochs", 1),
            ("seed", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"honesty: {name} {getattr(self, name)} is below {least}")
        for name in ("edge", "pattern"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"honesty: {name} {getattr(self, name)} is not between 0 and 1")

    @classmethod
    def quick(cls, seed: int = 1) -> Self:
        """Return what takes seconds: no network, fewer boundaries."""
        return cls(networks=(), attempts=2, boundaries=60, histories=40, years=1.0, seed=seed)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "networks": list(self.networks)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave; raises KeyError when a value is missing."""
        taken = {entry.name: values[entry.name] for entry in fields(cls)}
        return cls(**{**taken, "networks": tuple(taken["networks"])})


class HonestyRow(NamedTuple):
    """
    One experiment.

    part            a … g as in the table's key
    expected, found in words, with the numbers
    """

    part: str
    what: str
    expected: str
    found: str
    is_fine: bool
    wall_s: float


class RowTimer:
    """Makes rows, each with the time since the one before."""

    def __init__(self) -> None:
        self._since_s = time.monotonic()

    def row(self, part: str, what: str, expected: str, found: str, is_fine: bool) -> HonestyRow:
        """Return a row and begin timing the next."""
        now_s = time.monotonic()
        took_s, self._since_s = now_s - self._since_s, now_s
        return HonestyRow(part, what, expected, found, is_fine, took_s)
