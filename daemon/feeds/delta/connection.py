"""
The one task that owns the websocket: connects, waits, tries the other protocol, leaves.

Protocol `auto` begins with the compact one and changes to the other when a host refuses our channels, or after three
attempts in a row that were not acknowledged; the one that works is kept until it fails in turn.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Literal

import aiohttp

from papertape.daemon.feeds.backoff import Backoff
from papertape.daemon.feeds.delta.messages import MAX_BYTES, Frame
from papertape.daemon.feeds.delta.recorder import FrameRecorder
from papertape.daemon.feeds.delta.session import Session
from papertape.daemon.feeds.delta.subscriptions import Protocol, Subscriptions
from papertape.engine.errors import ConfigError
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_http import USER_AGENT
from papertape.replay.sources.delta_profiles import Profile

CONNECT_S = 10.0
CHANGE_AFTER = 3
TOO_MANY_REQUESTS = 429


class Connection:
    """
    A websocket that comes back.

    on_up    called with the protocol when the subscriptions are acknowledged
    on_down  called with the reason when a session that was up has ended
    on_fail  called with the reason of every session or attempt that ended, up or not
    """

    def __init__(
        self,
        urls: Profile,
        choice: Literal["auto", "compact", "legacy"],
        subscriptions: Subscriptions,
        clock: Clock,
        chance: random.Random,
        *,
        on_frame: Callable[[Frame], None],
        on_up: Callable[[Protocol], None],
        on_down: Callable[[str], None],
        on_fail: Callable[[str], None],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self.in_maintenance = False
        self.recorder: FrameRecorder | None = None
        self._urls = {"compact": urls.compact_url, "legacy": urls.legacy_url}
        self._protocols = _protocols(choice, urls)
        self._subscriptions = subscriptions
        self._clock = clock
        self._backoff = Backoff(chance)
        self._on_frame, self._on_up, self._on_down = on_frame, on_up, on_down
        self._on_fail, self._on_refused = on_fail, on_refused
        self._session: Session | None = None
        self._n_unheard = 0
        self._is_limited = False

    @property
    def protocol(self) -> Protocol:
        """Return the protocol in use, or to be tried next."""
        return self._protocols[0]

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with aiohttp.ClientSession(headers={"User-Agent": USER_AGENT}) as http:
            while True:
                pause_s = self._backoff.pause_s(
                    self._clock.now_ms(), is_refused=self._is_limited, in_maintenance=self.in_maintenance
                )
                await self._clock.sleep(pause_s)
                await self._attempt(http)

    def renew(self, symbols: Iterable[str]) -> None:
        """Subscribe some symbols anew, if connected."""
        if self._session is not None:
            self._session.renew(symbols)

    async def restart(self) -> None:
        """Close the socket, if there is one; a new one follows."""
        if self._session is not None:
            await self._session.end("timeout")

    async def _attempt(self, http: aiohttp.ClientSession) -> None:
        protocol, self._is_limited = self.protocol, False
        try:
            async with self._clock.timeout(CONNECT_S):
                socket = await http.ws_connect(
                    self._urls[protocol],
                    max_msg_size=MAX_BYTES,
                    compress=15 if protocol == "legacy" else 0,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
        except TimeoutError:
            self._fail("timeout")
        except aiohttp.WSServerHandshakeError as error:
            self._is_limited = error.status == TOO_MANY_REQUESTS
            self._fail("error")
        except (aiohttp.ClientError, OSError):
            self._fail("error")
        else:
            await self._talk(socket, protocol)

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse, protocol: Protocol) -> None:
        session = self._session = Session(
            socket,
            protocol,
            self._subscriptions,
            self._clock,
            on_frame=self._on_frame,
            on_subscribed=lambda: self._on_up(protocol),
            on_refused=self._on_refused,
            recorder=lambda: self.recorder,
        )
        try:
            reason = await session.run()
        except asyncio.CancelledError:
            await session.leave()
            raise
        finally:
            self._session = None
        if session.is_steady:
            self._backoff.reset()
        if session.is_subscribed:
            self._n_unheard = 0
            self._on_down(reason)
        elif session.is_refused:
            self._n_unheard = CHANGE_AFTER
            reason = "error"
            self._on_refused("", f"{self._urls[protocol]} does not know our channels")
        self._fail(reason, was_up=session.is_subscribed)

    def _fail(self, reason: str, *, was_up: bool = False) -> None:
        """Count a failure; change the protocol when this one has not worked for a while."""
        self._n_unheard += 0 if was_up else 1
        if self._n_unheard >= CHANGE_AFTER and len(self._protocols) > 1:
            self._protocols.reverse()
            self._n_unheard = 0
        self._on_fail(reason)


def _protocols(choice: Literal["auto", "compact", "legacy"], urls: Profile) -> list[Protocol]:
    """Return the protocols to use, the first one first."""
    wanted: list[Protocol] = ["compact", "legacy"] if choice == "auto" else [choice]
    known = [protocol for protocol in wanted if getattr(urls, f"{protocol}_url")]
    if not known:
        raise ConfigError(f"live.protocol: no address is known for {choice!r}: set live.{choice}_url")
    return known
