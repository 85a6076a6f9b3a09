"""Turns: from when on which parameters of one strategy decide, as somebody who chose them anew every year would have it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from papertape.engine.errors import ConfigError
from papertape.engine.strategies.protocol import KernelStrategy, Strategy, state_dtype_of


class Turn(NamedTuple):
    """
    A strategy that decides from a time on.

    start_ms  the first close after it is the first that it is asked about
    """

    start_ms: int
    strategy: KernelStrategy | Strategy


def refuse_bad_turns(strategy: Any, starts_ms: int, turns: Sequence[Turn]) -> None:
    """Raise ConfigError for turns out of order, or of another class than the strategy that begins."""
    before_ms = starts_ms
    for number, turn in enumerate(turns, start=1):
        where = f"strategy.schedule: entry {number}"
        if turn.start_ms <= before_ms:
            raise ConfigError(f"{where} does not start after the one before it; put them in order")
        before_ms = turn.start_ms
        kinds = type(turn.strategy).__qualname__, type(strategy).__qualname__
        if type(turn.strategy) is not type(strategy):
            raise ConfigError(f"{where} is a {kinds[0]}, not a {kinds[1]}; only parameters change")
        if state_dtype_of(turn.strategy) != state_dtype_of(strategy):
            raise ConfigError(
                f"{where} keeps other state than the first; name the same `state_fields` whatever the parameters"
            )
