"""Compile ahead, in parts that need nothing of one another: run kernels once over arrays of the kinds that an engine hands them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from papertape.engine.broker.orders import mute_absent
from papertape.engine.candles import empty_candles
from papertape.engine.core import Engine
from papertape.engine.features import plan_features
from papertape.engine.features.compute import perceive_structure
from papertape.engine.features.own.base import Found, NewCandles, OwnFeature, Runner
from papertape.engine.features.own.kernels import KernelFeature
from papertape.engine.features.series import FeatureLanes
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import FloatArray, Rows, kernel, locked_rows
from papertape.engine.model.gate.bets import Unseen, bet
from papertape.engine.model.inference.predictions import Predictions
from papertape.engine.model.inference.recent import Recent
from papertape.engine.model.kinds import LOGISTIC, infer
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies import Confluence, Decision, View
from papertape.engine.strategies.compiled.entry import is_compiled

_MINUTE_MS: Final = 60_000


class SilentFeature(OwnFeature):
    """A feature without values: it stands for a user's that is not in a kernel where only kernels matter."""

    def start(self, words: FloatArray) -> Runner:
        """Return itself, which keeps nothing."""
        return self

    def update(self, new: NewCandles, line: FloatArray) -> Found:
        """Write nothing."""
        return []


def silent(spec: EngineSpec) -> EngineSpec:
    """Return a specification with the same kernels and none of a user's code in Python."""
    own = [
        feature if isinstance(feature, KernelFeature) else SilentFeature(name, 0, None)
        for name, feature in spec.own.items()
    ]
    kind = SilentKernel if is_compiled(spec.strategy) else Silent
    strategy = kind(spec.requests)
    return replace(spec, strategy=strategy, own_features=own, starts_ms=0, symbol_strategies={}, turns=())


class Silent:
    """A strategy that reads features and never wants anything: it stands for a user's where only kernels matter."""

    def __init__(self, features: Sequence[str]) -> None:
        self.features = tuple(features)

    def decide(self, view: View) -> Decision | None:
        """Return nothing."""
        del view
        return None


class SilentKernel(Silent):
    """The same for a user's strategy in kernels, which the engine asks in another loop."""

    @kernel
    def decide(self, view: View) -> Decision | None:
        """Return nothing."""
        return None


def compile_features() -> None:
    """Compile lanes, technical features, and the default strategy with what it needs to be asked."""
    engine, candles = _engine()
    closed, at = engine.frames.advance(candles, 1)
    matrix, bars = engine.signals(0, closed, at), engine.frames.main[0].closed
    state, wishes = engine.strategy_state[:1], engine.wishes[0]
    Confluence(use_smc=False, use_ml=False).decide_batch(matrix, bars, closed, state, wishes)
    mute_absent(bars, closed, wishes)


def compile_execution() -> None:
    """Compile the broker."""
    engine, candles = _engine()
    engine.run_instants(candles, 0, 1, np.zeros(1, np.int64), 0)


def compile_structure() -> None:
    """Compile market structure."""
    lane = FeatureLanes(plan_features(("smc",), _MINUTE_MS), _MINUTE_MS, _MINUTE_MS).each[0]
    nobody = np.zeros(1, EVENT)
    perceive_structure(lane.history, 0, 1, 0, lane.plan, lane.slab, lane.out, nobody, lane.written)


def compile_model() -> None:
    """Compile what models of every kind need: what is kept, inferred and told at a close, and the bets on what they said."""
    matrix, bars, rows = np.zeros((2, 1)), empty_candles(1), np.zeros(1, np.int64)
    none = np.zeros(0)
    infer(LOGISTIC, matrix, rows, 0, bars, np.zeros(3), rows, 1, none, np.zeros(1), 1)
    Recent(1, 1).add(0, matrix, rows, 0, bars, 1)
    Predictions(1, 1, _MINUTE_MS, (1, 0)).add(0, matrix, 0, bars)
    bet(Unseen(rows, rows, np.zeros(1), np.zeros(1), 0, 1, 1))


def _engine() -> tuple[Engine, Rows]:
    """Return an engine of the default strategy, and a candle for it."""
    spec = EngineSpec([Market("X")], Confluence(use_smc=False, use_ml=False), "1m", "1m")
    candles = empty_candles(1)
    for price in ("open", "high", "low", "close"):
        candles[price] = 1.0
    return Engine(spec), locked_rows(candles)  # as an engine takes them
