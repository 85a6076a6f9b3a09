"""Delta's environments: where each answers, and under which name its tapes are kept. Reference, section 1."""

from typing import Final, NamedTuple

from papertape.engine.errors import ConfigError, did_you_mean


class Profile(NamedTuple):
    """One environment; "" where nobody knows an address."""

    venue: str  # in a tape's name
    rest_url: str
    compact_url: str
    legacy_url: str


PROFILES: Final = {
    "india": Profile("delta-india", "https://api.india.delta.exchange",
        "wss://public-socket.india.delta.exchange", "wss://socket.india.delta.exchange"),
    "india-testnet": Profile("delta-india-testnet", "https://cdn-ind.testnet.deltaex.org",
        "wss://socket-ind-pub.testnet.deltaex.org", "wss://socket-ind.testnet.deltaex.org"),
    "global": Profile("delta-global", "https://api.delta.exchange", "wss://public-socket.delta.exchange",
        "wss://socket.delta.exchange"),
    "global-testnet": Profile("delta-global-testnet", "https://testnet-api.delta.exchange", "",
        "wss://testnet-socket.delta.exchange"),
}  # fmt: skip


def find_profile(
    name: str, *, rest_url: str | None = None, compact_url: str | None = None, legacy_url: str | None = None
) -> Profile:
    """Return a profile with addresses of one's own in place of its, or raise ConfigError."""
    if name not in PROFILES:
        raise ConfigError(f"unknown profile {name!r}{did_you_mean(name, PROFILES)}")
    found = PROFILES[name]
    return found._replace(
        rest_url=rest_url or found.rest_url,
        compact_url=compact_url or found.compact_url,
        legacy_url=legacy_url or found.legacy_url,
    )
