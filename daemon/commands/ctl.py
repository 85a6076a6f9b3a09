"""`papertape ctl`: tell a running daemon what to do, over its local API."""

import json
from typing import Annotated, Any

import typer

from papertape.daemon.client import Client
from papertape.daemon.commands.ctl_backtest import backtest_app
from papertape.daemon.commands.ctl_reading import offer_reading
from papertape.daemon.commands.daemon_client import base_url, daemon_of
from papertape.daemon.commands.options import AsJson, DaemonFile, DaemonUrl
from papertape.daemon.commands.output import console, print_json
from papertape.daemon.commands.terminal import name_table
from papertape.daemon.monitoring.schemas import CommandName
from papertape.replay.config import load_config

ctl_app = typer.Typer(
    help="Tell a running daemon what to do, or have backtests made by it.", no_args_is_help=True
)
ctl_app.add_typer(backtest_app, name="backtest")
offer_reading(ctl_app)

Reason = Annotated[str, typer.Option(help="kept beside the command")]
Key = Annotated[str | None, typer.Option(help="said again with the same key, nothing is done twice")]


@ctl_app.command("status")
def status_command(config: DaemonFile = None, url: DaemonUrl = None, as_json: AsJson = False) -> None:
    """
    Ask how a daemon stands.

    Example: papertape ctl status
    """
    with Client(base_url(load_config(config).daemon, url)) as client:
        _show(client.ask("GET", "/status", {}), as_json)


@ctl_app.command("scale")
def scale_command(
    size: Annotated[float, typer.Option(help="share of their size that new entries get")] = 1.0,
    config: DaemonFile = None,
    url: DaemonUrl = None,
    reason: Reason = "",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """
    Scale new entries; 1 brings their whole size back.

    Example: papertape ctl scale --size 0.5
    """
    body = {**_with_reason(reason), "value": size}
    with daemon_of(config, url) as client:
        _show(_told(client, CommandName.SCALE, body, key), as_json)


def _offer(name: CommandName, text: str) -> None:
    """Make a command of one that needs no more than its name."""

    def command(
        config: DaemonFile = None,
        url: DaemonUrl = None,
        reason: Reason = "",
        key: Key = None,
        as_json: AsJson = False,
    ) -> None:
        with daemon_of(config, url) as client:
            _show(_told(client, name, _with_reason(reason), key), as_json)

    command.__doc__ = (
        f"{text}\n\nIt is on the disk and in force when this returns.\n\nExample: papertape ctl {name.value}"
    )
    ctl_app.command(name.value)(command)


_offer(CommandName.PAUSE, "Refuse new entries; brackets and exits go on.")
_offer(CommandName.RESUME, "Let entries in again.")
_offer(CommandName.FLATTEN, "Close every position at the next open.")
_offer(CommandName.KILL, "Close every position and refuse entries, for good until `resume`.")
_offer(CommandName.RETRAIN, "Train a model before its time; the gate decides as ever.")
_offer(CommandName.SNAPSHOT, "Write the engine as it is now to the journal.")


def _with_reason(reason: str) -> dict[str, Any]:
    return {"reason": reason} if reason else {}


def _told(client: Client, name: CommandName, body: dict[str, Any], key: str | None) -> dict[str, Any]:
    return client.ask("POST", f"/api/v1/commands/{name.value}", {}, json.dumps(body), key)


def _show(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    console.print(name_table(answer))
