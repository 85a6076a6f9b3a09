"""`papertape optimize`: parameters searched for, each batch proposed from what those before it have shown."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from papertape.daemon.commands.options import (
    AsJson,
    Changes,
    ConfigFile,
    Dask,
    DrawSeed,
    Shared,
    Tapes,
    Top,
    TrialLimit,
    Workers,
    with_tapes,
)
from papertape.daemon.commands.output import console, progress_bars, say
from papertape.daemon.commands.searches import SHOWN, counts_of, finish, say_ending, trials_table
from papertape.replay.backtesting.figures import figure
from papertape.replay.config import load_config
from papertape.replay.config.spec import load_tapes
from papertape.replay.research.optimize.goals import make_goals, parse_bounds
from papertape.replay.research.optimize.proposals import AUTO
from papertape.replay.research.optimize.result import OptimizeResult
from papertape.replay.research.optimize.run import BATCH, TRIALS, OptimizeOptions, run_optimize
from papertape.replay.research.sweep.axes import parse_axis
from papertape.replay.research.sweep.space import LIMIT
from papertape.replay.runtime.allocation import return_large_arrays


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
        bool, typer.Option(help="with --windows: give up a trial that is behind half of those before")
    ] = True,
    sampler: Annotated[
        str, typer.Option(help="auto, tpe, cmaes or nsga2; auto: tpe, of several goals nsga2")
    ] = AUTO,
    batch: Annotated[int, typer.Option(help="trials that are proposed before any of them is told")] = BATCH,
    seed: DrawSeed = 1,
    tape: Tapes = None,
    changes: Changes = None,
    top: Top = 10,
    out: Annotated[
        Path | None, typer.Option(help="folder; default: results/optimize-… by what is searched")
    ] = None,
    workers: Workers = None,
    dask: Dask = None,
    shared: Shared = False,
    limit: TrialLimit = LIMIT,
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
    finish(found, as_json, lambda: _show(found))


def _show(found: OptimizeResult) -> None:
    """Print the best trials, how many there were, and what was checked."""
    console.print(_table(found))
    say(f"{found.size:,} trials by {found.sampler}: {counts_of(found)}")
    if found.bounds:
        held = " and ".join(map(str, found.bounds))
        say(f"{found.feasible:,} of {found.counts.get('done', 0):,} that were done have {held}")
    say_ending(found)


def _table(found: OptimizeResult) -> Table:
    goals = [goal.name for goal in found.goals]
    bounds = [bound.metric for bound in found.bounds]
    over = f", mean of {found.windows} windows" if found.windows else ""
    shown = [n for n in dict.fromkeys([*bounds, *SHOWN]) if found.windows or n not in goals]
    columns = [(name, figure(name)[0] + over) for name in goals]
    columns += [(name, figure(name)[0]) for name in shown]
    rows = []
    for outcome in found.best:
        values = [
            None if value is None else goal.sign * value
            for goal, value in zip(found.goals, outcome.values, strict=True)
        ]
        metrics = outcome.row.metrics
        rows.append((outcome.row, [*values, *(metrics.get(name) for name in shown)]))
    return trials_table(found.axes, columns, rows)
