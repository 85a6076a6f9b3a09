"""Who listens to what: one stream per topic, encoded once, running only while somebody listens."""

from functools import partial
from typing import Any, Protocol

from papertape.replay.exchange.messages import Host
from papertape.replay.exchange.streams import Stream, open_stream
from papertape.replay.exchange.subscriptions import Topic
from papertape.replay.exchange.world import World

Key = tuple[Host, str, str]


class Listener(Protocol):
    """A connection, as a hub sees it."""

    host: Host

    def deliver(self, topic: Topic, frame: bytes) -> None:
        """Take a frame of a topic."""


class HubConnection(Listener, Protocol):
    """A connection, as faults see it."""

    is_dead: bool

    def send(self, frame: Any) -> None:
        """Put a frame in line, or the end of the connection."""

    def resume(self) -> None:
        """Send what a stall has held back."""

    def abort(self) -> None:
        """Cut the connection without a close frame."""


class Hub:
    """
    Who is connected, and the topics that have listeners.

    sessions  the open connections, in the order in which they came
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.sessions: dict[HubConnection, None] = {}
        self._n_sessions = 0
        self._listeners: dict[Key, dict[Listener, None]] = {}
        self._streams: dict[Key, Stream] = {}
        self.n_frames = 0

    def next_session(self) -> int:
        """Return the number of a new connection."""
        self._n_sessions += 1
        return self._n_sessions

    def join(self, listener: Listener, topic: Topic, now_ms: int) -> None:
        """Add a listener; it gets what the channel gives at once, then every frame."""
        key = (listener.host, *topic)
        self._listeners.setdefault(key, {})[listener] = None
        stream = self._streams.get(key)
        if stream is None:
            stream = open_stream(self._world, *key, now_ms)
            if stream is None:
                return
            self._streams[key] = stream
            self._advance(key, stream)
        for frame in stream.snapshot(now_ms):
            listener.deliver(topic, frame)

    def leave(self, listener: Listener, topic: Topic) -> None:
        """Remove a listener; the stream ends with the last one."""
        key = (listener.host, *topic)
        listeners = self._listeners.get(key, {})
        listeners.pop(listener, None)
        if not listeners:
            self._listeners.pop(key, None)
            self._streams.pop(key, None)

    def publish(self, topic: Topic, frame: bytes) -> None:
        """Send a frame of no stream to all listeners of a topic, on both hosts."""
        hosts: tuple[Host, ...] = ("compact", "legacy")
        for host in hosts:
            for listener in list(self._listeners.get((host, *topic), ())):
                listener.deliver(topic, frame)

    def _advance(self, key: Key, stream: Stream) -> None:
        timed = next(stream.frames, None)
        if timed is not None:
            publish_ms, frame = timed
            self._world.schedule.put(publish_ms, partial(self._fire, key, stream, frame))

    def _fire(self, key: Key, stream: Stream, frame: bytes, now_ms: int) -> None:
        if self._streams.get(key) is not stream:
            return  # nobody listened any more; a later listener has a stream of its own
        for listener in list(self._listeners[key]):
            self.n_frames += 1
            listener.deliver(key[1:], frame)
        self._advance(key, stream)
