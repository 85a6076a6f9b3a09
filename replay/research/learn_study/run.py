"""A study from its axes to its result."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from papertape.engine.errors import ConfigError
from papertape.replay.config import Config
from papertape.replay.research.learn_study.cells import POLICY, Cell, CellRunner
from papertape.replay.research.learn_study.page import write_study
from papertape.replay.research.learn_study.result import StudyFound, study_of, write_tables
from papertape.replay.research.sweep.axes import Axis, make_axis
from papertape.replay.research.sweep.ledger_writer import LedgerWriter
from papertape.replay.research.sweep.record import TrialFile
from papertape.replay.research.sweep.run import folder_of, identity, processes
from papertape.replay.research.sweep.space import Space, make_space
from papertape.replay.research.sweep.trial import TrialRow
from papertape.replay.research.sweep.workers import in_workers
from papertape.replay.tapes.store import Tape

Progress = Callable[[str, int, int], None]
TAPES: Final = "data.tapes"
KINDS: Final = ("logistic", "lightgbm", "lstm", "cnn_lstm", "transformer")
_NOT_A_RECIPE: Final = ("data.start", "data.end", "data.store", "signals.use_ml")


class LearnStudyOptions(NamedTuple):
    """
    How a study is run.

    folder        None: results/learn-study- and what the study is, so that the same one is gone on with
    workers       processes; None: as many as this machine has cores
    fits_windows  window, gate and cadence go by the length of each tape, where no axis has them
    """

    folder: Path | None = None
    workers: int | None = None
    fits_windows: bool = False


_DEFAULTS: Final = LearnStudyOptions()


def study_space(config: Config, axes: Sequence[Axis], tapes: Sequence[Sequence[str]], limit: int) -> Space:
    """
    Return the cells of a study: what varies in the order in which it was named, then the tapes, then policies.

    axes   none but perhaps of policies: every kind of model
    tapes  the names of what each account trades

    Raises ConfigError for what is no part of a recipe.
    """
    for axis in axes:
        if axis.key == TAPES:
            raise ConfigError(f"--grid {TAPES}: name tapes with --tape, as often as there are tapes")
        if axis.key in _NOT_A_RECIPE:
            raise ConfigError(
                f"--grid {axis.key}: it is no part of a recipe, so cells would not be alike; write it with --set"
            )
    policies = [axis for axis in axes if axis.key == POLICY]
    recipes = [axis for axis in axes if axis.key != POLICY]
    recipes = recipes or [make_axis("signals.model", KINDS, config)]
    policies = policies or [make_axis(POLICY, [config.learning.policy], config)]
    named = make_axis(TAPES, [list(names) for names in tapes], config)
    return make_space([*recipes, named, *policies], limit=limit)


def run_study(
    config: Config,
    tapes: Mapping[tuple[str, ...], Sequence[Tape]],
    space: Space,
    options: LearnStudyOptions = _DEFAULTS,
    on_progress: Progress | None = None,
) -> StudyFound:
    """
    Return what comes of every cell of a space; cells that the folder holds already are not run again.

    tapes  what is meant by names that are looked for nowhere; the others are read

    An interrupt ends it, and what is finished is the result: `left` says how many cells are not.

    Raises ConfigError for options that mean nothing, DataError when a folder is another study's or cannot be written.
    """
    if not config.signals.use_ml:
        raise ConfigError("learn-study: signals.use_ml is off, so no recipe trains a model; leave it on")
    workers = processes(options.workers)
    runner = CellRunner(config, fits_windows=options.fits_windows)
    for names, held in tapes.items():
        runner.trials.give(names, held)
    header = identity(config, runner.trials, space.axes) | {"fits_windows": options.fits_windows}
    folder = options.folder or folder_of("learn-study", header)
    with TrialFile(folder, header, space.size) as file:
        writer = LedgerWriter(runner.trials, "learn-study")
        try:
            writer.add_all(file.rows())
            _run_cells(runner, space, file, workers, writer, on_progress)
        except KeyboardInterrupt:
            pass
        finally:
            writer.close()
        rows = sorted(file.rows(), key=lambda row: row.number)
    found = study_of(config, folder, space, rows, runner.trials, writer.standing())
    write_tables(found)
    found.page = write_study(found)
    return found


def _run_cells(
    runner: CellRunner,
    space: Space,
    file: TrialFile,
    workers: int,
    writer: LedgerWriter,
    on_progress: Progress | None,
) -> None:
    """Run every cell that is not finished; those that share their models are one piece of work."""
    work = [left for group in groups_of(space) if (left := [n for n in group if not file.has(n)])]

    def cells(place: int) -> list[Cell]:
        return [Cell(number, space.changes(number)) for number in work[place]]

    def answer(place: int) -> bytes:
        return _joined(runner.run(cells(place)))

    def lost(place: int, how: str) -> bytes:
        return _joined([TrialRow(cell.number, cell.changes, "failed", how) for cell in cells(place)])

    if on_progress is not None:
        on_progress("cells", file.done, file.size)
    with closing(in_workers(iter(range(len(work))), answer, workers, lost)) as answers:
        for lines in answers:
            for line in lines.split(b"\n"):
                row = TrialRow.of_line(line)
                file.add(row, line)
                writer.add(row)
            if on_progress is not None:
                on_progress("cells", file.done, file.size)


def groups_of(space: Space) -> Iterator[Sequence[int]]:
    """Yield the numbers of cells that differ in their policy alone, which is the axis that changes fastest."""
    policies = len(space.axes[-1].values)
    return map(range, range(0, space.size, policies), itertools.count(policies, policies))


def _joined(rows: Sequence[TrialRow]) -> bytes:
    return b"\n".join(row.line() for row in rows)


def plain_names(tapes: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the names of tapes that are each an account of its own, or raise ConfigError for one that stands twice."""
    for name in tapes:
        if tapes.count(name) > 1:
            raise ConfigError(f"--tape {name}: it stands twice")
    return [(name,) for name in tapes]
