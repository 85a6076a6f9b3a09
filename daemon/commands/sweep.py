"""`papertape sweep`: many configurations over the same tapes, each as its replay would be."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from papertape.daemon.commands.options import (
    AsJson,
    Changes,
    ConfigFile,
    Dask,
    DrawCount,
    DrawSeed,
    Shared,
    Tapes,
    Workers,
    with_tapes,
)
from papertape.daemon.commands.output import console, print_json, progress_bars, say, shared_by
from papertape.replay.backtesting.figures import FIGURES, written
from papertape.replay.config import load_config
from papertape.replay.config.spec import load_tapes
from papertape.replay.research.sweep.axes import parse_axis
from papertape.replay.research.sweep.result import SweepResult, shown_changes
from papertape.replay.research.sweep.run import SweepOptions, run_sweep
from papertape.replay.research.sweep.space import LIMIT, make_space
from papertape.replay.runtime.allocation import return_large_arrays

_INTERRUPTED = 130
_SHOWN = ("total_return", "sharpe", "max_drawdown", "trades", "profit_factor")


def sweep_command(
    config: ConfigFile = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="KEY=5:50:5, KEY=1h,4h, KEY=0.1:0.9 to draw from, or KEY alone for what a strategy declares; repeatable"
        ),
    ] = None,
    draw: DrawCount = None,
    seed: DrawSeed = 1,
    tape: Tapes = None,
    changes: Changes = None,
    by: Annotated[str, typer.Option(help="the metric that the best have most of")] = "sharpe",
    top: Annotated[int, typer.Option(min=1, max=1_000, help="how many are shown")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="folder; default: results/sweep-… by what is swept")
    ] = None,
    workers: Workers = None,
    dask: Dask = None,
    shared: Shared = False,
    limit: Annotated[int, typer.Option(min=1, help="the most trials")] = LIMIT,
    as_json: AsJson = False,
) -> None:
    """
    Replay every configuration of a grid, or draws from it; the same command goes on where it was stopped.

    Example: papertape sweep --set strategy.name=ema_cross --set account.sizing=all_in --grid strategy.parameters.fast=5:15:5 --grid strategy.parameters.slow=20,40
    """
    settings = with_tapes(load_config(config, changes or ()), tape)
    axes = [parse_axis(text, settings) for text in grid or ()]
    space = make_space(axes, draw, seed, limit)
    return_large_arrays()
    tapes = load_tapes(settings)
    with progress_bars() as on_progress:
        found = run_sweep(
            settings, tapes, space, SweepOptions(out, by, top, workers, dask, shared), on_progress
        )
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    if found.left:
        raise typer.Exit(_INTERRUPTED)


def _show(found: SweepResult) -> None:
    """Print the best trials, how many there were, and what was checked."""
    console.print(_table(found))
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(found.counts.items()))
    left = f", {found.left:,} not begun or not finished" if found.left else ""
    lanes = f"; {found.lanes:,} as lanes" if found.counts.get("done") else ""
    said = f"{found.size:,} trials: {counts or 'none finished'}{left}{lanes}"
    console.print(said, markup=False)
    if told := shared_by(found.shells):
        say(told)
    for outcome, reason in found.reasons.items():
        say(f"  {outcome}, the first: {reason}")
    if found.checked:
        numbers = ", ".join(map(str, found.checked))
        console.print(
            f"replayed again by themselves, bit for bit the same: trials {numbers}", markup=False
        )
    for line in found.doubts:
        say(f"! {line}")
    say(f"trials {found.folder / 'trials.parquet'}")
    if found.page is not None:
        say(f"report {found.page}")


def _table(found: SweepResult) -> Table:
    labels = {name: (label, kind) for label, name, kind in FIGURES}
    shown = list(dict.fromkeys([found.by, *_SHOWN]))
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    for axis in found.axes:
        table.add_column(escape(axis.name), justify="right")
    for name in shown:
        table.add_column(labels.get(name, (name, ""))[0], justify="right")
    for row in found.best:
        cells = []
        for name in shown:
            value = row.metrics.get(name)
            cells.append(
                "–" if value is None else written(value, labels.get(name, ("", "number"))[1])
            )
        table.add_row(f"{row.number:,}", *map(escape, shown_changes(row, found.axes)), *cells)
    return table
