"""`papertape journal`: take what a daemon received and did out of its state directory."""

from pathlib import Path
from typing import Annotated

import typer

from papertape.daemon.commands.output import console, print_json
from papertape.daemon.journal import Journal
from papertape.daemon.journal.archive import back_up
from papertape.daemon.journal.export import export_tables, export_tapes

journal_app = typer.Typer(help="A daemon's journal, also while it runs.", no_args_is_help=True)

State = Annotated[Path, typer.Argument(help="a state directory", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="print the paths as JSON")]


@journal_app.command("export")
def export_command(
    state: State,
    out: Annotated[Path, typer.Option(help="folder for the files")] = Path("export"),
    tapes_only: Annotated[bool, typer.Option("--tapes", help="no tables")] = False,
    as_json: Json = False,
) -> None:
    """
    Write the candles that were received as tapes, and every table as Parquet.

    The tapes replay like any other: `papertape replay --tape export/…parquet`.

    Example: papertape journal export state --out export
    """
    with Journal.read(state) as journal:
        paths = export_tapes(state, journal, out)
        if not tapes_only:
            paths += export_tables(journal, out / "tables")
    _print(paths, as_json)


@journal_app.command("backup")
def backup_command(state: State, as_json: Json = False) -> None:
    """
    Write a whole copy of the journal to the state directory's backup folder; it can take the journal's place.

    Example: papertape journal backup state
    """
    with Journal.read(state) as journal:
        _print([back_up(state, journal, f"journal-input-{journal.sequence:012d}")], as_json)


def _print(paths: list[Path], as_json: bool) -> None:
    if as_json:
        print_json([str(path) for path in paths])
    for path in [] if as_json else paths:
        console.print(str(path), markup=False, soft_wrap=True)
