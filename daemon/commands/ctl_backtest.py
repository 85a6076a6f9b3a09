"""`papertape ctl backtest`: backtests that a running daemon makes."""

import time
import tomllib
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from papertape.daemon.backtests.answers import BacktestJob, BacktestState, ResultFile
from papertape.daemon.client import Client
from papertape.daemon.commands.daemon_client import daemon_of
from papertape.daemon.commands.options import AsJson, DaemonFile, DaemonUrl
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.commands.terminal import plain_table, printable
from papertape.engine.errors import ConfigError
from papertape.replay.backtesting.figures import FIGURES, written
from papertape.replay.runtime.files import write_whole

backtest_app = typer.Typer(help="Backtests that a running daemon makes.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(help="of a backtest", min=1, show_default=False)]
_LOOK_S: Final = 0.5
_OPEN: Final = (BacktestState.QUEUED, BacktestState.RUNNING)
_REFUSED: Final = 1


@backtest_app.command("start")
def start_command(
    file: Annotated[Path, typer.Argument(help="a TOML file", show_default=False)],
    name: Annotated[str, typer.Option(help="of the job")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="until it has ended; exit code 1 if not well")] = False,
    key: Annotated[
        str | None, typer.Option(help="said again with the same key, none is started twice")
    ] = None,
    config: DaemonFile = None,
    url: DaemonUrl = None,
    as_json: AsJson = False,
) -> None:
    """
    Have a configuration replayed by a running daemon, in a process of its own.

    Example: papertape ctl backtest start deploy/replay.toml --wait
    """
    values = _values(file)
    with daemon_of(config, url) as client:
        job = client.start_backtest(values, name, key)
        if wait:
            job = _follow(client, job.number)
    _show(job, as_json)
    if wait and job.state is not BacktestState.DONE:
        raise typer.Exit(_REFUSED)


@backtest_app.command("choices")
def choices_command(config: DaemonFile = None, url: DaemonUrl = None, as_json: AsJson = False) -> None:
    """
    Show what a backtest may be made of: strategies with their parameters, and tapes.

    Example: papertape ctl backtest choices
    """
    with daemon_of(config, url, is_reading=True) as client:
        found = client.backtest_choices()
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    strategies = Table("strategy", "parameters", box=None, pad_edge=False)
    for strategy in found.strategies:
        names = ", ".join(one.name for one in strategy.parameters)
        strategies.add_row(*(escape(printable(cell)) for cell in (strategy.name, names)))
    tapes = Table("tape", "candles", box=None, pad_edge=False)
    for tape in found.tapes:
        told = tape.problem or ("–" if tape.candles is None else f"{tape.candles:,}")
        tapes.add_row(*(escape(printable(cell)) for cell in (tape.name, told)))
    console.print(strategies, tapes)
    if found.more_tapes:
        say(f"and {found.more_tapes:,} tapes more in its store")


@backtest_app.command("list")
def list_command(config: DaemonFile = None, url: DaemonUrl = None, as_json: AsJson = False) -> None:
    """
    List the backtests that a daemon keeps, newest first.

    Example: papertape ctl backtest list
    """
    with daemon_of(config, url, is_reading=True) as client:
        jobs = client.backtests()
    if as_json:
        print_json([job.model_dump(mode="json") for job in jobs])
        return
    console.print(_table(jobs))


@backtest_app.command("show")
def show_command(
    number: Number, config: DaemonFile = None, url: DaemonUrl = None, as_json: AsJson = False
) -> None:
    """
    Show a backtest, and what it found when it is done.

    Example: papertape ctl backtest show 1
    """
    with daemon_of(config, url, is_reading=True) as client:
        job = client.backtest(number)
        if job.state is not BacktestState.DONE:
            _show(job, as_json)
            return
        result = client.backtest_result(number)
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    console.print(_table([job]))
    table = Table(box=None, show_header=False, pad_edge=False)
    for label, metric, kind in FIGURES:
        value = result.metrics.get(metric)
        table.add_row(label, written(value, kind))
    console.print(table)
    for line in result.doubts:
        say(f"! {printable(line)}")
    say(f"digest {job.digest[:16]} · {result.folder}")


@backtest_app.command("cancel")
def cancel_command(
    number: Number, config: DaemonFile = None, url: DaemonUrl = None, as_json: AsJson = False
) -> None:
    """
    End a backtest that waits or runs.

    Example: papertape ctl backtest cancel 1
    """
    with daemon_of(config, url) as client:
        client.cancel_backtest(number)
        _show(_follow(client, number), as_json)


@backtest_app.command("compare")
def compare_command(
    number: Number,
    other: Annotated[int | None, typer.Argument(help="another one; none: the live account", min=1)] = None,
    config: DaemonFile = None,
    url: DaemonUrl = None,
    as_json: AsJson = False,
) -> None:
    """
    Compare a backtest with another one, or with the live account.

    Example: papertape ctl backtest compare 1 2
    """
    with daemon_of(config, url, is_reading=True) as client:
        found = client.compare_backtests(number, other)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    table = plain_table(["figure"], (found.first.source, found.second.source))
    values = {metric.name: (metric.first, metric.second) for metric in found.metrics}
    for label, metric, kind in FIGURES:
        pair = values.get(metric, (None, None))
        table.add_row(label, *(written(value, kind) for value in pair))
    console.print(table)
    for setting in found.settings:
        line = f"{setting.key}: {setting.first or '–'} → {setting.second or '–'}"
        say(printable(line))
    for side in (found.first, found.second):
        if side.told:
            say(f"! {printable(side.source)}: {printable(side.told)}")
    if not found.is_same_span:
        say("! the two are about different spans of time")


@backtest_app.command("fetch")
def fetch_command(
    number: Number,
    out: Annotated[Path, typer.Option(help="folder for the files")] = Path("results/fetched"),
    config: DaemonFile = None,
    url: DaemonUrl = None,
) -> None:
    """
    Fetch the report, figures and tables of a backtest.

    Example: papertape ctl backtest fetch 1 --out results/fetched
    """
    with daemon_of(config, url, is_reading=True) as client:
        for file in client.backtest_result(number).files:
            write_whole(out / file.name.value, partial(_write, client, number, file.name))
    say(f"report {out / ResultFile.REPORT.value}")


def _write(client: Client, number: int, name: ResultFile, file: Any) -> None:
    for piece in client.backtest_file(number, name):
        file.write(piece)


def _values(file: Path) -> dict[str, Any]:
    """Return what a TOML file holds; whether it is right is for the daemon to say, whose tapes and code it is about."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from error


def _follow(client: Client, number: int) -> BacktestJob:
    """Return a backtest once it has ended, with its progress on the terminal until then."""
    with progress_bars() as show:
        while (job := client.backtest(number)).state in _OPEN:
            if job.total:
                show(job.step, job.done, job.total)
            time.sleep(_LOOK_S)
    return job


def _show(job: BacktestJob, as_json: bool) -> None:
    if as_json:
        print_json(job.model_dump(mode="json"))
    else:
        console.print(_table([job]))


def _table(jobs: Any) -> Table:
    table = Table("number", "name", "strategy", "state", "", box=None, pad_edge=False)
    for job in jobs:
        progress = (
            f"{job.step} {job.done:,} of {job.total:,}" if job.state in _OPEN and job.total else job.reason
        )
        told = progress or job.digest[:16]
        cells = (job.name, job.strategy, job.state.value, told)
        table.add_row(str(job.number), *(escape(printable(cell)) for cell in cells))
    return table
