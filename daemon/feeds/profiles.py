"""Where Delta's environments are (delta-exchange.md 1), and how we introduce ourselves there."""

from typing import Final, NamedTuple

from replay.config_live import Live

USER_AGENT: Final = "papertape/0.1"  # without one the venue's front answers 403


class Endpoints(NamedTuple):
    """The three addresses of an environment; "" where it has none."""

    rest: str
    compact: str
    legacy: str


PROFILES: Final[dict[str, Endpoints]] = {
    "india": Endpoints(
        "https://api.india.delta.exchange",
        "wss://public-socket.india.delta.exchange",
        "wss://socket.india.delta.exchange",
    ),
    "india-testnet": Endpoints(
        "https://cdn-ind.testnet.deltaex.org",
        "wss://socket-ind-pub.testnet.deltaex.org",
        "wss://socket-ind.testnet.deltaex.org",
    ),
    "global": Endpoints(
        "https://api.delta.exchange",
        "wss://public-socket.delta.exchange",
        "wss://socket.delta.exchange",
    ),
    # No compact host is known there; the legacy one is the only stream.
    "global-testnet": Endpoints(
        "https://testnet-api.delta.exchange", "", "wss://testnet-socket.delta.exchange"
    ),
}


def endpoints(live: Live) -> Endpoints:
    """Return the addresses of a configuration: its profile's, each replaced where it says so."""
    profile = PROFILES[live.profile]
    return Endpoints(
        live.rest_url or profile.rest,
        live.compact_url or profile.compact,
        live.legacy_url or profile.legacy,
    )
