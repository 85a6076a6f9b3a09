"""
Who asks the other daemons: a thread with a loop of its own, while somebody looks on.

The daemon's loop never waits for them, and may go by another clock than the machine's. Whoever asks here is told at once what is
known; what is old is told as that.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

import aiohttp

from papertape.daemon.monitoring.peers.answers import Peer, Peers, PeerState
from papertape.daemon.monitoring.peers.asking import ANSWER_S, PeerAnswer, Unusable, ask_status

EVERY_S: Final = 5.0
STALE_S: Final = 15.0  # three questions that nobody answered, or nobody asked
IDLE_S: Final = 30.0  # without anybody who looks on
_STOP_S: Final = 5.0


class _Known(NamedTuple):
    """
    What is known of a peer.

    heard_s  by the monotonic clock, with heard_ms of the wall
    trouble  of the latest question; None: it has not been asked
    """

    said: PeerAnswer | None = None
    heard_s: float = 0.0
    heard_ms: int | None = None
    trouble: str | None = None


class PeerWatch:
    """
    The other daemons of one; `close` ends its thread.

    urls    by name, in the order of the configuration
    tokens  by name
    run     of this daemon's own process
    """

    def __init__(
        self, urls: Mapping[str, str], tokens: Mapping[str, str], run: str, every_s: float = EVERY_S
    ) -> None:
        self._urls, self._tokens, self._run, self._every_s = dict(urls), dict(tokens), run, every_s
        self._known = dict.fromkeys(self._urls, _Known())
        self._wanted_s = 0.0
        self._thread: threading.Thread | None = None
        self._is_over = threading.Event()
        self._lock = threading.Lock()

    def peers(self) -> Peers:
        """Return what is known, and see to it that they are asked."""
        self._wanted_s = time.monotonic()
        with self._lock:
            if self._urls and not self._is_over.is_set() and not self._is_asking():
                self._thread = threading.Thread(target=self._work, name="peers", daemon=True)
                self._thread.start()
        return Peers(
            now_ms=time.time_ns() // 1_000_000,
            peers=tuple(self._peer(name, url) for name, url in self._urls.items()),
        )

    async def close(self) -> None:
        """Ask no more, and wait a moment for the thread without holding the loop up."""
        self._is_over.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _STOP_S)

    def _is_asking(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _peer(self, name: str, url: str) -> Peer:
        known = self._known[name]
        state, reason = self._judge(known)
        is_itself = state is PeerState.ITSELF
        said = None if is_itself else known.said
        return Peer(
            name=name,
            url=url,
            state=state,
            reason=reason,
            heard_ms=known.heard_ms,
            more_positions=0 if said is None else said.more_positions,
            status=None if said is None else said.status,
        )

    def _judge(self, known: _Known) -> tuple[PeerState, str]:
        """Return what the state of a peer is, and why."""
        if known.trouble:
            return PeerState.LOST, known.trouble
        if known.said is None:
            return PeerState.ASKING, ""
        if known.said.run == self._run:
            return PeerState.ITSELF, "its address is that of this daemon"
        if time.monotonic() - known.heard_s > STALE_S:
            return PeerState.STALE, f"it has not been heard for more than {STALE_S:g} s"
        return PeerState.LIVE, ""

    def _work(self) -> None:
        asyncio.run(self._ask_while_wanted())

    async def _ask_while_wanted(self) -> None:
        """Ask them all, again and again, until nobody looks on or it is over."""
        limit = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(
            timeout=limit, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        ) as session:
            while not self._is_over.is_set() and time.monotonic() - self._wanted_s < IDLE_S:
                began_s = time.monotonic()
                asking = asyncio.gather(*(self._ask(session, name) for name in self._urls))
                while not asking.done() or time.monotonic() - began_s < self._every_s:
                    if self._is_over.is_set():
                        asking.cancel()
                        break
                    await asyncio.sleep(0.05)
                with contextlib.suppress(asyncio.CancelledError):
                    await asking

    async def _ask(self, session: aiohttp.ClientSession, name: str) -> None:
        try:
            said = await ask_status(session, self._urls[name], self._tokens.get(name))
        except Unusable as error:
            self._known[name] = self._known[name]._replace(trouble=str(error))
            return
        self._known[name] = _Known(said, time.monotonic(), time.time_ns() // 1_000_000, "")
