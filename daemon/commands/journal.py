"""`papertape journal`: take what a daemon received and did out of its state directory."""

from pathlib import Path
from typing import Annotated

import typer

from papertape.daemon.commands.options import AsJson, State, TrustCode
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.journal import Journal
from papertape.daemon.journal.archive import back_up
from papertape.daemon.journal.export import export_funding, export_tables, export_tapes, series_left_out
from papertape.daemon.runtime.drill import drill
from papertape.replay.config.fields import key_part

journal_app = typer.Typer(help="A daemon's journal, also while it runs.", no_args_is_help=True)


@journal_app.command("export")
def export_command(
    state: State,
    out: Annotated[Path, typer.Option(help="folder for the files")] = Path("export"),
    tapes_only: Annotated[bool, typer.Option("--tapes", help="no tables")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Write the candles that were received as tapes, the funding as files beside them, and every table as Parquet.

    The tapes replay like any other, and pay the funding with the option that is printed:
    `papertape replay --tape export/….parquet --set data.funding.BTCUSDT=export/funding/….parquet`.

    Marks, index prices and open interest that were received are in none of the files, which is said where there were any.

    Example: papertape journal export state --out export
    """
    with Journal.read(state) as journal:
        paths = export_tapes(state, journal, out)
        funding = export_funding(state, journal, out / "funding")
        paths += funding.values()
        left_out = series_left_out(state, journal)
        if not tapes_only:
            paths += export_tables(journal, out / "tables")
    _print(paths, as_json)
    if left_out and not as_json:
        say(
            f"! not in these files: what was received of {', '.join(left_out)}; a replay of the tapes does not know it. "
            "`papertape verify` replays the journal itself, with all of it"
        )
    for symbol, path in {} if as_json else funding.items():
        say(f"a replay pays {symbol}'s funding with --set 'data.funding.{key_part(symbol)}={path}'")


@journal_app.command("backup")
def backup_command(state: State, as_json: AsJson = False) -> None:
    """
    Write a whole copy of the journal to the state directory's backup folder; it can take the journal's place.

    Example: papertape journal backup state
    """
    with Journal.read(state) as journal:
        _print([back_up(state, journal, f"journal-input-{journal.sequence:012d}")], as_json)


@journal_app.command("drill")
def drill_command(state: State, trust_code: TrustCode = False, as_json: AsJson = False) -> None:
    """
    Bring the newest backup back to a running engine, on a copy, and say how long it took and what would be lost.

    Also while the daemon runs. Exit code 1 when what came back is not what the daemon had.

    Example: papertape journal drill state
    """
    with progress_bars() as on_progress:
        found = drill(state, on_progress, trust_code=trust_code)
    if as_json:
        print_json({**found._asdict(), "backup": str(found.backup), "is_equal": found.is_equal})
    else:
        for line in found.told:
            say(f"! {line}")
        say(f"backup    {found.backup}")
        console.print(
            f"restored  {found.inputs:,} inputs in {found.seconds:.1f} s, {found.stepped:,} of them stepped again"
        )
        console.print(f"lost      {found.lost:,} inputs since; live, the venue's history has their candles")
        state_of = "no digest of that input to compare with" if not found.kept else "as the daemon had it"
        console.print(
            f"digest    {found.digest[:16]}, {state_of if found.is_equal else 'NOT what the daemon had'}"
        )
    if not found.is_equal:
        raise typer.Exit(1)


def _print(paths: list[Path], as_json: bool) -> None:
    if as_json:
        print_json([str(path) for path in paths])
    for path in [] if as_json else paths:
        say(str(path))
