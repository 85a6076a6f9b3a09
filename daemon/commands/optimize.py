"""`papertape optimize`: parameters searched for, each batch proposed from what those before it have shown."""

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
from papertape.replay.research.optimize.goals import make_goals, parse_bounds
from papertape.replay.research.optimize.proposals import AUTO
from papertape.replay.research.optimize.result import OptimizeResult
from papertape.replay.research.optimize.run import BATCH, TRIALS, OptimizeOptions, run_optimize
from papertape.replay.research.sweep.axes import parse_axis
from papertape.replay.research.sweep.result import shown_changes
from papertape.replay.research.sweep.space import LIMIT
from papertape.replay.runtime.allocation import return_large_arrays

_INTERRUPTED = 130
_SHOWN = ("total_return", "sharpe", "max_drawdown", "trades", "profit_factor")


def optimize_command(
    config: ConfigFile = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="KEY=5:50, KEY=5:50:5, KEY=1h,4h, or KEY alone for what a strategy declares; repeatable"
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="how many are tried")] = TRIALS,
    by: Annotated[
        list[str] | None, typer.Option(help="the metric that is wanted; repeat for several")
    ] = None,
    least: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=NUMBER that must be reached: trades=30, max_drawdown=-0.2"),
    ] = None,
    most: Annotated[
        list[str] | None, typer.Option(help="METRIC=NUMBER that must not be passed: turnover=50")
    ] = None,
    windows: Annotated[
        int, typer.Option(min=0, help="stretches of the candles whose mean counts; 0: all at once")
    ] = 0,
    prune: Annotated[
        bool,
        typer.Option(help="with --windows: give up a trial that is behind half of those before"),
    ] = True,
    sampler: Annotated[
        str, typer.Option(help="auto, tpe, cmaes or nsga2; auto: tpe, of several goals nsga2")
    ] = AUTO,
    batch: Annotated[
        int, typer.Option(help="trials that are proposed before any of them is told")
    ] = BATCH,
    seed: DrawSeed = 1,
    tape: Tapes = None,
    changes: Changes = None,
    top: Annotated[int, typer.Option(min=1, max=1_000, help="how many are shown")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="folder; default: results/optimize-… by what is searched")
    ] = None,
    workers: Workers = None,
    dask: Dask = None,
    shared: Shared = False,
    limit: Annotated[int, typer.Option(min=1, help="the most trials")] = LIMIT,
    as_json: AsJson = False,
) -> None:
    """
    Search for the best parameters with optuna; the same command goes on where it was stopped.

    Example: papertape optimize --set strategy.name=ema_cross --set account.sizing=all_in --grid strategy.parameters.fast=2:30 --grid strategy.parameters.slow=31:200 --trials 64 --least trades=30
    """
    settings = with_tapes(load_config(config, changes or ()), tape)
    axes = [parse_axis(text, settings) for text in grid or ()]
    bounds = parse_bounds(least or (), True) + parse_bounds(most or (), False)
    options = OptimizeOptions(
        make_goals(by or ["sharpe"]), tuple(bounds), trials, batch, sampler, seed, out, top, workers, limit, dask, shared, windows, prune
    )  # fmt: skip
    return_large_arrays()
    tapes = load_tapes(settings)
    with progress_bars() as on_progress:
        found = run_optimize(settings, tapes, axes, options, on_progress)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    if found.left:
        raise typer.Exit(_INTERRUPTED)


def _show(found: OptimizeResult) -> None:
    """Print the best trials, how many there were, and what was checked."""
    console.print(_table(found))
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in found.counts.items())
    left = f", {found.left:,} not begun or not finished" if found.left else ""
    say(f"{found.size:,} trials by {found.sampler}: {counts or 'none finished'}{left}")
    if found.bounds:
        held = " and ".join(map(str, found.bounds))
        say(f"{found.feasible:,} of {found.counts.get('done', 0):,} that were done have {held}")
    if told := shared_by(found.shells):
        say(told)
    for outcome, reason in found.reasons.items():
        say(f"  {outcome}, the first: {reason}")
    if found.checked:
        numbers = ", ".join(map(str, found.checked))
        say(f"replayed again by themselves, bit for bit the same: trials {numbers}")
    for line in found.doubts:
        say(f"! {line}")
    say(f"trials {found.folder / 'trials.parquet'}")
    if found.page is not None:
        say(f"report {found.page}")


def _table(found: OptimizeResult) -> Table:
    labels = {name: (label, kind) for label, name, kind in FIGURES}
    goals = [goal.name for goal in found.goals]
    bounds = [bound.metric for bound in found.bounds]
    wanted_over = f", mean of {found.windows} windows" if found.windows else ""
    shown = [n for n in dict.fromkeys([*bounds, *_SHOWN]) if found.windows or n not in goals]
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    for axis in found.axes:
        table.add_column(escape(axis.name), justify="right")
    for name in goals:
        table.add_column(escape(labels.get(name, (name, ""))[0] + wanted_over), justify="right")
    for name in shown:
        table.add_column(escape(labels.get(name, (name, ""))[0]), justify="right")
    for outcome in found.best:
        row = outcome.row
        wanted = [
            None if value is None else goal.sign * value
            for goal, value in zip(found.goals, outcome.values, strict=True)
        ]
        values = [*wanted, *(row.metrics.get(name) for name in shown)]
        cells = [
            "–" if value is None else written(value, labels.get(name, ("", "number"))[1])
            for name, value in zip([*goals, *shown], values, strict=True)
        ]
        table.add_row(f"{row.number:,}", *map(escape, shown_changes(row, found.axes)), *cells)
    return table
