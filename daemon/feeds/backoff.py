"""How long to wait before the next attempt to connect: full jitter, a limit per window, and what the venue asks for."""

import random
from collections import deque

FIRST_S = 0.5
LAST_S = 60.0
LIMIT_ATTEMPTS = 20  # per window; the venue's own limit is 150 (delta-exchange.md 3.1)
LIMIT_WINDOW_MS = 300_000
TOO_MANY_S = 300.0  # after HTTP 429 at the upgrade
MAINTENANCE_S = 30.0


class Backoff:
    """
    The pauses between attempts of one connection.

    Full jitter: uniform between nothing and a bound that doubles with every failure. `reset` only after data has
    flowed for a while; a socket that opens and closes again is a failure.
    """

    def __init__(self, chance: random.Random) -> None:
        self.n_failures = 0
        self._chance = chance
        self._attempts: deque[int] = deque(maxlen=LIMIT_ATTEMPTS)

    def reset(self) -> None:
        """Begin anew: the connection was good."""
        self.n_failures = 0

    def pause_s(self, now_ms: int, *, is_refused: bool = False, in_maintenance: bool = False) -> float:
        """
        Return how long to wait now, and count the attempt that follows.

        is_refused       the venue has had too many attempts from us
        in_maintenance   it said that it is down
        """
        pause_s = 0.0
        if self.n_failures:
            bound_s = min(LAST_S, FIRST_S * 2.0 ** min(self.n_failures - 1, 16))
            pause_s = self._chance.uniform(0.0, bound_s)
        if in_maintenance:
            pause_s = max(pause_s, MAINTENANCE_S)
        if is_refused:
            pause_s = max(pause_s, TOO_MANY_S)
        if len(self._attempts) == LIMIT_ATTEMPTS:
            free_ms = self._attempts[0] + LIMIT_WINDOW_MS
            pause_s = max(pause_s, (free_ms - now_ms) / 1000.0)
        self.n_failures += 1
        self._attempts.append(now_ms + round(pause_s * 1000.0))
        return pause_s
