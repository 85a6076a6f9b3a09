"""What is to be examined of a venue, and for how long."""

from collections.abc import Callable
from typing import Final, NamedTuple

from papertape.replay.sources.delta_profiles import Profile

SHORT_MINUTES: Final = 4.0
LONG_MINUTES: Final = 32.0  # thirty whole minutes, and a part of one at each end

OnProgress = Callable[[str, int, int], None]


class Exam(NamedTuple):
    """
    What is examined.

    thin          a market that seldom trades; "" picks the one with the least turnover
    global_url    tried for row 14; "" leaves it out
    is_required   a venue that cannot be reached is a failure, not a machine without internet
    """

    profile: Profile
    symbol: str = "BTCUSD"
    thin: str = ""
    minutes: float = SHORT_MINUTES
    is_long: bool = False
    global_url: str = ""
    is_required: bool = False
