"""`papertape tape`: bring recorded candles in, look at them, and make longer or synthetic ones."""

from pathlib import Path
from typing import Annotated

import typer

from papertape.daemon.commands.options import AsJson, TapeFolder
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.commands.tape_fetch import fetch_command
from papertape.daemon.commands.tape_options import with_file_options
from papertape.daemon.commands.tape_tables import (
    Checked,
    checked_file,
    checked_tape,
    print_checks,
    tape_table,
)
from papertape.engine.errors import DataError
from papertape.replay.importers.build import Imported, build_tape, market_key
from papertape.replay.importers.detect import read_raw
from papertape.replay.importers.options import Options
from papertape.replay.tapes.raw import Raw, join_raws
from papertape.replay.tapes.resample import resample
from papertape.replay.tapes.store import Store, Tape, read_tape
from papertape.replay.tapes.synthetic import KINDS, synthesize

tape_app = typer.Typer(help="The candle store: recorded candles as tapes.", no_args_is_help=True)
tape_app.command("fetch")(fetch_command)

_FAILED = 1
Replace = Annotated[bool, typer.Option("--replace", help="put it in the place of another tape")]


@tape_app.command("import")
@with_file_options
def import_command(
    files: Annotated[list[Path], typer.Argument(help="files or folders", show_default=False)],
    options: Options,
    store: TapeFolder = None,
    replace: Replace = False,
    merge: Annotated[bool, typer.Option("--merge", help="join with the stored tape")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Import candles from files of any known format; files of one market become one tape.

    The format is told by the content. Nothing is stored when one file is refused.

    Example: papertape tape import BTCUSDT-1h-2024-*.zip --venue binance-spot
    """
    if replace and merge:
        raise typer.BadParameter("choose one of --replace and --merge")
    imports = _build(files, options)
    found = Store(store)
    for made in imports:  # every refusal comes before the first file is written
        found.prepare(made.tape, replace=replace, merge=merge, keep=options.keep)
    paths = [found.save(made.tape, replace=replace, merge=merge, keep=options.keep) for made in imports]
    _show_imports(imports, paths, as_json)


def _build(files: list[Path], options: Options) -> list[Imported]:
    """Return one tape per market in the files; all are built before any is stored."""
    markets: dict[object, list[Raw]] = {}
    with progress_bars() as show:
        for number, file in enumerate(files):
            raw = read_raw(file, options)
            markets.setdefault(market_key(raw, options), []).append(raw)
            show("reading", number + 1, len(files))
    return [build_tape(join_raws(raws), options) for raws in markets.values()]


def _show_imports(imports: list[Imported], paths: list[Path], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"path": str(path), "dialect": made.dialect, **made.tape.metadata()}
                for made, path in zip(imports, paths, strict=True)
            ]
        )
        return
    print_checks([checked_tape(made.tape, made.quality) for made in imports])
    for made, path in zip(imports, paths, strict=True):
        say(f"stored {path} ({len(made.tape.candles):,} candles)")


@tape_app.command("check")
@with_file_options
def check_command(
    names: Annotated[list[str], typer.Argument(help="files, or names in the store", show_default=False)],
    options: Options,
    store: TapeFolder = None,
    as_json: AsJson = False,
) -> None:
    """
    Report the quality of tapes and of files not yet imported; fail if one could not be traded on as it is.

    Example: papertape tape check BTCUSDT downloads/XBTUSD_60.csv
    """
    checks: list[Checked] = []
    with progress_bars() as show:
        for number, name in enumerate(names):
            path = Path(name)
            if path.exists():
                checks.append(checked_file(path, options))
            else:
                checks.append(checked_tape(Store(store).find(name)))
            show("checking", number + 1, len(names))
    if as_json:
        print_json([check.as_dict() for check in checks])
    else:
        print_checks(checks)
    if any(check.refusal for check in checks):
        raise typer.Exit(_FAILED)


@tape_app.command("list")
def list_command(store: TapeFolder = None, as_json: AsJson = False) -> None:
    """
    List the tapes of the store.

    Example: papertape tape list --json
    """
    found = Store(store)
    entries = found.entries()
    if as_json:
        print_json([{"name": e.name, "path": str(e.path), "problem": e.problem, **e.about} for e in entries])
    elif entries:
        console.print(tape_table(entries))
        for entry in entries:
            if entry.problem:
                say(f"! {entry.problem}")
    else:
        say(f"{found.directory}: no tapes; bring one in with `papertape tape import`")


@tape_app.command("resample")
def resample_command(
    name: Annotated[str, typer.Argument(help="a name in the store, or a tape's file")],
    timeframe: Annotated[str, typer.Argument(help="longer than the tape's, for example 4h")],
    store: TapeFolder = None,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """
    Make a longer timeframe of a tape and store it beside.

    Example: papertape tape resample BTCUSDT_1m 1h
    """
    found = Store(store)
    source = read_tape(Path(name)) if Path(name).is_file() else found.find(name)
    _store(found, resample(source, timeframe), replace, as_json)


@tape_app.command("synth")
def synth_command(
    kind: Annotated[str, typer.Argument(help=f"one of {', '.join(KINDS)}")],
    rows: Annotated[int, typer.Option(help="how many candles")] = 10_000,
    timeframe: Annotated[str, typer.Option(help="for example 1h")] = "1h",
    seed: Annotated[int, typer.Option(min=0, help="equal seeds give equal candles")] = 1,
    symbol: Annotated[str | None, typer.Option(help="default: the kind in capitals")] = None,
    store: TapeFolder = None,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """
    Make a seeded synthetic market; its candles stay flagged wherever they go.

    Example: papertape tape synth noise --rows 50000 --timeframe 1h --seed 7
    """
    name = Options(symbol=symbol or kind.upper()).symbol
    assert name is not None
    _store(Store(store), synthesize(kind, rows, timeframe, seed, symbol=name), replace, as_json)


def _store(store: Store, tape: Tape, replace: bool, as_json: bool) -> None:
    """Keep a tape that was made here and tell about it."""
    try:
        path = store.save(tape, replace=replace)
    except DataError as error:
        raise DataError(str(error).replace("--merge joins them, ", "")) from error
    if as_json:
        print_json({"path": str(path), **tape.metadata()})
        return
    print_checks([checked_tape(tape)])
    say(f"stored {path} ({len(tape.candles):,} candles)")
