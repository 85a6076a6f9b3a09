"""The learning pass of a backtest: rows from its tapes, due times from its clock, attempts from a child process."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from papertape.engine.candles import timeframe_ms
from papertape.engine.jit import Rows
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.training.labels import SIGNAL
from papertape.engine.spec import EngineSpec
from papertape.replay.config import Config
from papertape.replay.config.cadence import Cadence
from papertape.replay.config.series import recorded_series
from papertape.replay.config.spec import make_spec
from papertape.replay.feed import whole_span, within_traded
from papertape.replay.learning.attempt import Attempt, Learned
from papertape.replay.learning.challenge import lack
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.feasible import refuse_few_signals
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.runner import run_walk
from papertape.replay.learning.settings import LearningSettings, settings_of
from papertape.replay.runtime.sync import wait_for
from papertape.replay.tapes.store import Tape

Progress = Callable[[str, int, int], None]
Walk = Callable[[TrainingJob], Learned]


def learn(
    config: Config,
    spec: EngineSpec,
    tapes: Sequence[Tape],
    candles: Sequence[Rows],
    cadence: Cadence,
    on_progress: Progress | None = None,
    walk: Walk | None = None,
) -> Learned:
    """
    Return what comes of every retraining that is due while these candles are replayed.

    tapes    in the engine's order; candles: the part of each that is replayed
    walk     goes through the retrainings; None: a process of its own does

    Models may learn from what the tapes hold before the first candle of the replay: it is the past.
    """
    started_s = time.monotonic()
    base_ms = timeframe_ms(spec.base_timeframe)
    first_ms, last_ms = whole_span(candles)
    due_ms = cadence.between(first_ms - 1, last_ms + base_ms)
    settings = settings_of(config, spec, [tape.sha256 for tape in tapes])
    back = [_reaching_back(tape.candles, first_ms, last_ms, settings) for tape in tapes]
    held = within_traded(spec, back, config.data.gaps)
    first_close_ms = whole_span(held)[0] + timeframe_ms(spec.timeframe)
    skipped, due = _sorted_out(due_ms, first_close_ms, settings)
    if not due:
        return Learned(skipped, [], {}, time.monotonic() - started_s)
    rows = _rows(config, spec, held, settings, on_progress)
    refuse_few_signals(rows, due, settings)
    job = TrainingJob(settings, tuple(due), rows, is_walk=True)
    learned = walk(job) if walk is not None else _in_child(job, on_progress)
    took_s = time.monotonic() - started_s
    return learned._replace(attempts=[*skipped, *learned.attempts], wall_s=took_s)


def _in_child(job: TrainingJob, on_progress: Progress | None) -> Learned:
    with tempfile.TemporaryDirectory(prefix="papertape-") as folder:
        return wait_for(run_walk(Path(folder), job, _shown(on_progress)))


def lesson_of(
    config: Config, tapes: Sequence[Tape], on_progress: Progress | None = None
) -> tuple[LearningSettings, Dataset]:
    """Return how models are trained on these tapes, and the rows of the configured span."""
    tapes = sorted(tapes, key=lambda tape: tape.symbol)
    spec = make_spec(config, tapes)
    settings = settings_of(config, spec, [tape.sha256 for tape in tapes])
    return settings, rows_of(config, spec, tapes, settings, on_progress)


def rows_of(
    config: Config,
    spec: EngineSpec,
    tapes: Sequence[Tape],
    settings: LearningSettings,
    on_progress: Progress | None = None,
) -> Dataset:
    """Return the rows of the configured span of tapes, which are in the engine's order."""
    data = config.data
    cuts = [tape.between(data.start, data.end).candles for tape in tapes]
    held = within_traded(spec, cuts, data.gaps)
    return _rows(config, spec, held, settings, on_progress)


def _rows(
    config: Config,
    spec: EngineSpec,
    held: Sequence[Rows],
    settings: LearningSettings,
    on_progress: Progress | None,
) -> Dataset:
    return dataset_of(
        spec.symbols,
        held,
        spec.base_timeframe,
        spec.timeframe,
        settings.features,
        config.data.gaps,
        None if on_progress is None else lambda done, of: on_progress("rows", done, of),
        spec.traded,
        spec.own,
        recorded_series(config, spec, held).rows,
        spec if settings.asks == SIGNAL else None,
    )


def _reaching_back(candles: Rows, first_ms: int, last_ms: int, settings: LearningSettings) -> Rows:
    """Return a tape up to the end of the replay, from one window and one gate before its first candle."""
    start_ms = first_ms - settings.window_ms - settings.gate_ms
    stamps = candles["open_ms"]
    return candles[(stamps >= start_ms) & (stamps <= last_ms)]


def _sorted_out(
    due_ms: Sequence[int], first_close_ms: int, settings: LearningSettings
) -> tuple[list[Attempt], list[int]]:
    """Return the attempts that come too early for any model, and the due times of the others."""
    skipped, due = [], []
    for time_ms in due_ms:
        if reason := lack(first_close_ms, time_ms, settings):
            skipped.append(Attempt.lost(settings, time_ms, "schedule", 0, "skipped", reason))
        else:
            due.append(time_ms)
    return skipped, due


def _shown(on_progress: Progress | None) -> Callable[[dict[str, Any]], None] | None:
    """Return what turns the child's lines into one bar: attempts done, and epochs of the one under way."""
    if on_progress is None:
        return None
    at = {"number": 0, "of": 1}

    def heard(event: dict[str, Any]) -> None:
        number, of = event.get("number", at["number"]), event.get("of", at["of"])
        if not isinstance(number, int) or not isinstance(of, int):
            return
        at.update(number=number, of=of)
        if event["event"] == "ended":
            on_progress("learn", number + 1, of)
        elif event["event"] == "attempt":
            on_progress("learn", number, of)

    return heard
