"""One's own features: kernels beside the built-in ones of the same work, in turn; what the other forms cost a candle."""

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from papertape.engine.features import plan_features
from papertape.engine.features.compute import measure_all
from papertape.engine.features.evaluate import history_of
from papertape.engine.features.history import CLOSE, WINDOW, slide_total
from papertape.engine.features.own.base import NewCandles, OwnFeature
from papertape.engine.features.own.kernels import kernel_feature
from papertape.engine.features.own.names import own_features
from papertape.engine.features.own.series import OwnSeries
from papertape.engine.features.series import BLOCK, FeatureLanes
from papertape.engine.features.smc import EVENT
from papertape.engine.features.trend import AVERAGE
from papertape.engine.jit import FloatArray, Rows
from papertape.replay.tapes.own_features import table_feature
from tests.bench.candles import make

MOST_TIMES: Final = 1.3  # a built-in of the same work
_MINUTE_MS: Final = 60_000


@kernel_feature(look_back=1, state=AVERAGE, parameters=(20,))
def own_ema(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    """The exponential average as somebody would write it."""
    period = int(p[0])
    for i in range(first, last):
        t = count + i - first
        if t >= period:
            state.average += 2.0 / (period + 1.0) * (history[CLOSE, i] - state.average)
            out[i - first] = state.average
        else:
            state.total += history[CLOSE, i]
            if t == period - 1:
                state.average = state.total / period
                out[i - first] = state.average


@kernel_feature(look_back=21, state=WINDOW, parameters=(20,))
def own_sma(history: Any, first: int, last: int, count: int, p: Any, state: Any, out: Any) -> None:
    """The simple average with what kernels are given to slide over windows."""
    period, row = int(p[0]), history[CLOSE]
    for i in range(first, last):
        t = count + i - first
        slide_total(state, row, i, t, period)
        out[i - first] = state.total / period if t >= period - 1 else np.nan


class OwnEma:
    """The same as an object."""

    name = "object_ema"
    state_fields = ("average", "bars")

    def update(self, candle: Any) -> float:
        """Return the average, from the first close on."""
        self.bars += 1
        share = 2 / 21 if self.bars > 1 else 1.0
        self.average += share * (candle.close - self.average)
        return self.average


@table_feature(look_back=20)
def table_sma(candles: Any) -> Any:
    """The same over a table."""
    return candles["close"].rolling(20).mean()


def costs(n: int, runs: int) -> list[dict[str, Any]]:
    """Return the lines of the table: from base candles to values, as an engine has them, and the features alone."""
    candles = make(n)
    history = history_of(candles)
    lines = []
    for built_in, feature in (("ema_20", own_ema), ("sma_20", own_sma)):
        ours, theirs = _series(built_in, candles), _series(feature, candles)
        np.testing.assert_array_equal(ours(), theirs())
        whole = _in_turn(ours, theirs, 3 * runs)
        alone = _in_turn(_built_in(built_in, history), _own(feature, history), 3 * runs)
        lines.append(
            {
                "work": f"own kernel beside {built_in}",
                "candles": n,
                "built_in_ns": whole[0] / n * 1e9,
                "own_ns": whole[1] / n * 1e9,
                "ratio": whole[1] / whole[0],
                "ratio_alone": alone[1] / alone[0],
                "must": MOST_TIMES,
                "is_met": whole[1] <= MOST_TIMES * whole[0],
            }
        )
    for name, given, share in (("object", OwnEma(), 10), ("table", table_sma, 1000)):
        (feature,) = own_features((given,)).values()
        few = np.ascontiguousarray(history[:, : max(n // share, 100)])
        seconds = float(np.median([_seconds(_own(feature, few)) for _ in range(runs)]))
        lines.append(
            {
                "work": f"own feature as {name}",
                "candles": few.shape[1],
                "us_per_candle": seconds / few.shape[1] * 1e6,
                "is_met": True,
            }
        )
    return lines


def _in_turn(ours: Callable[[], Any], theirs: Callable[[], Any], runs: int) -> tuple[float, float]:
    """Return the least seconds of each, measured in turn."""
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(runs)]
    first, second = zip(*pairs, strict=True)
    return min(first), min(second)


def _series(request: str | OwnFeature, candles: Rows) -> Callable[[], FloatArray]:
    """Return a run of one symbol with one feature, which gives the newest batch of values."""
    own = {} if isinstance(request, str) else {request.name: request}
    plan = plan_features((request,) if isinstance(request, str) else tuple(own), own=own)
    lanes = FeatureLanes(plan, _MINUTE_MS, _MINUTE_MS)
    series = lanes.each[0]
    nobody = np.zeros(1, EVENT)

    def run() -> FloatArray:
        series.restart()
        for first in range(0, len(candles), BLOCK):
            part = candles[first : first + BLOCK]
            lanes.advance(part, len(part))
            series.perceive(nobody)
            assert not series.bad_values, series.bad_values[0]
        return series.out[0, : series.n_closed].copy()

    return run


def _built_in(name: str, history: FloatArray) -> Callable[[], Any]:
    plan = plan_features((name,))
    slab, out = plan.initial_state().view(np.float64).reshape(-1), np.full((1, BLOCK), np.nan)

    def run() -> None:
        n, slab[:] = history.shape[1], 0.0
        for first in range(0, n, BLOCK):
            last = min(first + BLOCK, n)
            measure_all(history, first, last, first, plan.program, slab, out)

    return run


def _own(feature: OwnFeature, history: FloatArray) -> Callable[[], Any]:
    plan = plan_features((feature.name,), own={feature.name: feature})
    slab, out = plan.initial_state().view(np.float64).reshape(-1), np.full((1, BLOCK), np.nan)
    series = OwnSeries(plan.own, slab)

    def run() -> None:
        n, slab[:] = history.shape[1], 0.0
        for first in range(0, n, BLOCK):
            last = min(first + BLOCK, n)
            bad = series.update(NewCandles(history, first, last, first), out)
            assert not bad, bad[0]

    return run


def _seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()  # others on the machine count for nothing
    work()
    return time.process_time() - started
