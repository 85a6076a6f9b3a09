"""`papertape calibrate`: how often every statistic claims an edge in noise, and how often it finds one, measured."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from papertape.daemon.commands.options import AsJson
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.replay.research.calibration.claims import LEVEL
from papertape.replay.research.calibration.searches import SearchStudyOptions, run_searches
from papertape.replay.research.calibration.study import (
    ALL,
    CalibrationOptions,
    ClaimRate,
    calibrate,
    edge_runs,
)
from papertape.replay.research.sweep.run import processes

_QUICK = 100


def calibrate_command(
    runs: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="noise histories per statistic and shape")
    ] = 1_000,
    quick: Annotated[bool, typer.Option("--quick", help=f"{_QUICK} of them")] = False,
    markets: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100_000,
            help="in place of histories: so many searches, each replayed on a noise market and judged by a ledger",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="folder of finished --markets; default: results/calibrate-… by what it is"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of every history or market")] = 1,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes; changes nothing but the time it takes")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Measure how often every statistic claims an edge in noise of eight shapes, and how often it finds one that is planted.

    With --markets the same is asked of whole searches by the engine; the same command goes on where it was stopped.

    Exit code 1 when one claims more often than in 7 % of a shape's noise, surely more than 5 % of all, or finds too little.

    Example: papertape calibrate --runs 20
    """
    n_workers = processes(workers)
    with progress_bars() as show:
        if markets is not None:
            title = f"% of noise / of planted edges: {markets:,} / {edge_runs(markets):,} searches"
            rows = run_searches(SearchStudyOptions(markets, seed, n_workers, out), show)
        else:
            options = CalibrationOptions(_QUICK if quick else runs, seed=seed, workers=n_workers)
            title = f"claims at {LEVEL:.0%}: % of noise / of planted edges; {options.runs:,} and a quarter as many histories each"
            rows = calibrate(options, show)
    broken = [row for row in rows if not row.is_fine]
    if as_json:
        print_json({"is_fine": not broken, "rows": [row._asdict() for row in rows]})
    else:
        for told in dict.fromkeys(_parts(row)[1] for row in rows):
            group = [row for row in rows if _parts(row)[1] == told]
            console.print(_table(group, f"{told}, {title}" if told else title))
        for row in rows:
            if row.shape == ALL:
                say(_sentence(row))
        for row in broken:
            say(
                f"BROKEN: {row.claim} on {row.shape}: {row.rate:.1%} of noise, at most {row.most:.0%}; power {row.power:.0%}"
            )
    if broken:
        raise typer.Exit(1)


def _parts(row: ClaimRate) -> tuple[str, str]:
    """Return what claims, and with which costs where that is said."""
    claim, _, told = row.claim.partition(", ")
    return claim, told


def _table(rows: list[ClaimRate], title: str) -> Table:
    """Return a line per shape, a column per statistic."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    shapes = list(dict.fromkeys(row.shape for row in rows))
    table.add_column("shape", no_wrap=True)
    for claim in dict.fromkeys(_parts(row)[0] for row in rows):
        table.add_column(claim, justify="right")
    for shape in shapes:
        cells = [f"{100 * row.rate:.1f}/{100 * row.power:.0f}" for row in rows if row.shape == shape]
        table.add_row(shape, *cells)
    return table


def _sentence(row: ClaimRate) -> str:
    judged = "" if row.is_judged else ", for comparison"
    return f"{row.claim}: {row.rate:.1%} of noise ({row.low:.1%} to {row.high:.1%}){judged}"
