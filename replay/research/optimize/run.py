"""A search from its axes to its result: asked in fixed batches and told in order, so that no number of workers changes it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from papertape.engine.errors import ConfigError, DataError
from papertape.replay.backtesting.figures import FIGURES
from papertape.replay.config import Config
from papertape.replay.research.optimize.goals import MISSING, Constraint, Goal
from papertape.replay.research.optimize.proposals import AUTO, Proposals, sampler_of
from papertape.replay.research.optimize.result import OptimizeResult, SearchOutcome, best_of, pruned_after
from papertape.replay.research.surface.page import Layer, SurfaceSearch, write_surface
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.executors import executor_of
from papertape.replay.research.sweep.judging import Judging, floors_of, means_of, windows_over
from papertape.replay.research.sweep.ledger_writer import LedgerWriter
from papertape.replay.research.sweep.record import TrialFile
from papertape.replay.research.sweep.result import write_table
from papertape.replay.research.sweep.run import (
    Progress,
    checking,
    data_doubts,
    folder_of,
    identity,
    judge,
    processes,
    run_trials,
    trial_file,
    untrusted_aside,
)
from papertape.replay.research.sweep.space import LIMIT, Space
from papertape.replay.research.sweep.trial import TrialCall, TrialRow, TrialRunner
from papertape.replay.tapes.store import Tape

TRIALS: Final = 200
BATCH: Final = 16
_LARGEST_SEED: Final = 2**32 - 1  # that optuna takes
_LEAST_BATCH: Final = 4  # of which CMA-ES can make a generation


class OptimizeOptions(NamedTuple):
    """
    What a search looks for, and how.

    goals    what is wanted; bounds: what must hold of a trial that counts
    trials   how many are tried; batch: how many are proposed before any of them is told
    sampler  auto, tpe, cmaes or nsga2; seed: of its proposals
    top      how many of the best are kept
    dask     the address of a Dask scheduler, whose workers take the place of processes here
    windows  in how many the goal is measured, and counts as their mean; 0: in all candles at once
    prune    whether a trial is given up that falls behind in them
    shared   whether other shells that run the same into the same folder take a part of the trials
    """

    goals: tuple[Goal, ...]
    bounds: tuple[Constraint, ...] = ()
    trials: int = TRIALS
    batch: int = BATCH
    sampler: str = AUTO
    seed: int = 1
    folder: Path | None = None
    top: int = 10
    workers: int | None = None
    limit: int = LIMIT
    dask: str | None = None
    shared: bool = False
    windows: int = 0
    prune: bool = True


def run_optimize(
    config: Config,
    tapes: Sequence[Tape],
    axes: Sequence[Axis],
    options: OptimizeOptions,
    on_progress: Progress | None = None,
) -> OptimizeResult:
    """
    Return what comes of a search; trials that the folder holds already are told again and not run again.

    An interrupt ends it, and what is finished is the result: `left` says how many trials are not.

    Raises ConfigError for options that mean nothing, DataError where optuna is not installed, a folder is another search's,
    cannot be written, or holds trials that are not proposed now.
    """
    _refuse(axes, options)
    sampler = sampler_of(options.sampler, axes, len(options.goals))
    workers = processes(options.workers)
    proposals = Proposals(axes, sampler, options.seed, options.batch, len(options.goals))
    runner = TrialRunner(config, tapes)
    runner.refuse_held_out(axes)
    bounds_ms = windows_over(config, tapes, options.windows) if options.windows else ()
    header = _header(config, runner, axes, options, sampler)
    if bounds_ms:
        header |= {"windows": bounds_ms, "prune": options.prune}
    folder = options.folder or folder_of("optimize", header)
    is_whole = False
    with trial_file(folder, header, options.trials, options.shared) as file, untrusted_aside(folder):
        writer = LedgerWriter(runner, "optimize")
        search = _OptimizeRun(runner, options, proposals, file, writer, bounds_ms)
        with suppress(KeyboardInterrupt):
            search.take_in()
            with executor_of(workers, options.dask, runner, search.call, axes) as executor:
                for batch in search.batches():
                    run_trials(search.run, search.changes, file, executor, search, on_progress, batch)
            is_whole = True
        with checking(runner, search.changes, file, is_whole, on_progress) as checked, file.alone():
            search.take_in()
            search.close()
            write_table(folder, axes, file.rows(), has_windows=bool(bounds_ms))
            judged = judge(file)
            found = OptimizeResult(
                folder=folder,
                axes=axes,
                goals=options.goals,
                bounds=options.bounds,
                sampler=sampler,
                size=options.trials,
                counts=search.counts,
                feasible=sum(outcome.counts for outcome in search.outcomes.values()),
                best=best_of([o for o in search.outcomes.values() if o.row.outcome == "done"], options.top),
                checked=checked(),
                reasons=search.reasons,
                standing=writer.standing(),
                verdict=judged,
                shells=file.by_shell,
                windows=options.windows,
                pruned=pruned_after(search.outcomes.values()),
            )
            found.data_doubts = data_doubts(runner, found.first, file)
            drawn = _surface(found, search, config, runner.traded)
            found.page = write_surface(folder, drawn, map(search.drawn, file.rows()))
    return found


def _surface(
    found: OptimizeResult, search: "_OptimizeRun", config: Config, traded: Sequence[str]
) -> SurfaceSearch:
    """Return a search as its page needs it."""
    return SurfaceSearch(
        "search",
        config,
        traded,
        found.axes,
        None,
        [_layer(goal, found.windows) for goal in found.goals],
        [one.row.number for one in found.best],
        frozenset(number for number, one in search.outcomes.items() if one.counts),
        found.doubts,
    )


def _layer(goal: Goal, windows: int) -> Layer:
    """Return a goal as it is drawn."""
    if not windows:
        return Layer(goal.name, goal.sign, goal.value)
    return Layer.of_metric(_mean_name(goal.name, windows), goal.sign)


def _mean_name(name: str, windows: int) -> str:
    labels = {metric: label for label, metric, _ in FIGURES}
    return f"{labels.get(name, name)}, mean of {windows} windows"


class _OptimizeRun:
    """Trials by number, batch after batch, and what is known of each."""

    def __init__(
        self,
        runner: TrialRunner,
        options: OptimizeOptions,
        proposals: Proposals,
        file: TrialFile,
        writer: LedgerWriter,
        bounds_ms: Sequence[int],
    ) -> None:
        self._runner, self._options, self._proposals = runner, options, proposals
        self._file, self._writer, self._bounds_ms = file, writer, bounds_ms
        self._proposed: list[Mapping[str, Any]] = []
        self._first: dict[str, int] = {}  # by what a trial changes, the first that does
        # What those that were told were worth after each window.
        self._finished: list[list[float]] = []
        self._floors: Sequence[float | None] = ()
        self.outcomes: dict[int, SearchOutcome] = {}

    def changes(self, number: int) -> Mapping[str, Any]:
        """Return what a trial changes that was proposed."""
        return self._proposed[number]

    def call(self, number: int) -> TrialCall:
        """Return a trial as it is asked for."""
        judging = None
        if self._bounds_ms:
            (goal,) = self._options.goals
            judging = Judging(goal.name, goal.sign, self._bounds_ms, self._floors)
        return TrialCall(number, self._proposed[number], None, judging)

    def run(self, number: int) -> TrialRow:
        """Return what comes of a trial."""
        return self._runner.run(*self.call(number))

    def batches(self) -> Iterator[Sequence[int]]:
        """
        Yield the trials of each batch that have to be run; when the next is asked for, they are told.

        One that was proposed before is not run again: its line says which it repeats, and it is told what that one was.
        """
        options = self._options
        for first in range(0, options.trials, options.batch):
            numbers = range(first, min(first + options.batch, options.trials))
            if options.prune and self._bounds_ms:
                self._floors = floors_of(self._finished, options.windows)
            fresh = []
            for number in numbers:
                self._propose(number)
                original = self._first.setdefault(repr(self._proposed[number]), number)
                if original == number:
                    fresh.append(number)
                elif not self._file.has(number):
                    again = TrialRow(number, self._proposed[number], "repeated", f"trial {original}")
                    self._file.add(again)
                    self.add(again)
            yield fresh
            for number in numbers:
                known = self.outcomes[self._first[repr(self._proposed[number])]]
                self._tell(number, known)

    def _tell(self, number: int, known: SearchOutcome) -> None:
        """Say to the sampler what came of a trial, and keep what those after it are measured by."""
        (goal, *_), row = self._options.goals, known.row
        means = means_of(goal.sign, row.values)
        if row.outcome == "pruned":
            self._proposals.tell(number, known.values, known.excesses, means or [-MISSING])
            return
        if row.values and len(means) == len(row.values):
            self._finished.append(means)
        self._proposals.tell(number, known.values, known.excesses)

    def drawn(self, row: TrialRow) -> TrialRow:
        """Return a trial with its mean over the windows among its metrics."""
        if not self._bounds_ms or row.outcome != "done":
            return row
        ((goal, value),) = zip(self._options.goals, self.outcomes[row.number].values, strict=True)
        mean = None if value is None else goal.sign * value
        return row._replace(metrics={**row.metrics, _mean_name(goal.name, self._options.windows): mean})

    def take_in(self) -> None:
        """Read what the file holds and is not known: of before a kill, and what an interrupt came upon."""
        for row in self._file.rows():
            if row.number not in self.outcomes:
                self.add(row)

    def add(self, row: TrialRow) -> None:
        """Take in one trial, and put it on record."""
        self.outcomes[row.number] = self._outcome(row._replace(returns=""))
        self._writer.add(row)

    def close(self) -> None:
        """Put on record what is waiting."""
        self._writer.close()

    @property
    def counts(self) -> dict[str, int]:
        """Return how many trials ended, by outcome."""
        ends = [outcome.row.outcome for outcome in self.outcomes.values()]
        return {end: ends.count(end) for end in sorted(set(ends))}

    @property
    def reasons(self) -> dict[str, str]:
        """Return the reason of the first trial of each outcome that has one."""
        found: dict[str, str] = {}
        for number in sorted(self.outcomes):
            row = self.outcomes[number].row
            if row.outcome not in ("done", "repeated"):
                found.setdefault(row.outcome, row.reason)
        return found

    def _propose(self, number: int) -> None:
        """Ask what a trial shall be; DataError where the file says that it was another."""
        changes = self._proposals.ask()
        self._proposed.append(changes)
        known = self.outcomes.get(number)
        if known is not None and dict(known.row.changes) != changes:
            raise DataError(
                f"{self._file.path}: trial {number} is {dict(known.row.changes)}, and {changes} is proposed now: the objective "
                "or optuna is another; choose another --out"
            )

    def _outcome(self, row: TrialRow) -> SearchOutcome:
        metrics, options = row.metrics, self._options
        if row.outcome != "done":
            # A bound that nobody could look at is kept as not missed by one that was given up.
            unknown = {str(bound): 0.0 for bound in options.bounds if row.outcome == "pruned"}
            return SearchOutcome(row, (None,) * len(options.goals), unknown)
        if self._bounds_ms:
            (goal,) = options.goals
            means = means_of(goal.sign, row.values)
            values: tuple[float | None, ...] = (means[-1] if len(means) == len(row.values) else None,)
        else:
            found = [(goal.sign, goal.value(metrics)) for goal in options.goals]
            values = tuple(None if value is None else sign * value for sign, value in found)
        return SearchOutcome(row, values, {str(bound): bound.excess(metrics) for bound in options.bounds})


def _refuse(axes: Sequence[Axis], options: OptimizeOptions) -> None:
    """Raise ConfigError for what no search can mean."""
    if not axes:
        raise ConfigError("optimize: nothing varies; name a --grid KEY=LOW:HIGH at least")
    space = Space(tuple(axes), options.trials)
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"--grid {key}: it stands twice; write its values together")
    if options.trials < 1:
        raise ConfigError(f"--trials {options.trials}: one is the least")
    if options.trials > options.limit:
        raise ConfigError(
            f"optimize: {options.trials:,} trials are more than {options.limit:,}; allow more with --limit"
        )
    if space.is_grid and options.trials > space.points:
        raise ConfigError(
            f"--trials {options.trials:,}: the grid has {space.points:,} points, and papertape sweep tries every one"
        )
    if options.windows:
        _refuse_windows(axes, options)
    if not 0 <= options.seed <= _LARGEST_SEED:
        raise ConfigError(f"--seed {options.seed}: it is not between 0 and {_LARGEST_SEED}")
    if options.batch < _LEAST_BATCH:
        raise ConfigError(f"--batch {options.batch}: {_LEAST_BATCH} is the least")


def _refuse_windows(axes: Sequence[Axis], options: OptimizeOptions) -> None:
    """Raise ConfigError for what cannot be measured window by window."""
    if len(options.goals) > 1 or options.goals[0].measure is not None:
        raise ConfigError("--windows: what is wanted is one metric, by its name; leave out the others")
    for axis in axes:
        if axis.key.startswith("data.") and axis.key != "data.timeframe":
            raise ConfigError(
                f"--grid {axis.key}: with --windows all trials are over the same candles; leave one of them out"
            )


def _header(
    config: Config, runner: TrialRunner, axes: Sequence[Axis], options: OptimizeOptions, sampler: str
) -> dict[str, Any]:
    """Return what makes this search another than any other."""
    return identity(config, runner, axes) | {
        "kind": "optimize",
        "goals": [goal.to_json() for goal in options.goals],
        "bounds": [list(bound) for bound in options.bounds],
        "trials": options.trials,
        "batch": options.batch,
        "sampler": sampler,
        "seed": options.seed,
    }
