"""
With which token each of the other daemons is asked: from a file or the environment, never from the configuration.

A token goes to the daemon that it is named for and to no other, for whoever holds a token of a daemon may also command it.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from papertape.daemon.monitoring.access import secret_text
from papertape.engine.errors import ConfigError, did_you_mean

VARIABLE: Final = "PAPERTAPE_PEER_TOKENS"


def load_peer_tokens(
    file: Path | None, environment: Mapping[str, str], names: Collection[str]
) -> dict[str, str]:
    """
    Return tokens by the name of the peer: lines `name = token`, of the environment or of a file.

    names  of the peers in the configuration

    Raises ConfigError for a file that cannot be read, a line that is not one, and a name that no peer has; no token is in a message.
    """
    text, where = secret_text(VARIABLE, environment, "daemon.peer_tokens_file", file)
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, token = (part.strip() for part in line.partition("="))
        if not (equals and name and token and token.isascii() and token.isprintable()) or " " in token:
            raise ConfigError(
                f"{where}: line {number} is not `name = token`, of printable ASCII without spaces"
            )
        if name not in names:
            raise ConfigError(
                f"{where}: line {number}: daemon.peers has no {name[:80]!r}{did_you_mean(name, sorted(names))}"
            )
        if name in found:
            raise ConfigError(f"{where}: line {number}: {name!r} has a token already")
        found[name] = token
    return found
