"""
Whether a configuration can train a model at all: the closes of its window and of its gate against what both need at least.

Counted as if every close had all its inputs and a label that is known as early as one can be, so what is refused here can
never train, whatever the market does.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.jit import IntArray
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.gate.gate import GateOptions
from papertape.engine.model.relevance.selection import ALL, within_blocks
from papertape.engine.model.relevance.selection import LEAST_ROWS as LEAST_SELECTED_BY
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.model.training.parts import newest_share, purged_parts
from papertape.engine.model.training.prepare import LEAST_ROWS, PARTS, SHARES
from papertape.replay.config import Config
from papertape.replay.config.cadence import Cadence, cadence
from papertape.replay.config.learning import Learning
from papertape.replay.learning.settings import DAY_MS, LearningSettings, gate_ms_of
from papertape.replay.tapes.store import Store, read_metadata

_MOST_CLOSES = 1 << 20
_EXAMPLES = 64  # due times that are looked at


def check_learning(config: Config, where: str = "configuration", timeframe: str | None = None) -> None:
    """
    Raise ConfigError, one fault a line, where models are wanted that could never be trained or judged.

    timeframe  of the strategy, for whoever knows its candles; None: as far as the configuration tells
    """
    if faults := learning_faults(config, timeframe or _timeframe(config)):
        raise ConfigError(f"{where}: " + f"\n{where}: ".join(faults))


def learning_faults(config: Config, timeframe: str | None) -> list[str]:
    """Return why no model could ever be trained, or no recipe judged, on a timeframe, with the numbers that are missing."""
    every = cadence(config.signals.retrain_every)
    if not config.signals.use_ml or every is None or timeframe is None:
        return []
    read_only = sum(bool(market.read_only) for market in config.markets.values())
    named = max(len(config.data.tapes), len(config.live.symbols))
    faults = shortages(config.learning, timeframe, max(named - read_only, 1))
    try:
        every.check_length(timeframe)
    except ConfigError as error:
        faults.append(f"signals.retrain_every: {error}")
    else:
        if config.learning.policy == "recipe":
            faults += _never_judged(every, timeframe, config.learning.horizon_bars)
    return faults + _unfit(config)


def shortages(learning: Learning, timeframe: str, n_symbols: int) -> list[str]:
    """Return what is too short for a model of so many symbols on a timeframe, with the number that is missing."""
    length_ms = timeframe_ms(timeframe)
    need = least_closes(learning, n_symbols)
    gate_days = gate_ms_of(learning, length_ms) / DAY_MS
    given = (
        ("window_days", learning.window_days, "training", need.window),
        ("gate_days", gate_days, "gate", need.gate),
    )
    faults = []
    for name, days, what, closes in given:
        chosen = ""
        if what == "training":
            chosen += f', select = "{learning.select}"' if learning.select != ALL else ""
            chosen += f", windows {learning.windows}" if learning.windows > 1 else ""
        have = int(round(days * DAY_MS) // length_ms)
        if have < closes:
            faults.append(
                f"learning.{name}: {days:g} days hold {have:,} closes of {timeframe}, {closes - have:,} fewer than the "
                f"{closes:,} that the {what} needs with horizon_bars {learning.horizon_bars}{chosen} and {n_symbols} symbols; "
                f"write {days_of(closes, length_ms):g} or more, or a shorter horizon"
            )
    return faults


class LeastCloses(NamedTuple):
    """The fewest closes of a timeframe that a window of training and a gate need."""

    window: int
    gate: int


def least_closes(learning: Learning, n_symbols: int) -> LeastCloses:
    """Return what a model of so many symbols needs at least."""
    embargo = learning.horizon_bars if learning.embargo_bars is None else learning.embargo_bars
    known = learning.horizon_bars if learning.label == "direction" else 1
    rows_per_close = 1 if learning.per_symbol else n_symbols

    def can_train(n: int) -> bool:
        return _can_train(n, known, embargo, rows_per_close, learning.windows) and (
            learning.select == ALL or _can_select(n, known, embargo, learning.horizon_bars, n_symbols)
        )

    return LeastCloses(
        _least(can_train), _least(lambda n: _can_judge(n, known, learning.horizon_bars, n_symbols))
    )


def days_of(closes: int, length_ms: int) -> float:
    """Return the days that hold so many closes, in whole hundredths."""
    return -(-closes * length_ms * 100 // DAY_MS) / 100


def refuse_few_signals(rows: Dataset, due_ms: Sequence[int], settings: LearningSettings) -> None:
    """
    Raise ConfigError where models are asked about signals and no attempt can have as many as training or gate need.

    rows  all there will be; the signals of several symbols count together, as their rows do
    """
    if rows.side is None:
        return
    counts = np.count_nonzero(rows.side, axis=0)
    until = np.concatenate([[0], np.cumsum(counts)])  # signals up to each close
    ends, gates = np.array(due_ms), np.array(due_ms) - settings.gate_ms

    def at(times: IntArray) -> IntArray:
        return until[np.searchsorted(rows.time_ms, times, "right")]

    learnt = at(gates) - at(gates - settings.window_ms)
    parts = [("window_days", settings.window_ms, learnt, len(PARTS) * LEAST_ROWS, "training")]
    if settings.policy == "model":
        judged = at(ends) - at(gates)
        parts.append(("gate_days", settings.gate_ms, judged, GateOptions().least_rows, "gate"))
    for name, span_ms, found, need, what in parts:
        most = int(found.max(initial=0))
        if most >= need:
            continue
        days = span_ms / DAY_MS
        longer = f"write about {np.ceil(days * need / most):g}, or " if most else ""
        raise ConfigError(
            f"learning.{name}: {days:g} days hold at most {most:,} closes with a signal of the strategy, {need - most:,} fewer "
            f"than the {need:,} that the {what} needs (signals.model_asks); {longer}let the strategy signal more often"
        )


def _unfit(config: Config) -> list[str]:
    """Return what a kind of model refuses of its settings."""
    learning = config.learning
    try:
        TrainingOptions(
            config.signals.model,
            sizes=learning.sizes,
            is_fine_tuned=learning.fine_tune,
            seeds=learning.seeds,
            windows=learning.windows,
            select=learning.select,
        )
    except ConfigError as error:
        told = str(error).replace("training.is_fine_tuned", "learning.fine_tune")
        return [told.replace("training.", "learning.")]
    return []


def _never_judged(every: Cadence, timeframe: str, horizon_bars: int) -> list[str]:
    """Return what keeps a recipe from ever passing: no row's label is known before the next retrain."""
    due = [every.after(0) or 0]
    while len(due) < _EXAMPLES and (after := every.after(due[-1])) is not None:
        due.append(after)
    length_ms = timeframe_ms(timeframe)
    closes = max(((after - before) // length_ms for before, after in itertools.pairwise(due)), default=0)
    need = horizon_bars + 1
    if closes >= need:
        return []
    return [
        f"learning.policy: a recipe is judged on rows between two retrains whose labels are known by the second; "
        f"{closes:,} closes of {timeframe} lie between them, {need - closes:,} fewer than the {need:,} that "
        f'horizon_bars {horizon_bars} needs; retrain less often, shorten the horizon, or write policy = "model"'
    ]


def _can_train(n: int, known: int, embargo: int, rows_per_close: int, windows: int) -> bool:
    """Return whether each part of so many closes has enough rows, of the oldest one its shortest window."""
    rows = np.arange(n)
    try:
        parts = purged_parts(rows + known, rows + known < n, SHARES, embargo)
    except DataError:
        return False
    parts = (newest_share(parts[0], 0.5 ** (windows - 1)), *parts[1:])
    return min(int(part.sum()) for part in parts) * rows_per_close >= LEAST_ROWS


def _can_select(n: int, known: int, embargo: int, horizon_bars: int, n_symbols: int) -> bool:
    """Return whether enough rows of the oldest part have a label that is known within their block."""
    rows = np.arange(n)
    train = purged_parts(rows + known, rows + known < n, SHARES, embargo)[0]
    free, _ = within_blocks(train[None], (rows + known)[None], horizon_bars)
    return int(free.sum()) * n_symbols >= LEAST_SELECTED_BY


def _can_judge(n: int, known: int, horizon_bars: int, n_symbols: int) -> bool:
    """Return whether the gate would look at so many closes."""
    options = GateOptions()
    block = max(round(options.block_horizons * horizon_bars), round(n ** (1 / 3)), 1)
    return (n - known) * n_symbols >= options.least_rows and n // block >= options.least_blocks


def _least(is_enough: Callable[[int], bool]) -> int:
    """Return the fewest closes that are enough."""
    low, high = 0, 1
    while not is_enough(high):
        low, high = high, 2 * high
        assert high <= _MOST_CLOSES
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _timeframe(config: Config) -> str | None:
    """Return the strategy's timeframe as far as it can be known without reading candles."""
    if config.data.timeframe is not None:
        return config.data.timeframe
    if config.live.symbols:
        return config.live.timeframe
    if not config.data.tapes:
        return "1h"  # the sample
    name = config.data.tapes[0]
    try:
        path = Path(name) if Path(name).is_file() else Store(config.data.store).entry(name).path
        return str(read_metadata(path)["timeframe"])
    except DataError:
        return None  # a tape that is not there yet is told when it is read
