"""Compile ahead: run each kernel once over arrays of the kinds that an engine hands it. The cold start uses it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from papertape.engine.candles import empty_candles
from papertape.engine.core import Engine
from papertape.engine.features import plan_features
from papertape.engine.features.compute import perceive_structure
from papertape.engine.features.own.base import Found, NewCandles, OwnFeature, Runner
from papertape.engine.features.own.kernels import KernelFeature
from papertape.engine.features.series import FeatureSeries
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import FloatArray, kernel
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
    return replace(
        spec, strategy=strategy, own_features=own, starts_ms=0, symbol_strategies={}, turns=()
    )


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


def compile_common() -> None:
    """Compile the kernels of every run: lanes, features, the default strategy, the broker."""
    spec = EngineSpec([Market("X")], Confluence(use_smc=False, use_ml=False), "1m", "1m")
    candles = empty_candles(1)
    for price in ("open", "high", "low", "close"):
        candles[price] = 1.0
    Engine(spec).step(candles)


def compile_structure() -> None:
    """Compile market structure."""
    lane = FeatureSeries(plan_features(("smc",), _MINUTE_MS), _MINUTE_MS, _MINUTE_MS)
    nobody = np.zeros(1, EVENT)
    perceive_structure(lane.history, 0, 1, 0, lane.plan, lane.slab, lane.out, nobody, lane.written)
