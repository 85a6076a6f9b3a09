"""`papertape walkforward`: parameters chosen window by window on the past alone, in one continuous account."""

from pathlib import Path
from typing import Annotated, Any

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
from papertape.daemon.commands.output import console, progress_bars, say
from papertape.daemon.commands.searches import SHOWN, counts_of, finish, say_shells
from papertape.daemon.commands.terminal import plain_table
from papertape.replay.backtesting.figures import figure, written
from papertape.replay.config import load_config
from papertape.replay.config.spec import load_tapes
from papertape.replay.research.sweep.axes import parse_axis
from papertape.replay.research.sweep.space import LIMIT, make_space
from papertape.replay.research.walkforward.page import doubts_of
from papertape.replay.research.walkforward.result import WalkResult, WindowRow
from papertape.replay.research.walkforward.run import Layout, WalkOptions, run_walkforward
from papertape.replay.runtime.allocation import return_large_arrays
from papertape.replay.tapes.timestamps import utc_text


def walkforward_command(
    config: ConfigFile = None,
    grid: Annotated[
        list[str] | None, typer.Option(help="strategy.parameters.NAME=5:50:5, as of sweep; repeatable")
    ] = None,
    train: Annotated[str, typer.Option(help="how long each choice looks back")] = "365d",
    test: Annotated[str, typer.Option(help="how long each choice is in force")] = "90d",
    anchored: Annotated[
        bool, typer.Option("--anchored", help="every choice looks back to the first candle")
    ] = False,
    purge: Annotated[
        str, typer.Option(help="before each test, seen by no choice; auto: the longest position or label")
    ] = "auto",
    embargo: Annotated[str, typer.Option(help="beside the purge")] = "0d",
    choose: Annotated[
        str, typer.Option(help="plateau: the best neighbourhood; peak: the best trial")
    ] = "plateau",
    at_switch: Annotated[
        str, typer.Option(help="carry: positions go on; close: they are closed at the next open")
    ] = "carry",
    by: Annotated[str, typer.Option(help="the metric that is searched for")] = "sharpe",
    draw: DrawCount = None,
    seed: DrawSeed = 1,
    tape: Tapes = None,
    changes: Changes = None,
    out: Annotated[
        Path | None, typer.Option(help="folder; default: results/walkforward-… by what is walked")
    ] = None,
    workers: Workers = None,
    dask: Dask = None,
    shared: Shared = False,
    limit: Annotated[int, typer.Option(min=1, help="the most trials of one window")] = LIMIT,
    as_json: AsJson = False,
) -> None:
    """
    Choose parameters window by window and go on with them in one account; the same command goes on where it was stopped.

    Example: papertape walkforward --set strategy.name=ema_cross --set account.sizing=all_in --grid strategy.parameters.fast=5:15:5 --grid strategy.parameters.slow=20,40
    """
    settings = with_tapes(load_config(config, changes or ()), tape)
    axes = [parse_axis(text, settings) for text in grid or ()]
    space = make_space(axes, draw, seed, limit)
    return_large_arrays()
    tapes = load_tapes(settings)
    layout = Layout(train, test, purge, embargo, anchored)
    options = WalkOptions(out, by, choose, at_switch, workers, dask, shared)
    with progress_bars() as on_progress:
        found = run_walkforward(settings, tapes, space, layout, options, on_progress)
    finish(found, as_json, lambda: _show(found))


def _show(found: WalkResult) -> None:
    """Print the windows, the account, how choices ranked where they were tried, and what was checked."""
    if found.left:
        say(f"{found.size:,} trials: {counts_of(found)}")
        return
    console.print(_table(found))
    say(f"{found.size:,} trials, each point in sample and on the test: {counts_of(found)}")
    say_shells(found.shells)
    say(f"account from the first switch on: {_figures(found)}")
    places = {kind: found.mean_place(kind) for kind in ("plateau", "peak")}
    told = ", ".join(f"{kind} {_number(place)}" for kind, place in places.items())
    say(f"mean place where they were tried, 0 the best, 0.50 by chance: {told}")
    more = found.efficiency_probability
    say(
        "! too few windows have an efficiency to say what they mean together"
        if more is None
        else f"that the mean efficiency is above 0 has a probability of {more:.0%} (Student's t over windows)"
    )
    say(
        f"purge {found.plan.purge_ms / 3_600_000:g} h, embargo {found.plan.embargo_ms / 3_600_000:g} h; longest position "
        f"{found.longest_s / 3_600:g} h"
    )
    numbers = ", ".join(map(str, found.checked))
    say(f"chosen and replayed again without what came later, the same: windows {numbers}")
    for line in doubts_of(found):
        say(f"! {line}")
    say(f"account {found.folder / 'account'}")
    say(f"windows {found.folder / 'windows.parquet'}")
    if found.page is not None:
        say(f"report {found.page}")


def _figures(found: WalkResult) -> str:
    shown = [(*figure(name), found.metrics.get(name)) for name in SHOWN]
    return ", ".join(f"{label} {written(value, kind)}" for label, kind, value in shown)


def _table(found: WalkResult) -> Table:
    label, kind = figure(found.by)
    names = [key.rpartition(".")[2] for key in found.rows[0].chosen]
    heads = ["test from", *names, f"{label} seen", f"{label} then", "return then", "efficiency"]
    table = plain_table((), [escape(head) for head in (*heads, "plateau's place", "peak's", "of")])
    for row in found.rows:
        table.add_row(*map(escape, _cells(row, kind)))
    return table


def _cells(row: WindowRow, kind: str) -> list[str]:
    return [
        utc_text(row.window.test_ms).removesuffix(" 00:00"),
        *(_number(value) if isinstance(value, float) else str(value) for value in row.chosen.values()),
        written(row.in_sample, kind),
        written(row.out_of_sample, kind),
        written(row.returned, "percent"),
        written(row.efficiency, "number"),
        written(row.plateau_rank, "count"),
        written(row.peak_rank, "count"),
        f"{row.ranked:,}",
    ]


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}"
