"""What happens next: actions by time, in the order in which they were put in when their times are equal."""

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[int], None]


class Schedule:
    """A heap of (time, action); an action gets its own time, whatever the clock says by then."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Action]] = []
        self._order = count()
        self.on_earlier: Callable[[], None] | None = None  # the head has changed

    @property
    def next_ms(self) -> int | None:
        """Return when the next action is due."""
        return self._heap[0][0] if self._heap else None

    def put(self, time_ms: int, action: Action) -> None:
        """Add an action."""
        entry = (time_ms, next(self._order), action)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry and self.on_earlier is not None:
            self.on_earlier()

    def run_until(self, time_ms: int) -> None:
        """Run what is due, including what that adds."""
        heap = self._heap
        while heap and heap[0][0] <= time_ms:
            due_ms, _, action = heapq.heappop(heap)
            action(due_ms)
