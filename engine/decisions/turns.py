"""Whose turn it is to decide: by the time of the candles alone, so that it is the same in any batch and after any restart."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from papertape.engine.decisions.compiled import CompiledDecider
from papertape.engine.decisions.faults import asked_in
from papertape.engine.decisions.kernels import KernelDecider
from papertape.engine.decisions.python import PythonDecider
from papertape.engine.jit import Rows
from papertape.engine.spec import EngineSpec
from papertape.engine.state import EngineState
from papertape.engine.strategies.compiled.entry import is_compiled
from papertape.engine.strategies.protocol import KernelStrategy

Decider: TypeAlias = KernelDecider | CompiledDecider | PythonDecider


def turn_at(close_ms: int, spec: EngineSpec) -> int:
    """Return how many of the spec's strategies have begun by a close; at its own start one has not."""
    starts = [spec.starts_ms, *(turn.start_ms for turn in spec.turns)]
    return int(np.searchsorted(starts, close_ms, "left"))


def by_turn(candles: Rows, spec: EngineSpec, base_ms: int) -> Iterator[tuple[Rows, int]]:
    """Yield complete instants in parts, each with its turn."""
    if not spec.turns and not spec.starts_ms:
        yield candles, 1
        return
    first = turn_at(int(candles[0]["open_ms"]) + base_ms, spec)
    last = turn_at(int(candles[-1]["open_ms"]) + base_ms, spec)
    if first == last:
        yield candles, first
        return
    starts = [spec.starts_ms, *(turn.start_ms for turn in spec.turns)]
    turns = np.searchsorted(starts, candles["open_ms"] + base_ms, "left")
    edges = [0, *(np.flatnonzero(np.diff(turns)) + 1).tolist(), len(candles)]
    for start, end in pairwise(edges):
        yield candles[start:end], int(turns[start])


def deciders_of(engine: EngineState) -> list[Decider]:
    """
    Return who decides by turn, the first before anybody's turn; where they are one, it knows all turns.

    One that is shown the account begins anew at its turn: what it would have done with another one is no memory of its own.
    """
    first, turns = engine.spec.strategy, engine.spec.every_turn
    if isinstance(first, KernelStrategy):
        is_ours = type(first).__module__.partition(".")[0] == "papertape"
        kernels = [asked_in(turn, engine.symbols, not is_ours) for turn in turns]
        return [KernelDecider(engine, kernels)]
    nobody = KernelDecider(engine, ())
    if is_compiled(first):
        compiled = [asked_in(turn, engine.symbols, False) for turn in turns]
        return [nobody, *(CompiledDecider(engine, asked) for asked in compiled)]
    shown = [asked_in(turn, engine.symbols, True) for turn in turns]
    return [nobody, *(PythonDecider(engine, asked) for asked in shown)]


def saved_by(deciders: Sequence[Decider]) -> dict[str, Rows]:
    """Return what deciders keep beside the engine's own state, the first one's under its own names."""
    return {
        _name(name, number): rows
        for number, decider in enumerate(deciders)
        for name, rows in decider.save().items()
    }


def load_into(deciders: Sequence[Decider], saved: dict[str, Rows]) -> None:
    """Let deciders take over what `saved_by` returned."""
    for number, decider in enumerate(deciders):
        own = {name: saved[_name(name, number)] for name in decider.save()}
        decider.load(own)


def _name(name: str, number: int) -> str:
    return name if number < 2 else f"{name}_of_turn_{number}"
