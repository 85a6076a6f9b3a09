"""A sweep from its axes to its result; some of its trials are replayed again, by themselves, in every run."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import orjson

from papertape.engine.errors import ConfigError, InvariantError
from papertape.replay.backtesting.run import replay
from papertape.replay.backtesting.summary import performance_of
from papertape.replay.config import Config
from papertape.replay.research.shells.shared_file import SharedTrialFile
from papertape.replay.research.surface.page import PAGE, Layer, SurfaceSearch, write_surface
from papertape.replay.research.sweep.axes import Axis, code_in, files_in, with_changes
from papertape.replay.research.sweep.executors import TrialExecutor, executor_of
from papertape.replay.research.sweep.ledger_writer import LedgerWriter
from papertape.replay.research.sweep.record import TrialFile
from papertape.replay.research.sweep.result import TABLE, Summary, SweepResult, sign_of, write_table
from papertape.replay.research.sweep.space import Space
from papertape.replay.research.sweep.trial import TrialCall, TrialRow, TrialRunner
from papertape.replay.research.sweep.workers import beside
from papertape.replay.research.trials.identity import code_digest
from papertape.replay.research.trials.matrix import MOST_TRIALS, TrialVerdict, verdict
from papertape.replay.runtime.files import own_folder
from papertape.replay.tapes.store import Tape

Progress = Callable[[str, int, int], None]
_CHECKED: Final = 3  # trials that are replayed again


class TrialListener(Protocol):
    """What is told of finished trials, such as `LedgerWriter`."""

    def add(self, row: TrialRow) -> None:
        """Take in one trial."""

    def close(self) -> None:
        """Know that none comes for now."""


class SweepOptions(NamedTuple):
    """
    How a sweep is run; none of it changes what a trial finds.

    folder   None: results/sweep- and what the sweep is, so that the same one is gone on with
    by       the metric that the best have most of; top: how many of them are kept
    workers  processes; None: as many as this machine has cores
    dask     the address of a Dask scheduler, whose workers take their place
    shared   whether other shells that run the same into the same folder take a part of the trials
    """

    folder: Path | None = None
    by: str = "sharpe"
    top: int = 10
    workers: int | None = None
    dask: str | None = None
    shared: bool = False


_DEFAULTS: Final = SweepOptions()


def run_sweep(
    config: Config,
    tapes: Sequence[Tape],
    space: Space,
    options: SweepOptions = _DEFAULTS,
    on_progress: Progress | None = None,
) -> SweepResult:
    """
    Return what comes of every trial of a space; trials that the folder holds already are not run again.

    An interrupt ends it, and what is finished is the result: `left` says how many are not.

    Raises ConfigError for options that mean nothing, DataError when a folder is another sweep's or cannot be written,
    InvariantError when a trial is not what its replay is.
    """
    sign_of(options.by)
    workers = processes(options.workers)
    runner = TrialRunner(config, tapes, space=space)
    runner.refuse_held_out(space.axes)
    drawn = {"draws": space.draws, "seed": space.seed if space.draws is not None else None}
    header = identity(config, runner, space.axes) | drawn
    folder = options.folder or folder_of("sweep", header)
    is_whole = False

    def call(number: int) -> TrialCall:
        return TrialCall(number, space.changes(number))

    with (
        trial_file(folder, header, space.size, options.shared) as file,
        untrusted_aside(folder),
        executor_of(workers, options.dask, runner, call, space.axes) as executor,
    ):
        writer = LedgerWriter(runner)
        with suppress(KeyboardInterrupt):
            writer.add_all(file.rows())
            run_trials(
                lambda number: runner.run(number, space.changes(number)),
                space.changes,
                file,
                executor,
                writer,
                on_progress,
            )
            is_whole = True
        with checking(runner, space.changes, file, is_whole, on_progress) as checked, file.alone():
            summary = Summary(options.by, options.top)
            write_table(folder, space.axes, summary.passing(file.rows()))
            judged = judge(file)
            found = SweepResult(
                folder=folder,
                axes=space.axes,
                by=options.by,
                size=space.size,
                counts=summary.counts,
                best=summary.best,
                lanes=summary.lanes,
                checked=checked(),
                reasons={end: reason for end, (_, reason) in sorted(summary.reasons.items())},
                standing=writer.standing(),
                verdict=judged,
                shells=file.by_shell,
            )
            found.data_doubts = data_doubts(runner, found.first, file)
            goal = Layer.of_metric(options.by, sign_of(options.by))
            best = [row.number for row in summary.best]
            surface = SurfaceSearch(
                "sweep", config, runner.traded, space.axes, space, [goal], best, None, found.doubts
            )
            found.page = write_surface(folder, surface, file.rows())
    return found


def data_doubts(runner: TrialRunner, best: TrialRow | None, file: TrialFile) -> list[str]:
    """Return what a reader must know of the best trial's candles and series; where none is the best, of the first that was done."""
    done = file.that_were_done()
    return runner.data_doubts(best or (file.row(done[0]) if done else None))


def trial_file(folder: Path, header: Mapping[str, Any], size: int, is_shared: bool) -> TrialFile:
    """Open the file of a search's trials, alone or with every other shell that shares them."""
    return (SharedTrialFile if is_shared else TrialFile)(own_folder(folder), header, size)


def processes(asked: int | None) -> int:
    """Return how many processes work: as many as this machine has cores, unless somebody asks; ConfigError for none."""
    workers = asked if asked is not None else os.cpu_count() or 1
    if workers < 1:
        raise ConfigError(f"--workers {workers}: one process is the least")
    return workers


def run_trials(
    run: Callable[[int], TrialRow],
    changes: Callable[[int], Mapping[str, Any]],
    file: TrialFile,
    executor: TrialExecutor,
    listener: TrialListener,
    on_progress: Progress | None,
    numbers: Sequence[int] | None = None,
) -> None:
    """
    Run every trial that is not finished: the first here, so that what all need is made once, the others by `executor`.

    run, changes  what comes of a trial, and what it changes, by its number
    listener      told of every trial when it is kept, also of those that other shells do
    numbers       of these alone; None: of all
    """

    def tell(row: TrialRow) -> None:
        listener.add(row)
        if on_progress is not None:
            on_progress("trials", file.done, file.size)
            if (shells := file.at_work) > 1:
                on_progress("shells at work", shells, shells)

    def add(row: TrialRow, line: bytes = b"") -> None:
        file.add(row, line)
        tell(row)

    def lost(number: int, how: str) -> bytes:
        return TrialRow(number, changes(number), "failed", how).line()

    is_begun = False
    try:
        for left in file.turns(numbers, tell):
            for number in left if not is_begun else ():
                row = run(number)
                add(row)
                if row.outcome == "done":
                    is_begun = True
                    break
            with closing(executor.answers(left, lambda number: run(number).line(), lost)) as lines:
                for line in lines:
                    add(TrialRow.of_line(line), line)
    finally:
        listener.close()


@contextmanager
def untrusted_aside(folder: Path) -> Iterator[None]:
    """Let a table and a page whose trials turned out wrong have other names, and say which; the error goes on."""
    try:
        yield
    except InvariantError as error:
        aside = []
        for name in (TABLE, PAGE):
            other = f"untrusted-{name}"
            with suppress(FileNotFoundError):
                (folder / name).replace(folder / other)
                aside.append(other)
        if not aside:
            raise
        raise InvariantError(f"{error}; what was written is called {', '.join(aside)} in {folder}") from error


@contextmanager
def checking(
    runner: TrialRunner,
    changes: Callable[[int], Mapping[str, Any]],
    file: TrialFile,
    is_whole: bool,
    on_progress: Progress | None,
) -> Iterator[Callable[[], list[int]]]:
    """
    Replay a few of the finished trials by themselves, first, middle and last, beside what else is done of them; none of a search cut short.

    What is given waits for that and returns which they were, none after an interrupt; it raises InvariantError for a trial that is
    not what its replay is.
    """
    done = file.that_were_done() if is_whole else []
    places = {(len(done) - 1) * k // (_CHECKED - 1) for k in range(_CHECKED)} if len(done) else ()
    chosen = [done[place] for place in sorted(places)]

    def replays() -> bytes:
        return orjson.dumps([_replayed(runner, changes(number)) for number in chosen])

    def compared() -> list[int]:
        try:
            found = orjson.loads(answer())
        except KeyboardInterrupt:
            return []
        for number, (digest, metrics) in zip(chosen, found, strict=True):
            row = file.row(number)
            if digest != row.digest or metrics != row.metrics:
                raise InvariantError(
                    f"trial {number} {dict(row.changes)}: its digest is {row.digest[:16]} and that of its replay "
                    f"{digest[:16]}; none of these trials can be trusted"
                )
            if on_progress is not None:
                on_progress("checked against replays", chosen.index(number) + 1, len(chosen))
        return chosen

    with beside(replays) if chosen else nullcontext(replays) as answer:
        yield compared


def _replayed(runner: TrialRunner, changes: Mapping[str, Any]) -> tuple[str, Mapping[str, float | None]]:
    """Return digest and metrics of a trial that is replayed by itself."""
    config = with_changes(runner.config, changes)
    ready = runner.prepare(config)
    # Nothing that a report would draw is kept, and nothing beside the account is measured: neither is compared.
    alone = replay(ready.spec, ready.cuts, config.data.gaps, models=ready.models, events=ready.events)
    return alone.engine.digest, performance_of(config, alone).metrics


def judge(file: TrialFile) -> TrialVerdict:
    """
    Return what the finished trials say together; of very many those with the lowest numbers, whatever their order here.

    Those that were given up have other days, and are left out.
    """
    numbers = file.that_were_done()
    chosen = set(numbers[:MOST_TRIALS])
    rows = sorted((row.number, row.returns) for row in file.rows() if row.number in chosen)
    return verdict((returns for _, returns in rows), len(numbers) - len(chosen) + file.pruned)


def identity(config: Config, runner: TrialRunner, axes: Sequence[Axis]) -> dict[str, Any]:
    """Return what makes a search over these axes another than any other, whichever points of them it tries."""
    files = files_in(config, axes)
    return {
        "configuration": config.model_dump(mode="json", exclude={"report", "live", "daemon"}),
        "axes": [axis.to_json() for axis in axes],
        "tapes": [[tape.sha256 for tape in tapes] for tapes in _all_tapes(config, runner, axes)],
        "code": code_digest(config, code_in(axes)),
        **({"files": files} if files else {}),
    }


def folder_of(kind: str, header: Mapping[str, Any]) -> Path:
    """Return where a search is kept that nobody named a folder for: by what it is."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    return Path("results") / f"{kind}-{digest[:8]}"


def _all_tapes(config: Config, runner: TrialRunner, axes: Sequence[Axis]) -> list[Sequence[Tape]]:
    """Return the tapes of every trial, which are read here, once for all workers."""
    varied = [axis.values for axis in axes if axis.key == "data.tapes"]
    chosen = [with_changes(config, {"data.tapes": value}) for value in varied[0]] if varied else []
    return [runner.tapes_of(one) for one in chosen or [config]]
