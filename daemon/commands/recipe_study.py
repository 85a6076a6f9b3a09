"""`papertape recipe-study`: how often a recipe without merit passes over years, and how soon one with merit does, measured."""

from typing import Annotated

import typer
from rich.table import Table

from papertape.daemon.commands.options import AsJson
from papertape.daemon.commands.output import console, print_json, progress_bars
from papertape.daemon.commands.terminal import plain_table
from papertape.engine.model.gate.recipe import RecipeOptions
from papertape.replay.research.recipe_study import RecipeRow, RecipeStudyOptions, recipe_study


def recipe_study_command(
    runs: Annotated[int, typer.Option(min=10, help="histories per case")] = 400,
    years: Annotated[float, typer.Option(min=0.1, max=40.0, help="of noise")] = 4.0,
    months: Annotated[int, typer.Option(min=1, max=480, help="of an edge")] = 12,
    horizon: Annotated[int, typer.Option(min=1, help="of the labels, bars of an hour")] = 12,
    alpha: Annotated[float, typer.Option(min=0.001, max=0.49, help="chance that noise ever passes")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="of every history")] = 1,
    as_json: AsJson = False,
) -> None:
    """
    Measure how often a recipe passes that knows nothing, over years of monthly retraining, and how soon one that does.

    Exit code 1 when noise passes more often than the level allows, or, at a horizon of 12, a planted edge too seldom.

    Example: papertape recipe-study --runs 10 --years 0.5
    """
    options = RecipeStudyOptions(runs=runs, years=years, months=months, horizon_bars=horizon, seed=seed)
    rules = RecipeOptions(alpha)
    with progress_bars() as show:
        rows = list(recipe_study(options, rules, show))
    is_fine = all(row.is_fine for row in rows)
    if as_json:
        found = [row._asdict() for row in rows]
        print_json({"rows": found, "alpha": alpha, "horizon_bars": horizon, "is_fine": is_fine})
    else:
        console.print(_table(rows, options, rules))
    if not is_fine:
        raise typer.Exit(1)


def _table(rows: list[RecipeRow], options: RecipeStudyOptions, rules: RecipeOptions) -> Table:
    """Return a line per case: how often the recipe passed, how soon, and whether that is as it should be."""
    title = (
        f"recipes: {options.runs:,} histories per case, hours, retrained every 30 days, labels over "
        f"{options.horizon_bars} bars, level {rules.alpha:g}"
    )
    heads = ("best accuracy", "years", "passed", "rate", "months", "faded a year", "")
    table = plain_table(["case"], heads, title, no_wrap=True)
    for row in rows:
        table.add_row(
            row.case,
            f"{row.accuracy:.0%}",
            f"{row.years:.3g}",
            f"{row.passed:,}",
            f"{row.rate:.1%}",
            "–" if row.months is None else f"{row.months:.0f}",
            f"{row.fades:.2f}",
            _verdict(row),
        )
    return table


def _verdict(row: RecipeRow) -> str:
    if row.accuracy == 0.5:
        return "within the level" if row.is_fine else "ABOVE THE LEVEL"
    if row.case == "edge ends":
        return "months until demoted"
    if not row.asked:
        return "power"
    return f"power, {row.asked:.0%} asked" if row.is_fine else f"POWER BELOW {row.asked:.0%}"
