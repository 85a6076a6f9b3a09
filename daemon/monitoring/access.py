"""
Who may ask: tokens, addresses, host names, origins; and how often.

On a loopback address anyone on the machine may read; commands need the token. On any other address everything but
the two probes needs it, and without one the daemon does not start there. The `Host` header must name the machine
itself, or be a name in `daemon.hosts`: a web page that resolves its own name to this address is sent away, and so is everything
that a browser sends on behalf of a page of another origin. Whoever comes by a name in `daemon.hosts` comes through
something (a proxy, a container's network), so the address that it reaches says nothing of who it is: it needs the token.
"""

import base64
import hmac
import ipaddress
import math
import re
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from papertape.engine.errors import ConfigError

VARIABLE: Final = "PAPERTAPE_TOKEN"
SHORTEST: Final = 16
_HOST: Final = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^:\[\]]*))(:\d*)?")
HOW_TO_SET: Final = (
    f"put one of at least {SHORTEST} characters into ${VARIABLE} or into the file that daemon.token_file "
    "names, and start the daemon again"
)


def secret_text(
    variable: str, environment: Mapping[str, str], key: str, file: Path | None
) -> tuple[str, str]:
    """
    Return the text of a secret and where it is from: a variable of the environment, or else the file that a key names.

    Raises ConfigError for a file that cannot be read; nothing of the text is in it, nor in what caused it.
    """
    text = environment.get(variable, "")
    if text.strip() or file is None:
        return text, f"${variable}"
    where = f"{key}: {file}"
    try:
        return file.read_text(encoding="utf-8"), where
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not text"
        raise ConfigError(f"{where}: {reason}") from None


def load_token(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """Return the token for commands, from the environment or a file, or None; raise ConfigError for a bad one."""
    text, where = secret_text(VARIABLE, environment, "daemon.token_file", file)
    token = text.strip()
    if not token:
        if file is not None:
            raise ConfigError(f"{where}: the file is empty")
        return None
    if len(token) < SHORTEST:
        raise ConfigError(f"{where}: a token has at least {SHORTEST} characters, not {len(token)}")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{where}: a token is printable ASCII without spaces")
    return token


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_address(host: str, token: str | None) -> None:
    """Raise ConfigError for an address that others reach while there is no token."""
    if token is None and not is_loopback(host):
        raise ConfigError(f"daemon.host: {host} is not a loopback address and needs a token: {HOW_TO_SET}")


def names_this_machine(host_header: str) -> bool:
    """Return whether a `Host` header names a loopback address; an absent one is no browser."""
    return not host_header or is_loopback(_name_in(host_header))


def is_called(host_header: str, hosts: Collection[str]) -> bool:
    """Return whether a `Host` header has one of these names, in upper or lower case, with any port."""
    name = _name_in(host_header).removesuffix(".")
    return any(name == host.lower() for host in hosts)


def is_address(host_header: str) -> bool:
    """Return whether a `Host` header is an IP address: no web page can make one its own name."""
    try:
        ipaddress.ip_address(_name_in(host_header))
    except ValueError:
        return False
    return True


def _name_in(host_header: str) -> str:
    """Return a `Host` header without its port; what is neither a name nor an address is returned as it is."""
    found = _HOST.fullmatch(host_header.lower())
    return host_header.lower() if found is None else found["address"] or found["name"]


def bears(token: str, authorization: str) -> bool:
    """Return whether an `Authorization` header carries the token; takes as long whatever differs."""
    scheme, _, given = authorization.partition(" ")
    is_same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    return is_same and scheme.lower() == "bearer"


def authorization_of(headers: Mapping[str, str]) -> str:
    """
    Return the `Authorization` header, or what a browser sends in its place to open a websocket: it cannot set that one.

    It names the protocols `papertape` and `bearer.TOKEN`, the token in base64 for URLs.
    """
    for name in headers.get("Sec-WebSocket-Protocol", "").split(","):
        kind, _, text = name.strip().partition(".")
        if kind == "bearer":
            try:
                token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
            except ValueError:
                return ""
            return f"Bearer {token}"
    return headers.get("Authorization", "")


def is_same_origin(origin: str, host_header: str) -> bool:
    """Return whether an `Origin` header is that of a page of this very server; an absent one is no browser's."""
    if not origin:
        return True
    scheme, _, place = origin.partition("://")
    return scheme in ("http", "https") and bool(place) and place.lower() == host_header.lower()


class RateLimit:
    """
    A bucket of `burst` requests that fills by `per_s` a second of the machine's clock.

    It is one for all who ask: they share one event loop.
    """

    def __init__(self, per_s: float, burst: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._now_s = per_s, burst, now_s
        self._left, self._at_s = float(burst), now_s()

    def wait_s(self) -> int:
        """Take one request and return 0, or return after how many whole seconds there is room for one."""
        now_s = self._now_s()
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1.0:
            return max(1, math.ceil((1.0 - self._left) / self._per_s))
        self._left -= 1.0
        return 0
