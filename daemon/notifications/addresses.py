"""
Where messages go: addresses as apprise takes them, from a file or the environment, and nowhere else.

An address is a secret as a whole and in its parts (tokens, passwords, ids of channels). None is ever put into a sentence:
a bad one is named by its number. The libraries that speak to the services log what they ask, so their logs are closed.
"""

import importlib
import logging
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from papertape.daemon.monitoring.access import secret_text
from papertape.engine.errors import ConfigError

VARIABLE: Final = "PAPERTAPE_NOTIFY"
SHORTEST_SECRET: Final = 6
_HERE: Final = ("127.0.0.1", "localhost")
_PARTS: Final = re.compile(r"[:/@?&=,]+")
_LOGGERS: Final = ("apprise", "urllib3", "requests")

Send = Callable[[str, str], bool]


class Addresses(NamedTuple):
    """
    Where messages go.

    send     delivers a title and a text to all of them, and returns whether every one took it
    secrets  what no log line may have
    """

    send: Send
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        """Return nothing of the addresses."""
        return "Addresses(…)"


def load_addresses(file: Path | None, environment: Mapping[str, str]) -> Addresses | None:
    """
    Return the addresses of the environment or of a file; None when there are none.

    Raises ConfigError for a file that cannot be read, an address that apprise does not know, and where apprise is not installed.
    """
    text, where = secret_text(VARIABLE, environment, "notifications.addresses_file", file)
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        if file is not None:
            raise ConfigError(f"{where}: there is no address in it; write one a line")
        return None
    try:
        apprise = importlib.import_module("apprise")
    except ImportError:
        raise ConfigError(
            f"{where}: apprise is not installed; `pip install 'papertape[notify]'`, or take the address away"
        ) from None
    return Addresses(_sender(apprise, found, where), secrets_of(found))


def secrets_of(addresses: list[str]) -> tuple[str, ...]:
    """Return every address and its parts; names of services and of this machine are no secret."""
    parts = {
        part
        for address in addresses
        for part in _PARTS.split(address.partition("://")[2])
        if len(part) >= SHORTEST_SECRET and part not in _HERE
    }
    return (*addresses, *sorted(parts))


def _sender(apprise: Any, addresses: list[str], where: str) -> Send:
    """Return what sends to all addresses; raise ConfigError with the number of one that is none."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.handlers[:] = [logging.NullHandler()]
    sender = apprise.Apprise()
    with warnings.catch_warnings():
        # It imports all its services now, some of which use what Python will drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        taken = [sender.add(address) for address in addresses]
    if False in taken:
        number = taken.index(False) + 1
        raise ConfigError(
            f"{where}: address {number} of {len(addresses)} is none that apprise knows; it looks like service://…"
        )

    def send(title: str, body: str) -> bool:
        return bool(sender.notify(body=body, title=title))

    return send
