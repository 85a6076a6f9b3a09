"""The messenger: grouped, at most so many an hour, bounded, and never waited for."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from papertape.daemon.notifications.messenger import MOST_LINES, MOST_WAITING, Messenger, message_text


class Desk:
    """A service that takes or refuses messages, and may let a sender wait."""

    def __init__(self, answers: Callable[[int], bool] = lambda n: True) -> None:
        self.bodies: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.answers = answers
        self.came, self.opened = threading.Event(), threading.Event()
        self.opened.set()

    def send(self, title: str, body: str) -> bool:
        assert title == "papertape"
        self.came.set()
        assert self.opened.wait(20.0)
        self.bodies.append(body)
        return self.answers(len(self.bodies))

    def count(self, outcome: str, n: int) -> None:
        self.outcomes[outcome] += n

    def messenger(self, group_s: float = 0.0, per_hour: int = 100) -> Messenger:
        return Messenger(self.send, "papertape", group_s, per_hour, self.count, retry_s=(0.0,))


def test_what_comes_together_is_one_message_and_equal_lines_are_counted() -> None:
    desk = Desk()
    messenger = desk.messenger(group_s=60.0)
    messenger.start()

    for line in ("a fill", "a fill", "a halt"):
        messenger.offer(line)
    messenger.close()

    assert desk.bodies == ["a fill (2 times)\na halt"]
    assert desk.outcomes == {"sent": 3}


def test_a_server_that_hangs_holds_nobody_up_and_what_is_dropped_is_told() -> None:
    desk = Desk()
    desk.opened.clear()
    messenger = desk.messenger()
    messenger.start()
    messenger.offer("first")
    assert desk.came.wait(20.0)

    for n in range(MOST_WAITING + 7):
        messenger.offer(f"line {n}")  # returns at once: nobody answers
    assert desk.outcomes == {"dropped": 7}
    desk.opened.set()
    messenger.close(wait_s=20.0)

    assert desk.bodies[0] == "first"
    assert desk.bodies[1].endswith("7 more were dropped: too many waited")
    assert f"and {MOST_WAITING - MOST_LINES} more" in desk.bodies[1]
    assert desk.outcomes == {"dropped": 7, "sent": 1 + MOST_WAITING}


@pytest.mark.parametrize(("refusals", "outcome"), [(1, "sent"), (2, "failed")])
def test_a_message_that_is_refused_is_tried_again(refusals: int, outcome: str) -> None:
    desk = Desk(lambda n: n > refusals)
    messenger = desk.messenger()
    messenger.start()
    messenger.offer("a halt")
    while not desk.outcomes:
        desk.came.wait(0.01)
    messenger.close()

    assert desk.outcomes == {outcome: 1}
    assert desk.bodies == ["a halt"] * 2


def test_beyond_the_hours_number_lines_wait_for_the_next_message() -> None:
    desk = Desk()
    messenger = desk.messenger(per_hour=1)
    messenger.start()
    messenger.offer("first")
    while not desk.outcomes:
        desk.came.wait(0.01)
    messenger.offer("second")
    messenger.offer("third")
    assert desk.bodies == ["first"]
    messenger.close()  # what waits goes out at the end

    assert desk.bodies == ["first", "second\nthird"]


def test_a_message_has_at_most_so_many_lines() -> None:
    text = message_text([f"line {n}" for n in range(MOST_LINES + 2)], 0).splitlines()

    assert len(text) == MOST_LINES + 1
    assert text[-1] == "and 2 more"
