"""
(g) Models about a strategy's own signals: refused on noise, found where signals pay in a known condition alone, nothing known early.

The strategy goes with the candle before, if that was large enough, and holds for one candle. In the planted market every candle
is busy or calm by the toss of a coin, and its volume says which: the next one goes its way with probability (1 + φ)/2 after a
busy one and with (1 − φ)/2 after a calm one. Of its size nothing is known, so a signal pays with that probability times the
chance that a move is larger than its cost, and signals of both kinds together cost money.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Rows, copy_rows, record
from papertape.engine.model import MODEL_FEATURES
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.training.labels import SIGNAL
from papertape.engine.records import FLAT, UNITS_PER_QUOTE
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies.own_signals import OwnSignals, can_short_of, even_chance, signals_name
from papertape.replay.backtesting.run import replay
from papertape.replay.honesty import pipeline
from papertape.replay.honesty.experiment import HonestyOptions, HonestyRow, RowTimer, Show
from papertape.replay.honesty.patched import swapped
from papertape.replay.learning import dataset
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.research.gate_study import chance_of_more
from papertape.replay.tapes.synthetic import HOURLY_VOLATILITY, synthesize

NOISES: Final = ("noise", "garch")
_STEP: Final = 0.3 * HOURLY_VOLATILITY  # of a candle that is gone with
_BUSY: Final = 3.0  # its volume, in that of a calm candle
_EDGE: Final = 0.02  # of the filter, as of the gate's plain rule
_DEVIATIONS: Final = 3.0
_SURE: Final = 0.01
_CUTS: Final = 4
_CAPITAL: Final = 10_000.0


class Follow:
    """Goes with a candle that moved by more than `step` for the length of the next; a model may stop it."""

    name = "follow"
    state_dtype = record(("unused", "f8"))
    features: Sequence[str] = ("log_return_1",)
    model_asks = SIGNAL

    def __init__(self, step: float = _STEP, least: float = even_chance(2.0, 3.0) + _EDGE) -> None:
        self.step, self.least = step, least

    def decide_batch(self, features: FloatArray, candles: Rows, n: int, state: Rows, decisions: Rows) -> None:
        """Write `n` decisions."""
        del candles, state
        moved, p = features[0, :n], features[-1, :n]
        wanted = np.where(np.abs(moved) > self.step, np.sign(moved), 0.0)
        is_let = np.isnan(p) | (p >= self.least)
        decisions[:n] = np.zeros(n, decisions.dtype)
        decisions["target"][:n] = np.where(is_let, wanted, FLAT).astype(np.int64)
        decisions["confidence"][:n] = decisions["size_scale"][:n] = 1.0


def signals(options: HonestyOptions, show: Show | None = None) -> Iterator[HonestyRow]:
    """Yield a row per kind of noise, one for the planted condition and one for what is known early."""
    clock = RowTimer()
    for number, kind in enumerate(NOISES):
        candles = _candles(kind, options.attempts, options.seed + 211 * number)
        yield _noise(clock, kind, candles, options, show)
    yield _found(clock, options, show)
    yield _early(clock, options)


def rows_of(candles: Rows) -> Dataset:
    """Return what an engine on these hours would give a model, and the strategy's own signals beside it."""
    spec = _spec()
    return dataset.dataset_of((pipeline.SYMBOL,), [candles], "1h", "1h", MODEL_FEATURES, asker=spec)


def conditional(candles: Rows, edge: float, seed: int) -> Rows:
    """Return candles of noise, each turned up or down and given a volume so that the condition above holds."""
    random, n = np.random.default_rng(seed), len(candles)
    is_busy, is_likely = random.random(n) < 0.5, random.random(n) < 0.5 * (1.0 + edge)
    turned = copy_rows(candles)
    body, high, low = (np.log(candles[name] / candles["open"]) for name in ("close", "high", "low"))
    goes_on = is_busy[:-1] == is_likely[1:]
    sign = np.cumprod(np.concatenate([[1.0], np.where(goes_on, 1.0, -1.0)]))
    is_flipped = np.sign(body) != sign
    body = np.abs(body) * sign
    start = np.log(candles["open"][0]) + np.concatenate([[0.0], np.cumsum(body)[:-1]])
    ends = np.exp(np.concatenate([start, [start[-1] + body[-1]]]))
    turned["open"], turned["close"] = ends[:-1], ends[1:]
    highest = np.exp(start + np.where(is_flipped, -low, high))
    lowest = np.exp(start + np.where(is_flipped, -high, low))
    turned["high"] = np.maximum(highest, np.maximum(turned["open"], turned["close"]))
    turned["low"] = np.minimum(lowest, np.minimum(turned["open"], turned["close"]))
    turned["volume"] = np.where(is_busy, _BUSY, 1.0)
    return turned


class Early(OwnSignals):
    """Signals with a planted look-ahead: each is that of the next close."""

    def of(self, symbol: int, matrix: FloatArray, bars: Rows, n: int, close_ms: IntArray) -> FloatArray:
        """Return what `OwnSignals` would one close later, as far as the batch tells."""
        later = matrix.copy()
        later[:, : n - 1] = matrix[:, 1:n]
        return super().of(symbol, later, bars, n, close_ms)


def first_early_signal(candles: Rows, whole: Dataset, seed: int) -> str:
    """Return where a signal changes when later candles are not there, or nothing."""
    cuts = np.random.default_rng(seed).integers(len(candles) // 4, len(candles), _CUTS)
    for cut in np.sort(cuts).tolist():
        part = rows_of(copy_rows(candles[:cut]))
        assert part.side is not None
        assert whole.side is not None
        n = part.side.shape[1]
        changed = np.flatnonzero(part.side[0] != whole.side[0, :n])
        if len(changed):
            return f"the signal {n - int(changed[0])} closes before a cut differs"
    return ""


def _spec() -> EngineSpec:
    """Return an engine that trades the signals which a model lets through, all of them without one."""
    return EngineSpec(
        markets=[Market(pipeline.SYMBOL, is_perpetual=True)],
        strategy=Follow(),
        timeframe="1h",
        base_timeframe="1h",
        capital=_CAPITAL,
        settings=Settings(sizing="fraction", fixed_fraction=0.5),
        model_features=MODEL_FEATURES,
    )


def _settings(options: HonestyOptions, horizon_bars: int = 24) -> LearningSettings:
    how = pipeline.settings("logistic", options, horizon_bars=horizon_bars)
    spec = _spec()
    can_short = can_short_of(spec.markets, spec.settings.allow_short)
    return replace(how, asks=SIGNAL, signals_of=signals_name(spec.every_turn, can_short))


def _candles(kind: str, attempts: int, seed: int) -> Rows:
    days = pipeline.WINDOW_DAYS + pipeline.GATE_DAYS + pipeline.STEP_DAYS * attempts + 2
    return copy_rows(synthesize(kind, days * 24, "1h", seed, symbol=pipeline.SYMBOL).candles)


def _noise(
    clock: RowTimer, kind: str, candles: Rows, options: HonestyOptions, show: Show | None
) -> HonestyRow:
    """Return whether models about signals of a market without anything to find are refused."""
    rows, how, name = rows_of(candles), _settings(options), f"signals in {kind}, logistic"
    made = pipeline.attempts(rows, how, options.attempts, show, name)
    judged = [attempt for attempt in made if attempt.gate]
    promoted = sum(attempt.is_promoted for attempt in made)
    found = pipeline.out_of_sample(rows, made, how)
    numbers, majority = (found.contenders[who] for who in ("challenger", "majority"))
    within = chance_of_more(promoted, len(made), how.gate_alpha) >= _SURE
    return clock.row(
        "g",
        name,
        "refused, no edge",
        f"{promoted} of {len(made)} promoted; afterwards {'an edge' if found.is_promoted else 'no edge'} on "
        f"{numbers['rows']:,.0f} signals: log-loss {numbers['log_loss']:.4f} against the majority's {majority['log_loss']:.4f}",
        within and not found.is_promoted and len(judged) == len(made),
    )


def _found(clock: RowTimer, options: HonestyOptions, show: Show | None) -> HonestyRow:
    """Return whether the condition in which signals pay is found, no less and no more than there is, and is worth money."""
    candles = conditional(
        _candles("noise", options.attempts, options.seed + 31), options.pattern, options.seed
    )
    rows, how = rows_of(candles), _settings(options, horizon_bars=1)
    name = "signals that pay after busy candles, logistic"
    made = pipeline.attempts(rows, how, options.attempts, show, name)
    promoted = sum(attempt.is_promoted for attempt in made)
    numbers = pipeline.out_of_sample(rows, made, how).contenders["challenger"]
    accuracy, n = numbers.get("accuracy") or 0.0, numbers["rows"] or 0.0
    best = best_accuracy(options.pattern, how.cost)
    chance = _DEVIATIONS * math.sqrt(best * (1.0 - best) / max(n, 1.0))
    low, high = best - options.margin - chance, best + chance
    since_ms = min((a.effective_ms for a in made if a.is_promoted), default=made[0].due_ms)
    with_it, without = (_account(candles, some, since_ms) for some in (made, ()))
    return clock.row(
        "g",
        name,
        f"{low:.1%} … {high:.1%}, promoted, profit where all signals cost money",
        f"accuracy {accuracy:.1%} on {n:,.0f} signals not seen; {promoted} of {len(made)} promoted; {with_it:+.0%} after costs, "
        f"{without:+.0%} without the model",
        low <= accuracy <= high and promoted >= 1 and without < 0.0 < with_it,
    )


def best_accuracy(edge: float, cost: float) -> float:
    """Return how often the best judge is right about whether a signal pays: yes after busy candles, no after calm ones."""
    moves_enough = math.erfc(cost / (HOURLY_VOLATILITY * math.sqrt(2.0)))
    likely, unlikely = 0.5 * (1.0 + edge) * moves_enough, 0.5 * (1.0 - edge) * moves_enough
    return 0.5 * (max(likely, 1.0 - likely) + max(unlikely, 1.0 - unlikely))


def _account(candles: Rows, made: Sequence[Attempt], since_ms: int) -> float:
    """Return what an account earned since a time with the models that were promoted, after every cost."""
    schedule = [(a.effective_ms, a.artefact) for a in made if a.is_promoted]
    run = replay(_spec(), [candles], models=schedule)
    equity = run.marks["equity"] / UNITS_PER_QUOTE
    return float(equity[-1] / equity[np.searchsorted(candles["open_ms"], since_ms)]) - 1.0


def _early(clock: RowTimer, options: HonestyOptions) -> HonestyRow:
    """Return whether every signal is the same on a tape that ends there, and whether a planted look-ahead is not."""
    candles = _candles("jumps", 1, options.seed + 37)
    own = first_early_signal(candles, rows_of(candles), options.seed)
    with swapped(dataset, "OwnSignals", Early):
        planted = first_early_signal(candles, rows_of(candles), options.seed)
    return clock.row(
        "g",
        "own signals computed again on cut tapes",
        "same signals; planted look-ahead noticed",
        f"pipeline: {own or 'same signals'}; planted: {planted or 'not noticed'}",
        not own and bool(planted),
    )
