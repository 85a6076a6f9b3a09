"""`papertape montecarlo`: what one result could have been."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from papertape.daemon.commands.options import AsJson
from papertape.daemon.commands.output import console, print_json
from papertape.replay.research.montecarlo import (
    TABLE,
    MonteCarlo,
    PathOptions,
    draw_paths,
    read_source,
)


def montecarlo_command(
    result: Annotated[Path, typer.Argument(help="a result folder", show_default=False)],
    paths: Annotated[int, typer.Option(min=1, help="of each kind")] = 10_000,
    ruin: Annotated[float, typer.Option(help="the loss of capital that is called ruin")] = 0.5,
    skip: Annotated[float, typer.Option(help="share of trades that a path leaves out")] = 0.1,
    costs: Annotated[
        float, typer.Option(help="the most times that costs are paid once more")
    ] = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="the same one draws the same paths")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="a Parquet file; default: in the result's folder")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Draw a result's trades and days again: intervals for return, drawdown, time under water, and the chance of ruin.

    Example: papertape montecarlo results/latest --paths 2000
    """
    found = draw_paths(read_source(result), PathOptions(paths, ruin, skip, costs, seed))
    target = out if out is not None else result / TABLE
    if found.kinds:
        found.save(target)
    if as_json:
        print_json(found.to_json())
        return
    console.print(f"{found.title}: {paths:,} paths of each kind, 5 % · 50 % · 95 %", markup=False)
    console.print(_table(found))
    for kind in found.kinds:
        console.print(f"{kind.name}: {kind.tells}", markup=False, soft_wrap=True)
    for name, reason in found.missing.items():
        console.print(f"! {name}: not drawn, {reason}", markup=False, soft_wrap=True)
    console.print(f"digest {found.digest[:16]}, seed {seed}", markup=False)
    if found.kinds:
        console.print(f"paths {target}", markup=False, soft_wrap=True)


def _table(found: MonteCarlo) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("drawn")
    ruined = f"ruin at −{found.options.ruin:.0%}"
    for name in ("total return", "max drawdown", "longest under water", "loss", ruined):
        table.add_column(name, justify="right")
    for row in found.to_json()["kinds"]:
        table.add_row(
            row["kind"],
            " · ".join(f"{value:+.1%}" for value in row["total"]),
            " · ".join(f"{value:.1%}" for value in row["drawdown"]),
            " · ".join(f"{value:,.0f}" for value in row["underwater"])
            + f" {row['underwater_unit']}",
            f"{row['loss']:.1%}",
            f"{row['ruin']:.1%}",
        )
    return table
