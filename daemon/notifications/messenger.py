"""
Messages on their way: a thread of its own with a bounded queue, so nothing that trades ever waits for somebody's server.

What comes within `group_s` of the first is one message. More than `per_hour` an hour are not sent: what came meanwhile waits
and goes with the next one. What a full queue does not take is counted, and the next message says how much it was. A message
that is not taken is tried again twice. What waits when the process is killed is not sent: no message comes twice.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import structlog

from papertape.daemon.notifications.addresses import Send

MOST_WAITING: Final = 256
MOST_LINES: Final = 30  # of one message; the rest is told as a number
RETRY_S: Final = (5.0, 30.0)
HOUR_S: Final = 3600.0

NotificationOutcome = Literal["sent", "failed", "dropped"]
OnNotified = Callable[[NotificationOutcome, int], None]


class Messenger:
    """
    Sends lines that are offered, from the first on until `close`.

    title       of every message
    on_outcome  called with what became of so many lines, from any thread
    """

    def __init__(
        self,
        send: Send,
        title: str,
        group_s: float,
        per_hour: int,
        on_outcome: OnNotified = lambda outcome, n: None,
        retry_s: tuple[float, ...] = RETRY_S,
    ) -> None:
        self._send, self._title = send, title
        self._group_s, self._per_hour, self._retry_s = group_s, per_hour, retry_s
        self._on_outcome = on_outcome
        self._lock = threading.Lock()
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._sent_s: deque[float] = deque()
        self._something, self._stopping = threading.Event(), threading.Event()
        self._log = structlog.get_logger("notifications")
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def offer(self, line: str) -> None:
        """Take a line in; never waits, and drops it when too many wait already."""
        with self._lock:
            is_taken = len(self._lines) < MOST_WAITING
            if is_taken:
                self._lines.append(line)
            else:
                self._dropped += 1
        if not is_taken:
            self._on_outcome("dropped", 1)
        self._something.set()

    def close(self, wait_s: float = 5.0) -> None:
        """Send what waits, once, and end; a server that does not answer within `wait_s` is left alone."""
        self._stopping.set()
        self._something.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._something.wait()
            self._something.clear()
            self._stopping.wait(self._group_s)
            self._stopping.wait(self._until_allowed_s())
            self._flush()
        self._flush()

    def _until_allowed_s(self) -> float:
        """Return after how many seconds another message is within the hour's number."""
        now_s = time.monotonic()
        while self._sent_s and self._sent_s[0] <= now_s - HOUR_S:
            self._sent_s.popleft()
        if len(self._sent_s) < self._per_hour:
            return 0.0
        return self._sent_s[0] + HOUR_S - now_s

    def _flush(self) -> None:
        """Send everything that waits as one message."""
        with self._lock:
            lines, dropped = list(self._lines), self._dropped
            self._lines.clear()
            self._dropped = 0
        if not lines:
            return
        self._sent_s.append(time.monotonic())
        is_taken = self._delivered(message_text(lines, dropped))
        self._on_outcome("sent" if is_taken else "failed", len(lines))
        if not is_taken:
            self._log.warning("not_delivered", messages=len(lines))

    def _delivered(self, text: str) -> bool:
        for wait_s in (*self._retry_s, None):
            if self._send(self._title, text):
                return True
            if wait_s is None or self._stopping.wait(wait_s):
                break
        return False


def message_text(lines: list[str], dropped: int) -> str:
    """Return one message: equal lines once with their number, at most MOST_LINES, and what is not in it."""
    counts: dict[str, int] = {}
    for line in lines:
        counts[line] = counts.get(line, 0) + 1
    shown = [f"{line} ({n} times)" if n > 1 else line for line, n in counts.items()]
    left = len(shown) - MOST_LINES
    parts = shown[:MOST_LINES]
    if left > 0:
        parts.append(f"and {left} more")
    if dropped:
        parts.append(f"{dropped} more were dropped: too many waited")
    return "\n".join(parts)
