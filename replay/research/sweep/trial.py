"""One configuration of a sweep, replayed and measured as `papertape replay` would."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

import orjson

from papertape.engine.errors import ConfigError, PapertapeError
from papertape.engine.jit import FloatArray, Rows
from papertape.engine.lanes.runs import is_built_in
from papertape.engine.spec import EngineSpec
from papertape.replay.backtesting.doubts import data_sentences
from papertape.replay.backtesting.prepare import RunPlan, checked_cuts, prepared
from papertape.replay.backtesting.run import replay
from papertape.replay.backtesting.summary import Run, performance_of
from papertape.replay.config import Config, Data
from papertape.replay.config.spec import load_tapes, make_spec, strategy_of
from papertape.replay.learning.attempt import Learned
from papertape.replay.learning.learning_pass import Walk
from papertape.replay.learning.settings import cadence_of, settings_of
from papertape.replay.research.sweep.axes import PARAMETERS_PREFIX, Axis, with_changes
from papertape.replay.research.sweep.judging import Judging, WindowWatch
from papertape.replay.research.sweep.parts import moment, performance_between
from papertape.replay.research.sweep.reader import Reader, SharedRun, is_shareable
from papertape.replay.research.sweep.space import Space
from papertape.replay.research.trials.holdout import Locks
from papertape.replay.research.trials.identity import configuration_digest, deciding, digest_of_values
from papertape.replay.research.trials.returns import compact_returns
from papertape.replay.tapes.store import Tape

_LESSONS_KEPT: Final = 4
_VALUES_AHEAD: Final = 256  # of one axis; planning more takes longer than reading one by one
_PLAIN: Final = (bool, int, str)  # which JSON has as they are


class TrialRow(NamedTuple):
    """
    What came of one trial.

    outcome    done | refused (no such configuration can be run) | failed (its strategy did, or its worker)
               pruned (given up after a window: what it says is of the replay that ends there)
    digest     of every decision and fill; configuration: digest of what was run
    returns    of the account, in a compact form (`papertape.replay.research.trials.returns`)
    is_lane    one call of a kernel did all of it, or one for each window (`papertape.engine.lanes`)
    values     of the metric that it is judged by, in each window that it came to
    lesson     of a study of recipes: what its models were worth (`papertape.replay.research.learn_study`)
    """

    number: int
    changes: Mapping[str, Any]
    outcome: str
    reason: str = ""
    configuration: str = ""
    digest: str = ""
    metrics: Mapping[str, float | None] = {}
    returns: str = ""
    tapes: Sequence[str] = ()
    wall_s: float = 0.0
    is_lane: bool = False
    values: Sequence[float | None] = ()
    lesson: Mapping[str, Any] = {}

    def line(self) -> bytes:
        """Return the trial as one line of JSON."""
        plain = self._asdict()
        for name in ("values", "lesson"):
            if not plain[name]:
                del plain[name]
        return json.dumps(plain, allow_nan=False, separators=(",", ":")).encode()

    @classmethod
    def of_line(cls, line: bytes) -> "TrialRow":
        """Return what `line` wrote; raises ValueError, KeyError or TypeError for anything else."""
        return cls(**orjson.loads(line))


class TrialCall(NamedTuple):
    """
    One trial as it is asked for: its number and what it changes.

    start_ms  from when on it is measured; None: from the beginning
    judging   on which windows it is judged; None: on all its candles at once
    """

    number: int
    changes: Mapping[str, Any]
    start_ms: int | None = None
    judging: Judging | None = None

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Return what was written with `json.dumps`."""
        number, changes, start_ms, judging = json.loads(text)
        return cls(number, changes, start_ms, Judging.of_json(judging))


class Family:
    """
    Trials that differ in parameters of their strategy alone: everything else about them is made and checked once.

    config  what every trial of the search begins with; others: what all of these change of it
    plan    what the run of one of them begins with
    """

    def __init__(self, config: Config, others: Mapping[str, Any], plan: RunPlan) -> None:
        self.others, self.plan = others, plan
        self._config = config

    @cached_property
    def _shared(self) -> Config:
        """Return the configuration of all, but for the parameters; they are as `with_changes` leaves them."""
        shared = with_changes(self._config, self.others)
        plain = shared.strategy.model_dump(mode="json", include={"parameters"})
        return shared.changed(strategy=plain)

    @cached_property
    def _deciding(self) -> dict[str, Any]:
        return deciding(self._shared)

    def config_with(self, parameters: Mapping[str, Any]) -> Config:
        """Return what `with_changes` makes of these parameters and the others; whoever makes the strategy checks them."""
        shared = self._shared
        return shared.changed(strategy={"parameters": {**shared.strategy.parameters, **parameters}})

    def plan_of(self, config: Config) -> RunPlan:
        """Return what the run of one of them begins with; raises ConfigError for parameters that cannot be."""
        return self.plan._replace(spec=replace(self.plan.spec, strategy=strategy_of(config)))

    def requests(self, axes: Sequence[Axis], others: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what is read for every value of an axis, one after the other; others: parameters beside it."""
        found: dict[str, None] = {}
        for axis in axes:
            if axis.key.startswith(PARAMETERS_PREFIX):
                for value in axis.values[:_VALUES_AHEAD]:
                    with suppress(ConfigError):
                        spec = self.plan_of(self.config_with({**others, axis.name: value})).spec
                        found |= dict.fromkeys(spec.requests if is_shareable(spec) else ())
        return tuple(found)

    def digest_of(self, config: Config) -> str:
        """Return the digest of one of these configurations."""
        parameters = config.strategy.parameters
        if not parameters or not all(_is_plain(value) for value in parameters.values()):
            return configuration_digest(config)
        strategy = {**self._deciding.get("strategy", {}), "parameters": parameters}
        return digest_of_values({**self._deciding, "strategy": strategy}, config)


class TrialRunner:
    """
    Runs trials of one sweep; tapes are read once, and models trained once for all trials that learn the same.

    config  what every trial begins with
    tapes   of that configuration; those that a trial names in their place are looked up
    locks   of what is held out; None: those on this machine
    walk    goes through the retrainings of a trial; None: a process of its own does
    space   which trials will come; what those of a whole grid read is computed with the first, before processes begin
    """

    def __init__(
        self,
        config: Config,
        tapes: Sequence[Tape],
        locks: Locks | None = None,
        walk: Walk | None = None,
        space: Space | None = None,
    ) -> None:
        self.config, self._walk = config, walk
        self._tapes: dict[tuple[str, ...], Sequence[Tape]] = {config.data.tapes: tapes}
        self._lessons: dict[str, Learned] = {}
        self._reader = Reader()
        self._locks = Locks() if locks is None else locks
        self._newest_cuts: tuple[Data, Sequence[str], list[Rows]] | None = None
        self._newest_family: Family | None = None
        self._axes = space.axes if space is not None and space.draws is None else ()

    def tapes_of(self, config: Config) -> Sequence[Tape]:
        """Return the tapes of one trial."""
        names = config.data.tapes
        if names not in self._tapes:
            self._tapes[names] = load_tapes(config)
        return self._tapes[names]

    def give(self, names: tuple[str, ...], tapes: Sequence[Tape]) -> None:
        """Take the tapes that a trial means by these names, so that they are not looked for."""
        self._tapes[names] = tapes

    @property
    def tapes(self) -> list[Tape]:
        """Return every tape that was read, each once."""
        return list({tape.sha256: tape for tapes in self._tapes.values() for tape in tapes}.values())

    @property
    def hashes(self) -> list[tuple[tuple[str, ...], list[str]]]:
        """Return the hashes of the tapes that were read, by what they are called together."""
        return [(names, [tape.sha256 for tape in tapes]) for names, tapes in self._tapes.items()]

    def refused(self, call: TrialCall) -> TrialRow | None:
        """Return the row of a trial that would read what is held out, None of any other."""
        if not self._locks:
            return None
        try:
            config = with_changes(self.config, call.changes)
            self._locks.refuse(config, self.tapes_of(config))
        except PapertapeError as error:
            return TrialRow(call.number, call.changes, "refused", str(error))
        return None

    def refuse_held_out(self, axes: Sequence[Axis] = ()) -> None:
        """Raise DataError where every trial would read what is held out, unless what is read is varied itself."""
        if not any(axis.key.startswith("data.") for axis in axes):
            self._locks.refuse(self.config, self.tapes_of(self.config))

    @property
    def symbols(self) -> dict[str, str]:
        """Return the symbol of every tape that was read, by hash."""
        return {tape.sha256: tape.symbol for tapes in self._tapes.values() for tape in tapes}

    @property
    def traded(self) -> list[str]:
        """Return the symbols of every tape that was read, each once."""
        return sorted(set(self.symbols.values()))

    def data_doubts(self, row: TrialRow | None) -> list[str]:
        """Return what a reader must know of the candles and series of one trial; nothing of none."""
        if row is None:
            return []
        config = with_changes(self.config, row.changes)
        return data_sentences(config, self.tapes_of(config))

    def prepare(self, config: Config) -> RunPlan:
        """Return what a trial's run begins with; DataError where it would read what is held out."""
        tapes = self.tapes_of(config)
        self._locks.refuse(config, tapes)
        key = _lesson_key(config, tapes)
        learned = self._lessons.get(key)
        models = learned.schedule if learned is not None else None
        ready = prepared(config, tapes, None, models, learned, cut=self._cuts, walk=self._walk)
        if ready.learned is not None and learned is None:
            if len(self._lessons) >= _LESSONS_KEPT:
                del self._lessons[next(iter(self._lessons))]
            self._lessons[key] = ready.learned
        return ready

    def _cuts(self, config: Config, spec: EngineSpec, tapes: Sequence[Tape]) -> list[Rows]:
        """Return what is replayed of each tape: that of the trial before, where its data and what it trades are the same."""
        newest = self._newest_cuts
        if newest is None or newest[0] is not config.data or newest[1] != spec.traded:
            newest = config.data, spec.traded, checked_cuts(config, spec, tapes)
            self._newest_cuts = newest
        return newest[2]

    def _planned(self, changes: Mapping[str, Any]) -> tuple[Config, RunPlan, str]:
        """Return the configuration of a trial, what its run begins with, and its digest; with all that the one before made, where it can."""
        parameters, others = _split(changes)
        if self._newest_family is not None and self._newest_family.others == others:
            config = self._newest_family.config_with(parameters)
            plan = self._newest_family.plan_of(config)
            return config, plan, self._newest_family.digest_of(config)
        config, self._newest_family = with_changes(self.config, changes), None
        plan = self.prepare(config)
        # What is trained, and what has a schedule or symbols of its own, depends on parameters in other ways, too.
        if not config.signals.use_ml and len(plan.spec.strategies) == 1:
            self._newest_family = Family(self.config, others, plan)
            self._read_ahead(config, self._newest_family, parameters)
        return config, plan, configuration_digest(config)

    def _read_ahead(self, config: Config, family: Family, parameters: Mapping[str, Any]) -> None:
        """Compute what the trials that are expected will read, once; what a user's code would do here would end every trial."""
        axes, self._axes = self._axes, ()
        spec = family.plan.spec
        if axes and is_built_in(spec.strategy) and is_shareable(spec):
            with suppress(PapertapeError):  # the trial that asks for what cannot be read says so
                shared = self._reader.shared(config, family.plan)
                shared.read_ahead(spec.timeframe, family.requests(axes, parameters))

    def run(
        self,
        number: int,
        changes: Mapping[str, Any],
        start_ms: int | None = None,
        judging: Judging | None = None,
    ) -> TrialRow:
        """Return what comes of one trial, as `TrialCall` has it; what cannot be run is a row with its reason."""
        started_s = time.perf_counter()
        try:
            config, ready, configuration = self._planned(changes)
        except PapertapeError as error:
            return TrialRow(number, changes, "refused", str(error))
        watch = WindowWatch(config, judging) if judging is not None else None
        try:
            (run, is_lane), closes = self._replay(config, ready, watch)
        except PapertapeError as error:
            return TrialRow(number, changes, "failed", str(error))
        if watch is not None and watch.is_given_up:
            config = with_changes(config, {"data.end": moment(watch.end_ms - 1)})
            configuration = configuration_digest(config)
            closes = closes[: len(run.marks)]
        if start_ms is None:
            measured = performance_of(config, run, closes)
        else:
            end_ms = run.feed.last_ms + run.engine.base_ms
            measured = performance_between(config, run, start_ms, end_ms, closes)
        return TrialRow(
            number,
            changes,
            *_ending(watch),
            configuration,
            run.engine.digest,
            measured.metrics,
            compact_returns(run.marks, config.account.capital),
            [tape.sha256 for tape in ready.tapes],
            time.perf_counter() - started_s,
            is_lane,
            watch.values if watch is not None else (),
        )

    def _replay(
        self, config: Config, ready: RunPlan, watch: WindowWatch | None
    ) -> tuple[SharedRun, FloatArray]:
        """Return a run and its closes: over shared candles where they say all that is asked for, else by itself."""
        if is_shareable(ready.spec):
            shared = self._reader.shared(config, ready)
            found, closes = shared.replay(ready, watch), shared.closes
        else:
            found = SharedRun(_by_itself(config, ready), False)
            closes = found.run.feed.closes()
            if watch is not None and not all(watch.goes_on(found.run, closes) for _ in watch.stops_ms):
                # Given up too late to save anything; what it is to say is that of the replay that ends there.
                ended = with_changes(config, {"data.end": moment(watch.end_ms - 1)})
                return SharedRun(_by_itself(ended, self.prepare(ended)), False), closes
        if watch is not None and not watch.is_given_up:
            watch.goes_on(found.run, closes)
        return found, closes


def _ending(watch: WindowWatch | None) -> tuple[str, str]:
    """Return the outcome of a trial that was run, and its reason."""
    return ("pruned", watch.reason()) if watch is not None and watch.is_given_up else ("done", "")


def _by_itself(config: Config, ready: RunPlan) -> Run:
    return replay(ready.spec, ready.cuts, config.data.gaps, models=ready.models, events=ready.events)


def _lesson_key(config: Config, tapes: Sequence[Tape]) -> str:
    """Return what two trials have in common when they learn the same: empty when nothing is trained."""
    if not config.signals.use_ml:
        return ""
    ordered = sorted(tapes, key=lambda tape: tape.symbol)
    spec = make_spec(config, ordered)
    if cadence_of(config, spec) is None:
        return ""
    settings = settings_of(config, spec, [tape.sha256 for tape in ordered])
    data = config.data.model_dump(mode="json")
    read_only = [market.symbol for market in spec.markets if market.read_only]
    return json.dumps(
        [repr(settings), data, config.signals.model_dump(mode="json"), read_only], sort_keys=True
    )


def _split(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Return what changes change of the strategy's parameters, by name, and of everything else, by key.

    >>> _split({"strategy.parameters.fast": 5, "market.slippage_rate": 0.001})
    ({'fast': 5}, {'market.slippage_rate': 0.001})
    """
    names = {key: key.removeprefix(PARAMETERS_PREFIX) for key in changes}
    own = {name: changes[key] for key, name in names.items() if name != key}
    return own, {key: changes[key] for key, name in names.items() if name == key}


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN or (type(value) is float and math.isfinite(value))
