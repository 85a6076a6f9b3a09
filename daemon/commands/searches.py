"""What the commands of searches share: what is searched, and how what was found is shown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import typer
from rich.markup import escape
from rich.table import Table

from papertape.daemon.commands.output import print_json, say
from papertape.daemon.commands.terminal import plain_table
from papertape.replay.backtesting.figures import figure, written
from papertape.replay.research.learn_study.result import StudyFound
from papertape.replay.research.optimize.result import OptimizeResult
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.result import SweepResult, TrialsFound, shown_changes
from papertape.replay.research.sweep.trial import TrialRow
from papertape.replay.research.walkforward.result import WalkResult

SHOWN: Final = ("total_return", "sharpe", "max_drawdown", "trades", "profit_factor")
_INTERRUPTED: Final = 130

AnyFound = SweepResult | OptimizeResult | StudyFound | WalkResult


def finish(found: AnyFound, as_json: bool, show: Callable[[], None]) -> None:
    """Print what a search found, for machines or people; leave as an interrupted one does where trials are left."""
    if as_json:
        print_json(found.to_json())
    else:
        show()
    if found.left:
        raise typer.Exit(_INTERRUPTED)


def counts_of(found: AnyFound) -> str:
    """Return how many trials ended how, and how many are left, as part of a sentence."""
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(found.counts.items()))
    left = f", {found.left:,} not begun or not finished" if found.left else ""
    return f"{counts or 'none finished'}{left}"


def say_shells(shells: Mapping[str, int]) -> None:
    """Print who did the trials that several shells shared; nothing where one process did all of them."""
    if shells:
        say("trials by shell: " + ", ".join(f"{name} {n:,}" for name, n in shells.items()))


def say_ending(found: TrialsFound) -> None:
    """Print what was checked, what a reader must know, and where all of it is."""
    say_shells(found.shells)
    say_reasons(found.reasons)
    if found.first is None and found.tried:
        say(
            f"! None of the {found.tried:,} trials that were tried has a value to rank it by; a replay with the "
            "parameters of one says why, for example because every entry was refused."
        )
    if found.checked:
        numbers = ", ".join(map(str, found.checked))
        say(f"replayed again by themselves, bit for bit the same: trials {numbers}")
    say_rest(found, "trials")


def say_reasons(reasons: Mapping[str, str]) -> None:
    """Print the first reason of each outcome but done."""
    for outcome, reason in reasons.items():
        say(f"  {outcome}, the first: {reason}")


def say_rest(found: TrialsFound | StudyFound, table: str) -> None:
    """Print what a reader must know, and where the table and the page are."""
    for line in found.doubts:
        say(f"! {line}")
    say(f"{table} {found.folder / f'{table}.parquet'}")
    if found.page is not None:
        say(f"report {found.page}")


def trials_table(
    axes: Sequence[Axis],
    columns: Sequence[tuple[str, str]],
    rows: Iterable[tuple[TrialRow, Sequence[float | None]]],
) -> Table:
    """Return trials by number: what each changed, then values under their heads; columns: metric and head."""
    heads = ("trial", *(axis.name for axis in axes), *(head for _, head in columns))
    table = plain_table((), [escape(head) for head in heads])
    kinds = [figure(metric)[1] for metric, _ in columns]
    for row, values in rows:
        cells = [written(value, kind) for value, kind in zip(values, kinds, strict=True)]
        table.add_row(f"{row.number:,}", *map(escape, shown_changes(row, axes)), *cells)
    return table
