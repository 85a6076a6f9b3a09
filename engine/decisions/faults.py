"""A strategy of a user at fault: what is told of it, and how entries pause."""

import numpy as np

from papertape.engine.broker.account import PAUSED_BY_FAULT
from papertape.engine.broker.orders import N_DECISIONS
from papertape.engine.records import DECISION, KEEP, REFUSED_FAULT
from papertape.engine.report import StrategyFault
from papertape.engine.state import EngineState


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
