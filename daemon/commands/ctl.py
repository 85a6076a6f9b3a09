"""`papertape ctl`: tell a running daemon what to do, over its local API."""

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from papertape.daemon.client import Client
from papertape.daemon.commands.options import DaemonFile, DaemonUrl
from papertape.daemon.commands.output import console, print_json
from papertape.daemon.commands.terminal import name_table
from papertape.engine.errors import ConfigError
from papertape.replay.config import load_config
from papertape.replay.config.live import Daemon

_TOKEN = "PAPERTAPE_TOKEN"  # noqa: S105 - the name of a variable


class CtlRequest(StrEnum):
    """What can be asked for."""

    PAUSE = "pause"
    RESUME = "resume"
    FLATTEN = "flatten"
    KILL = "kill"
    SCALE = "scale"
    RETRAIN = "retrain"
    SNAPSHOT = "snapshot"
    STATUS = "status"


def ctl_command(
    order: Annotated[CtlRequest, typer.Argument(help="what to do", show_default=False)],
    config: DaemonFile = None,
    url: DaemonUrl = None,
    reason: Annotated[str, typer.Option(help="kept beside the command")] = "",
    size: Annotated[
        float, typer.Option(help="with scale: share of their size that new entries get")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="print the answer as JSON")] = False,
) -> None:
    """
    Pause, resume, flatten, kill or scale a running daemon, retrain, take a snapshot, or ask how it stands.

    A command is on the disk and in force when this returns. `pause` refuses new entries; `flatten` closes every
    position at the next open; `kill` does both, for good until `resume`; `scale --size 0.5` halves new entries;
    `retrain` trains a model before its time, and the gate decides as ever.

    Example: papertape ctl pause --reason "maintenance of the venue"
    """
    settings = load_config(config).daemon
    is_status = order is CtlRequest.STATUS
    token = None if is_status else read_token(settings.token_file)
    with Client(base_url(settings, url), token) as client:
        if is_status:
            answer = client.ask("GET", "/status", {})
        else:
            body: dict[str, Any] = {"reason": reason} if reason else {}
            if order is CtlRequest.SCALE:
                body["value"] = size
            path = f"/api/v1/commands/{order.value}"
            answer = client.ask("POST", path, {}, json.dumps(body))
    if as_json:
        print_json(answer)
        return
    console.print(name_table(answer))


def base_url(settings: Daemon, url: str | None) -> str:
    """Return where the daemon of a configuration answers, or the address that was given in its place."""
    return url or f"http://{settings.host}:{settings.port}"


def read_token(path: Path | None) -> str:
    """Return the token for commands: from the configured file, or $PAPERTAPE_TOKEN."""
    if path is None:
        token = os.environ.get(_TOKEN, "").strip()
        if not token:
            raise ConfigError(f"no token: set daemon.token_file or ${_TOKEN} to the daemon's")
        return token
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"daemon.token_file {path}: {error.strerror or error}") from error
    if not token:
        raise ConfigError(f"daemon.token_file {path}: it is empty; write the daemon's token to it")
    return token
