"""What a run begins with: its tapes in order, cut to the configured span, the engine's specification, and what happens beside candles."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.events import Action, Command, NewModel
from papertape.engine.jit import Rows
from papertape.engine.model import read_artefact
from papertape.engine.spec import EngineSpec
from papertape.replay.config import Config
from papertape.replay.config.markets import first_ms_of, market_changes
from papertape.replay.config.series import RecordedSeries, recorded_series
from papertape.replay.config.spec import make_spec
from papertape.replay.feed import Told, within_traded
from papertape.replay.learning.attempt import Learned
from papertape.replay.learning.learning_pass import Walk, learn
from papertape.replay.learning.settings import cadence_of, features_of
from papertape.replay.runtime.compile import compile_kernels
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.timestamps import utc_text
from papertape.replay.tapes.untraded import refuse_untraded

Progress = Callable[[str, int, int], None]
Cut = Callable[[Config, EngineSpec, Sequence[Tape]], list[Rows]]


class RunPlan(NamedTuple):
    """
    All that a configuration means for these tapes.

    tapes    in the engine's order; cuts: the part of each that is replayed
    spec     with what the models read
    models   (close in ms at which it takes over, artefact); learned: how they came about
    events   (time in ms, what happens beside candles); recorded: where the series of them are from
    """

    tapes: list[Tape]
    spec: EngineSpec
    cuts: list[Rows]
    models: Sequence[tuple[int, bytes]]
    learned: Learned | None
    events: list[Told]
    recorded: RecordedSeries


def prepared(
    config: Config,
    tapes: Sequence[Tape],
    on_progress: Progress | None = None,
    models: Sequence[tuple[int, bytes]] | None = None,
    learned: Learned | None = None,
    recorded: RecordedSeries | None = None,
    cut: Cut | None = None,
    walk: Walk | None = None,
) -> RunPlan:
    """
    Return what a run begins with; models are trained for it, unless they are given.

    recorded  series beside the candles, for a market that no file is of; None: those that are configured
    cut       returns what is replayed of each tape, for whoever knows it from a run before; None: `checked_cuts`
    walk      goes through the retrainings, for whoever trains in this process; None: a process of its own does

    Raises ConfigError or DataError for what cannot be replayed.
    """
    tapes = sorted(tapes, key=lambda tape: tape.symbol)
    if models and not config.signals.use_ml:
        raise ConfigError("signals.use_ml: it is off, but there are models; leave one of them out")
    spec = make_spec(config, tapes)
    cuts = (cut or checked_cuts)(config, spec, tapes)
    if models is None:
        learned = _learned(config, spec, tapes, cuts, on_progress, walk)
        models = learned.schedule if learned is not None else ()
    spec = spec.reading(model_features(models))
    commands = learned.commands if learned is not None else ()
    if recorded is None:
        recorded = recorded_series(config, spec, cuts)
    told: list[Told] = [*market_changes(config, spec, first_ms_of(config, tapes)), *recorded.events()]
    told += [(ms, Command(Action(action), value)) for ms, action, value, _ in commands]
    return RunPlan(tapes, spec, cuts, models, learned, told, recorded)


def refuse_unready(config: Config, tapes: Sequence[Tape], models: Sequence[tuple[int, bytes]] = ()) -> None:
    """Raise ConfigError or DataError for what a run of these models could not begin with, and train none."""
    engine = Engine(prepared(config, tapes, models=models).spec)
    for _, event in model_events(models):
        engine.step(event)


def _learned(
    config: Config,
    spec: EngineSpec,
    tapes: Sequence[Tape],
    cuts: Sequence[Rows],
    on_progress: Progress | None,
    walk: Walk | None,
) -> Learned | None:
    """Return what comes of the retraining that is configured, None without any."""
    cadence = cadence_of(config, spec)
    if cadence is None:
        return None
    compile_kernels(spec.reading(features_of(config, spec.timeframe)))
    return learn(config, spec, tapes, cuts, cadence, on_progress, walk)


def checked_cuts(config: Config, spec: EngineSpec, tapes: Sequence[Tape]) -> list[Rows]:
    """Return what is replayed of each tape, or raise ConfigError or DataError for what cannot be."""
    cuts = within_traded(spec, [_cut(tape, config) for tape in tapes], config.data.gaps)
    if config.data.no_volume == "refuse":
        refuse_untraded(tapes, cuts, spec.traded)
    return cuts


def _cut(tape: Tape, config: Config) -> Rows:
    """Return the candles of a tape within the configured span."""
    data = config.data
    if data.start is None and data.end is None:
        return tape.candles
    return tape.between(data.start, data.end).candles


def model_events(models: Sequence[tuple[int, bytes]]) -> list[tuple[int, NewModel]]:
    """
    Return a schedule of artefacts, each with the close at which it takes over, as events for a feed.

    A model outside a store is numbered by its place in the schedule; no bytes mean that from then on there is none.

    Raises DataError for a model that has seen candles which close after it takes over.
    """
    events, number = [], 0
    for effective_ms, data in models:
        if not data:
            events.append((effective_ms, NewModel(0, b"")))
            continue
        number += 1
        record = read_artefact(data).record
        if record.end_ms > effective_ms:
            raise DataError(
                f"model {record.version or number}: it has seen candles up to {utc_text(record.end_ms)} and cannot take over "
                f"at {utc_text(effective_ms)}; train it on earlier ones"
            )
        events.append((effective_ms, NewModel(record.version or number, data)))
    return events


def model_features(models: Sequence[tuple[int, bytes]]) -> tuple[str, ...]:
    """Return every feature that these models read, each once."""
    records = [read_artefact(data).record for _, data in models if data]
    return tuple(dict.fromkeys(name for record in records for name in record.features))
