"""The instances that are asked, and a strategy of a user at fault: what is told of it, how it begins again, how entries pause."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Generic, TypeVar

import numpy as np

from papertape.engine.broker.account import PAUSED_BY_FAULT
from papertape.engine.broker.orders import N_DECISIONS
from papertape.engine.errors import ConfigError
from papertape.engine.records import DECISION, KEEP, REFUSED_FAULT
from papertape.engine.report import StrategyFault
from papertape.engine.state import EngineState
from papertape.engine.strategies.protocol import KernelStrategy, Strategy
from papertape.engine.strategies.turns import Turn
from papertape.engine.user_code.undeclared_state import StateWatch

T = TypeVar("T", bound=KernelStrategy | Strategy)


class Asked(Generic[T]):
    """
    A strategy that is asked about one symbol or more: an instance of one engine.

    The one in the specification is never asked anything, so that it can begin again from there.

    is_watched  what it keeps where no snapshot finds it is noticed
    """

    def __init__(self, origin: T, is_watched: bool) -> None:
        self._origin = origin
        self.strategy = _copied(origin)
        self.is_watched = is_watched
        self._watch = StateWatch(self.strategy) if is_watched else None

    def change(self, time_ms: int, length_ms: int) -> str:
        """Return what it has changed of itself since it was made, empty for nothing; see `StateWatch.change`."""
        return self._watch.change(time_ms, length_ms) if self._watch is not None else ""

    def start_again(self) -> None:
        """Go on with a new instance: what a strategy kept by itself would be lost at the next start anyway."""
        assert self._watch is not None
        self._watch.put_back()
        self.strategy = _copied(self._origin)
        self._watch = StateWatch(self.strategy)


def asked_in(turn: Turn, symbols: Sequence[str], is_watched: bool) -> list[Asked[Any]]:
    """Return who is asked about each symbol in a turn; those without parameters of their own share one instance."""
    shared: Asked[Any] = Asked(turn.strategy, is_watched)
    return [Asked(turn.of(symbol), is_watched) if symbol in turn.symbols else shared for symbol in symbols]


def _copied(strategy: T) -> T:
    try:
        return deepcopy(strategy)
    except Exception as error:  # a user's class: whatever copying it raises
        kind = type(strategy).__name__
        raise ConfigError(
            f"strategy {kind}: every run needs an instance of its own, and this one cannot be copied ({error}); keep "
            "files, locks and connections out of it"
        ) from error


def told_change(name: str, is_kernel: bool) -> str:
    """Return what is wrong with a strategy that changed something of itself, and the way out."""
    way = (
        "the record of state_dtype: state[0].bars += 1 in the kernel"
        if is_kernel
        else 'state_fields: write state_fields = ("bars",) in the class and view.state.bars += 1 in decide'
    )
    return f"it changed {name} while it decided; what lasts from candle to candle belongs in {way}"


def pause(engine: EngineState, fault: StrategyFault) -> None:
    """Stop entries and report why; stops and targets stay, exits go on."""
    account, counters = engine.account[0], engine.outputs.counters
    rows = np.zeros(1, DECISION)
    row = rows[0]
    row.sequence = account.sequence
    row.time_ms = fault.time_ms
    row.symbol = engine.symbols.index(fault.symbol)
    row.target = KEEP
    row.model_version = account.model_version
    row.refused = REFUSED_FAULT
    number = int(counters[N_DECISIONS])
    engine.outputs.decisions[number : number + 1] = rows
    counters[N_DECISIONS] += 1
    account.sequence += 1
    account.is_paused |= PAUSED_BY_FAULT
