"""
Other daemons as the API tells them, and as much of their own status as is read: of whatever version they are, what is not known here is set aside.

Times are ms since the epoch, UTC; money is quote.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_CHARACTERS: Final = 200
MOST_ROWS: Final = 100

Text = Annotated[str, StringConstraints(max_length=_CHARACTERS)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Moment = Annotated[int, Field(ge=0, le=2**53)]


class _Heard(BaseModel):
    """Said by another daemon."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class PeerState(StrEnum):
    """What is known of a peer."""

    ASKING = "asking"  # for the first time
    LIVE = "live"
    STALE = "stale"  # it was not asked, or has not answered, for a while; what is shown may be old
    LOST = "lost"  # it could not be reached, or its answer could not be used
    ITSELF = "itself"  # the address is that of the daemon that asks


class PeerAccount(_Heard):
    """Its account."""

    currency: Text
    money_places: Annotated[int, Field(ge=0, le=9)] = 2
    equity: Number
    equity_peak: Number
    drawdown_ratio: Number
    realised_pnl: Number
    is_paused: bool


class PeerPosition(_Heard):
    """What it holds."""

    symbol: Text
    quantity: Number = Field(description="signed, base units")
    entry_price: Number
    last_price: Number
    unrealised_pnl: Number


class PeerSymbol(_Heard):
    """When it heard of a symbol."""

    symbol: Text
    last_message_ms: Moment | None


class PeerFeed(_Heard):
    """Its feed."""

    name: Text
    is_connected: bool
    symbols: tuple[PeerSymbol, ...]


class PeerInput(_Heard):
    """Its newest input."""

    sequence: Moment
    time_ms: Moment


class PeerModel(_Heard):
    """Its model."""

    version: int = 0
    kind: Text = ""


class PeerStatus(_Heard):
    """What a daemon says of itself."""

    version: Text
    mode: Text
    venue: Text
    started_ms: Moment
    uptime_s: Annotated[float, Field(ge=0.0, le=1e12, allow_inf_nan=False)]
    is_ready: bool
    halted: tuple[Text, ...] = ()
    account: PeerAccount
    positions: tuple[PeerPosition, ...]
    feeds: tuple[PeerFeed, ...]
    last_input: PeerInput | None
    model: PeerModel = PeerModel()

    def cut(self) -> "PeerStatus":
        """Return it with as many rows of each list as are told."""
        feeds = tuple(
            feed.model_copy(update={"symbols": feed.symbols[:MOST_ROWS]}) for feed in self.feeds[:1]
        )
        return self.model_copy(
            update={
                "halted": self.halted[:MOST_ROWS],
                "positions": self.positions[:MOST_ROWS],
                "feeds": feeds,
            }
        )


class Peer(BaseModel):
    """One other daemon."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="in the configuration of the daemon that asks")
    url: str
    state: PeerState
    reason: str = Field("", description="why it is lost or stale, in a sentence")
    heard_ms: int | None = Field(
        None, description="when it answered last, by the clock of the daemon that asks"
    )
    more_positions: int = Field(0, description="that it holds and that are left out")
    status: PeerStatus | None = Field(None, description="what it said then; none: it has said nothing yet")


class Peers(BaseModel):
    """The other daemons of the configuration, in its order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    now_ms: int = Field(description="of the daemon that asks")
    peers: tuple[Peer, ...]
