"""`papertape doctor`: is the machine fit, and is the venue what the reference says it is?"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from papertape.daemon.commands.options import AsJson
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.doctor.exam import LONG_MINUTES, SHORT_MINUTES, Exam, OnProgress
from papertape.daemon.doctor.finding import Finding, FindingStatus
from papertape.daemon.doctor.machine import examine_config, examine_machine
from papertape.replay.config import Config, load_config
from papertape.replay.config.live import Live
from papertape.replay.runtime.clock import WallClock
from papertape.replay.sources.delta_profiles import PROFILES, find_profile

_FAILED = 1


def doctor_command(
    config: Annotated[
        Path | None, typer.Argument(help="a configuration, checked too", show_default=False)
    ] = None,
    profile: Annotated[str | None, typer.Option(help=f"Delta's environment: {', '.join(PROFILES)}")] = None,
    symbol: Annotated[str | None, typer.Option(help="default: the first of live.symbols")] = None,
    thin: Annotated[str, typer.Option(help="a market that seldom trades; default: looked up")] = "",
    rest_url: Annotated[str | None, typer.Option(help="in place of the profile's")] = None,
    compact_url: Annotated[str | None, typer.Option(help="in place of the profile's")] = None,
    legacy_url: Annotated[str | None, typer.Option(help="in place of the profile's")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="the machine alone")] = False,
    long: Annotated[
        bool, typer.Option("--long", help="half an hour, with what only shows in that time")
    ] = False,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, max=1440.0, help="of listening; default: 4, long: 32")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="folder for raw frames and answers", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Check the machine, a configuration and, with internet, the live venue; four minutes.

    Fails only when the client could not work: no data, no candle closed, frames that cannot be read. Other
    differences from what is expected are told.

    Example: papertape doctor deploy/replay.toml --record fixtures
    """
    settings = load_config(config)
    findings = examine_machine(settings.daemon.state)
    if config is not None:
        findings.append(examine_config(settings, str(config)))
    live = settings.live
    if not offline and live.venue not in ("delta", "sim"):
        findings += asyncio.run(_examine_library(live, rest_url))
    elif not offline:
        exam = _exam(settings, profile, symbol, thin, (rest_url, compact_url, legacy_url))
        exam = exam._replace(minutes=minutes or (LONG_MINUTES if long else SHORT_MINUTES), is_long=long)
        with progress_bars() as show:
            findings += asyncio.run(_examine(exam, record, show))
    _show(findings, as_json)
    if any(found.status is FindingStatus.FAILED for found in findings):
        raise typer.Exit(_FAILED)


def _exam(
    config: Config,
    profile: str | None,
    symbol: str | None,
    thin: str,
    urls: tuple[str | None, str | None, str | None],
) -> Exam:
    """Return what to examine: what the command line says, then the configuration, then Delta in India."""
    live = config.live
    rest_url, compact_url, legacy_url = (
        given or configured
        for given, configured in zip(urls, (live.rest_url, live.compact_url, live.legacy_url), strict=True)
    )
    is_own = rest_url is None and compact_url is None
    found = find_profile(
        profile or live.profile, rest_url=rest_url, compact_url=compact_url, legacy_url=legacy_url
    )
    if not is_own and legacy_url is None:
        found = found._replace(legacy_url="")  # a local venue says where its own is
    symbols = live.symbols if live.venue in ("delta", "sim") else ()
    default = "BTCUSDT" if (profile or live.profile).startswith("global") else "BTCUSD"
    return Exam(
        profile=found,
        symbol=symbol or (symbols[0] if symbols else default),
        thin=thin,
        global_url=PROFILES["global"].compact_url if is_own else "",
        is_required=not is_own,
    )


async def _examine(exam: Exam, record: Path | None, on_progress: OnProgress) -> list[Finding]:
    # What talks to a venue takes a third of a second to import; other commands need not wait for it.
    from papertape.daemon.doctor.examine import examine_venue
    from papertape.daemon.doctor.fixtures import Fixtures

    with Fixtures(record) as fixtures:
        return await examine_venue(exam, WallClock(), fixtures, on_progress)


async def _examine_library(live: Live, rest_url: str | None) -> list[Finding]:
    from papertape.daemon.doctor.ccxt_venue import examine_library_venue

    return await examine_library_venue(
        live.venue, live.symbols, live.timeframe, WallClock(), base_url=rest_url or live.rest_url
    )


def _show(findings: list[Finding], as_json: bool) -> None:
    """Print every row: what was expected, what was observed."""
    if as_json:
        print_json([found._asdict() for found in findings])
        return
    table = Table(box=None, pad_edge=False)
    for name in ("", "row", "check", "expected", "observed"):
        table.add_column(name, overflow="fold")
    for found in findings:
        told = (found.row, found.check, found.expected, found.observed)
        table.add_row(found.status, *map(escape, told))
    console.print(table)
    counts = {status: sum(found.status is status for found in findings) for status in FindingStatus}
    console.print(", ".join(f"{n} {status}" for status, n in counts.items() if n))
    missing = [found.row for found in findings if found.status is FindingStatus.NOT_RUN]
    if missing:
        say(f"not run: {', '.join(missing)}")
