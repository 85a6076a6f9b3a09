"""`papertape honesty`: the whole learning pipeline on markets whose truth is known, noise first."""

from typing import Annotated

import typer
from rich.text import Text

from papertape.daemon.commands.options import AsJson
from papertape.daemon.commands.output import console, print_json, say
from papertape.replay.honesty import HonestyOptions, HonestyRow, run_honesty

_KEY = (
    "a  nothing to find: the gate refuses, and no score afterwards reports an edge",
    "b  an edge of known size: found, not overstated, promoted, worth money after costs",
    "c  the same with its labels shuffled: chance",
    "d  purge and embargo: the parts of training are free of each other; without them the leak is noticed",
    "e  look-ahead: nothing later enters an input or a weight; planted, it is noticed",
    "f  the recipe over years of retraining: noise hardly ever passes, an edge does, and what ends is demoted",
    "g  a strategy's own signals: noise is refused, a condition in which they pay is found, none is known early",
)


def honesty_command(
    quick: Annotated[
        bool, typer.Option("--quick", help="seconds in place of minutes: no network is trained")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="of every market and model")] = 1,
    plant: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """
    Test the learning pipeline on noise, on planted edges and with leaks; exit code 0 when every row is as it should be.

    Features, labels, training, gate and broker are those of replay and live. Rows appear as they end, within minutes.

    Example: papertape honesty --quick
    """
    options = HonestyOptions.quick(seed) if quick else HonestyOptions(seed=seed)
    if as_json:
        rows = run_honesty(options, plant=plant)
        print_json({"is_honest": _is_honest(rows), "rows": [row._asdict() for row in rows]})
    else:
        rows = _watched(options, plant)
    if not _is_honest(rows):
        raise typer.Exit(1)


def _is_honest(rows: list[HonestyRow]) -> bool:
    return bool(rows) and all(row.is_fine for row in rows)


def _watched(options: HonestyOptions, plant: str | None) -> list[HonestyRow]:
    """Run the study and print every row as it ends, with what is under way below on a terminal."""
    for line in _KEY:
        say(line)
    with console.status("markets") as status:
        rows = run_honesty(
            options,
            _print_row,
            lambda what, done, of: status.update(f"{what}: {done:,} of {of:,}"),
            plant=plant,
        )
    failed = [row for row in rows if not row.is_fine]
    took_s = sum(row.wall_s for row in rows)
    told = "every row is as it should be" if not failed else f"{len(failed)} not as it should be"
    say(f"{len(rows)} rows in {took_s:,.0f} s: {told}")
    return rows


def _print_row(row: HonestyRow) -> None:
    """Print one row: what was tried, what came of it, and what should have when it did not."""
    mark, style = ("✓", "green") if row.is_fine else ("✗", "bold red")
    say(Text.assemble((mark, style), f" {row.part}  {row.what:<48} {row.wall_s:7.1f} s"))
    say(f"     {row.found}")
    if not row.is_fine:
        say(f"     expected: {row.expected}")
