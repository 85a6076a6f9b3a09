"""`papertape sweep`: many configurations over the same tapes, each as its replay would be."""

from pathlib import Path
from typing import Annotated

import typer

from papertape.daemon.commands.options import (
    AsJson,
    Changes,
    ConfigFile,
    Dask,
    DrawCount,
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
from papertape.replay.research.sweep.axes import parse_axis
from papertape.replay.research.sweep.result import SweepResult
from papertape.replay.research.sweep.run import SweepOptions, run_sweep
from papertape.replay.research.sweep.space import LIMIT, make_space
from papertape.replay.runtime.allocation import return_large_arrays


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
    top: Top = 10,
    out: Annotated[
        Path | None, typer.Option(help="folder; default: results/sweep-… by what is swept")
    ] = None,
    workers: Workers = None,
    dask: Dask = None,
    shared: Shared = False,
    limit: TrialLimit = LIMIT,
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
    finish(found, as_json, lambda: _show(found))


def _show(found: SweepResult) -> None:
    """Print the best trials, how many there were, and what was checked."""
    columns = [(name, figure(name)[0]) for name in dict.fromkeys([found.by, *SHOWN])]
    rows = [(row, [row.metrics.get(name) for name, _ in columns]) for row in found.best]
    console.print(trials_table(found.axes, columns, rows))
    lanes = f"; {found.lanes:,} as lanes" if found.counts.get("done") else ""
    say(f"{found.size:,} trials: {counts_of(found)}{lanes}")
    say_ending(found)
