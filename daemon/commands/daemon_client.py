"""The client of a command: where the daemon of a configuration answers, and with which token."""

import os
from pathlib import Path

from papertape.daemon.client import Client
from papertape.daemon.monitoring.access import load_token
from papertape.engine.errors import ConfigError
from papertape.replay.config import load_config
from papertape.replay.config.live import Daemon

_TOKEN = "PAPERTAPE_TOKEN"  # noqa: S105 - the name of a variable


def daemon_of(config: Path | None, url: str | None, *, is_reading: bool = False) -> Client:
    """
    Return a client of the daemon of a configuration; raises ConfigError where there is no token.

    is_reading  without a token as well: reading is free on the daemon's machine
    """
    settings = load_config(config).daemon
    file = settings.token_file
    token = load_token(file, os.environ) if is_reading else read_token(file)
    return Client(base_url(settings, url), token)


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
