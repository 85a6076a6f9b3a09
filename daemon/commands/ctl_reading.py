"""`papertape ctl peers`, `calibration`, `shadow` and `changes`: what a running daemon says of others, its models and markets."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from pydantic import BaseModel
from rich.markup import escape
from rich.table import Table

from papertape.daemon.client import Client
from papertape.daemon.commands.daemon_client import daemon_of
from papertape.daemon.commands.options import AsJson, DaemonFile, DaemonUrl
from papertape.daemon.commands.output import console, print_json, say
from papertape.daemon.commands.terminal import printable
from papertape.daemon.monitoring.api.answers import CalibrationView, ShadowView
from papertape.daemon.monitoring.peers.answers import Peers
from papertape.engine.broker.risk.changes import TABLES
from papertape.replay.tapes.timestamps import utc_text

_SHARE: Final = ".1%"
_GAIN: Final = "+.2%"


def offer_reading(app: typer.Typer) -> None:
    """Add the commands that read to a group."""
    _offer(
        app,
        "peers",
        "Show the other daemons of a daemon's configuration.",
        lambda client: client.peers(),
        _peers,
    )
    _offer(
        app,
        "calibration",
        "Show what models in force said against what came.",
        lambda client: client.calibration(),
        _calibration,
    )
    _offer(
        app,
        "shadow",
        "Show what models would have earned on paper, traded or not.",
        lambda client: client.shadow(),
        _shadow,
    )
    app.command("changes")(changes_command)


def changes_command(
    symbol: Annotated[str | None, typer.Option(help="of this market alone")] = None,
    limit: Annotated[int, typer.Option(help="figures, the newest", min=1)] = 100,
    config: DaemonFile = None,
    url: DaemonUrl = None,
    as_json: AsJson = False,
) -> None:
    """
    Show what became another of a daemon's markets, newest first: ticks, fees, margins.

    Example: papertape ctl changes
    """
    query = {} if symbol is None else {"symbol": symbol}
    with daemon_of(config, url, is_reading=True) as client:
        rows = list(client.rows("changes", limit, **query))
    if as_json:
        print_json(rows)
    else:
        _changes(rows, symbol)


def _offer(
    app: typer.Typer, name: str, text: str, ask: Callable[[Client], Any], show: Callable[[Any], None]
) -> None:
    def command(config: DaemonFile = None, url: DaemonUrl = None, as_json: AsJson = False) -> None:
        with daemon_of(config, url, is_reading=True) as client:
            answer: BaseModel = ask(client)
        if as_json:
            print_json(answer.model_dump(mode="json"))
        else:
            show(answer)

    command.__doc__ = f"{text}\n\nExample: papertape ctl {name}"
    app.command(name)(command)


def _peers(found: Peers) -> None:
    if not found.peers:
        say("no other daemon is in its configuration: daemon.peers names them")
        return
    table = Table("name", "state", "equity", "halted", "", box=None, pad_edge=False)
    for peer in found.peers:
        said = peer.status
        held = None if said is None else said.account
        equity = "–" if held is None else f"{held.equity:,.{held.money_places}f} {held.currency}"
        halted = "–" if said is None else ", ".join(said.halted) or "no"
        cells = (peer.name, peer.state.value, equity, halted, peer.reason)
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console.print(table)


def _calibration(found: CalibrationView) -> None:
    if found.reason:
        say(f"nothing to tell: {found.reason}")
    else:
        table = Table("confidence", "stated", "came true", "predictions", box=None, pad_edge=False)
        for bucket in found.buckets:
            table.add_row(
                bucket.name,
                _percent(bucket.stated, _SHARE),
                _percent(bucket.realised, _SHARE),
                f"{bucket.rows:,}",
            )
        console.print(table)
    say(f"{found.waiting:,} wait for their outcome, of {found.unknown:,} it cannot be told")


def _shadow(found: ShadowView) -> None:
    if found.reason:
        say(f"nothing to tell: {found.reason}")
        return
    table = Table(
        "model",
        "trades the account",
        "paper trades",
        "after costs",
        "log-loss",
        "of the known share",
        box=None,
        pad_edge=False,
    )
    for model in found.models:
        losses = (
            "–" if loss is None else f"{loss:.4f}" for loss in (model.log_loss, model.majority_log_loss)
        )
        table.add_row(
            f"v{model.version}",
            "yes" if model.is_in_force else "no",
            f"{model.trades:,}",
            _percent(model.net_return, _GAIN),
            *losses,
        )
    console.print(table)
    total = _percent(found.net_return, _GAIN)
    say(
        f"on paper, not in the account: {total} of one stake in {found.trades:,} trades of {found.n_models:,} models"
    )


def _changes(rows: Sequence[Mapping[str, Any]], symbol: str | None) -> None:
    if not rows:
        said = "no market has" if symbol is None else f"{printable(symbol)} has not"
        say(f"{said} become another since the account began")
        return
    table = Table("known", "market", "figure", "before", "after", "by", box=None, pad_edge=False)
    for row in rows:
        is_table = row["figure"].partition("_")[0] in TABLES
        figure = f"{row['figure']}, row {row['place'] + 1}" if is_table else row["figure"]
        figures = ("–" if value is None else f"{value:.9g}" for value in (row["before"], row["after"]))
        # The journal does not tell what a venue says from a row of the configuration.
        by = "venue or date" if row["chapter"] is None else f"chapter {row['chapter']!r}"
        cells = (utc_text(row["time_ms"]), row["symbol"], figure, *figures, by)
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console.print(table)


def _percent(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
