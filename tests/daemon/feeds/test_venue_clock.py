"""The venue's time where something lies: one message, all stamps, the headers, or our own clock."""

import asyncio
from collections.abc import Iterator

import pytest

from papertape.daemon.feeds.venue_clock import SKEW_MS, VenueClock
from papertape.replay.runtime.clock import Clock, Steps
from papertape.replay.sources.delta_http import RestTransport
from tests.support.virtual_time import VirtualTimeLoop

T = 1_795_428_900_000
S = 1_000  # ms
US = 1_000


class SettableClock(Clock):
    """A machine's clock that is wrong by `wrong_ms`; the time that it ran is right."""

    wrong_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.wrong_ms


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        yield runner


class World:
    """The venue's true time is that of `clock` without what it is wrong by."""

    def __init__(self, wrong_ms: int = 0) -> None:
        self.clock = SettableClock(T)
        self.clock.wrong_ms = wrong_ms
        self.venue = VenueClock(self.clock)

    @property
    def true_ms(self) -> int:
        return self.clock.now_ms() - self.clock.wrong_ms

    def hear(self, kind: str, lead_ms: int = 0) -> None:
        """Hear a message that was published 100 ms ago, with a stamp that is off by `lead_ms`."""
        self.venue.sighted((self.true_ms - 100 + lead_ms) * US, kind)

    async def minute(self, lead_ms: int = 0) -> None:
        """Hear a minute of messages of three kinds."""
        for _ in range(12):
            for kind in ("candle", "mark", "heartbeat"):
                self.hear(kind, lead_ms)
            await self.clock.sleep(5.0)

    def header(self, off_ms: float = 0.0) -> None:
        """Take a header of a venue whose headers are off by so much."""
        self.venue.header_offset_ms = off_ms - self.clock.wrong_ms

    @property
    def error_ms(self) -> int:
        return self.venue.now_ms() - self.true_ms


@pytest.mark.parametrize("has_header", [True, False])
@pytest.mark.parametrize("lead_s", [3, 40, 3_600])
def test_one_message_stamped_ahead_moves_nothing(
    lead_s: int, has_header: bool, runner: asyncio.Runner
) -> None:
    async def check() -> None:
        world = World()
        if has_header:
            world.header()
        await world.minute()
        before_ms = world.error_ms

        world.hear("candle", lead_s * S)

        assert abs(world.error_ms - before_ms) <= 1
        assert not world.venue.is_skewed
        await world.clock.sleep(59.0)
        world.hear("mark")
        assert abs(world.error_ms) <= 100

    runner.run(check())


# What is off, in s: our own clock, all stamps, the headers. What the venue's time is off by then, in ms. Where two of
# three agree they are right; a venue whose stamps and headers are both off cannot be told from our clock being wrong,
# and then the skew that is allowed bounds what they may do.
@pytest.mark.parametrize(
    ("own_s", "stamps_s", "headers_s", "error_ms", "is_skewed"),
    [
        (0, 0, 0, 0, False),
        (0, 40, 0, 0, False),
        (0, -40, 0, 0, False),
        (0, 0, 40, -100, False),
        (0, 0, -40, -100, False),
        (0, 20, 20, 20 * S, False),
        (0, 40, 40, SKEW_MS, True),
        (0, -40, -40, -40 * S, True),
        (-40, 0, 0, SKEW_MS - 40 * S, True),  # ten seconds late, and nothing is entered
        (40, 0, 0, 0, True),
        (-20, 0, 0, 0, False),
        (-20, 0, 5, -100, False),  # none agrees with another: the earlier
    ],
)
def test_two_of_three_clocks_give_the_venues_time(
    own_s: int, stamps_s: int, headers_s: int, error_ms: int, is_skewed: bool, runner: asyncio.Runner
) -> None:
    async def check() -> None:
        world = World(own_s * S)
        await world.minute(stamps_s * S)
        world.header(headers_s * S)

        assert world.error_ms == pytest.approx(error_ms, abs=1)
        assert world.venue.is_skewed is is_skewed

    runner.run(check())


@pytest.mark.parametrize("jump_s", [40, -40, 7_200, 3])
def test_our_own_clock_may_be_set(jump_s: int, runner: asyncio.Runner) -> None:
    async def check() -> None:
        world = World()
        world.header()
        await world.minute()

        world.clock.wrong_ms = jump_s * S

        # Set back by 40 s the venue is 40 s ahead of ours, of which 30 are allowed.
        late_ms = min(-jump_s * S, SKEW_MS) + jump_s * S
        assert world.error_ms == pytest.approx(late_ms, abs=2)
        assert world.venue.is_skewed is (abs(jump_s) > 30)
        world.hear("candle")
        world.hear("mark")
        assert world.error_ms == pytest.approx(late_ms, abs=2)

    runner.run(check())


def test_stamps_are_put_right_before_they_order_anything(runner: asyncio.Runner) -> None:
    async def check() -> None:
        world = World()
        world.header()
        await world.minute(-40 * S)
        now_ms = world.true_ms

        assert world.venue.righted((now_ms - 40 * S) * US) == pytest.approx(now_ms * US, abs=101_000)
        assert world.venue.righted((now_ms + 3_600 * S) * US) == pytest.approx(now_ms * US, abs=1_000)
        assert world.venue.righted(0) == 0

    runner.run(check())


def test_a_clock_that_was_set_is_told_once(runner: asyncio.Runner) -> None:
    async def check() -> None:
        clock = SettableClock(T)
        steps = Steps(clock)
        await clock.sleep(100.0)
        assert steps.take() == 0.0
        clock.wrong_ms = -4_000
        assert steps.take() == pytest.approx(-4_000, abs=1)
        assert steps.take() == 0.0

    runner.run(check())


def test_headers_keep_the_venues_time_when_our_clock_is_set(runner: asyncio.Runner) -> None:
    async def check() -> None:
        clock = SettableClock(T)
        transport = RestTransport("http://127.0.0.1:1", clock)
        transport.offset.measure(T, T + 100, T + 300.0, T + 300.0)
        assert transport.offset.offset_ms == 250.0

        clock.wrong_ms = 40 * S
        transport.follow_clock()

        assert transport.offset.offset_ms == pytest.approx(250.0 - 40 * S, abs=1)

    runner.run(check())
