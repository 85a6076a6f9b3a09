"""One row of the doctor's report."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class FindingStatus(StrEnum):
    """What a row means."""

    OK = "ok"
    DIFFERS = "differs"  # from the reference, and the client works all the same
    FAILED = "FAILED"  # the client could not work
    NOT_RUN = "not run"


class Finding(NamedTuple):
    """
    What was expected and what was observed.

    row   `machine`, or the number of the question in delta-exchange.md section 10
    """

    row: str
    check: str
    expected: str
    observed: str
    status: FindingStatus


# What each row of the reference's section 10 asks, and what the client assumes.
QUESTIONS = {
    "1": ("`cst` on candle frames, µs, every resolution, MARK: too", "yes, optional"),
    "2": ("the last frame of a candle", "may be missing or late"),
    "3": ("a minute without a trade on the stream", "silent"),
    "4": ("first frame after subscribing; publishing", "at the next change; on change"),
    "5": ("heartbeat period", "5 to 30 s"),
    "6": ("public channels on the legacy host", "no"),
    "7": ("candles: cap, future, cache, lag behind the stream", "2000 or 4000; padded; none; 0 s"),
    "8": ("size of a page of products, and how many there are", "paginate"),
    "9": ("quota", "10000"),
    "10": ("alignment of 1w; 12h", "Monday or Thursday; refused"),
    "11": ("funding charged: last estimate or FUNDING: candle", "last estimate"),
    "12": ("margin slopes", "percent per unit of quote"),
    "13": ("shape of /v2/trades; unknown symbol", "list; refused or empty"),
    "14": ("the global compact host", "answers"),
    "15": ("longest connection", "no limit"),
}
LONG_ROWS = ("11", "15")
NEVER_RUN = {
    "9": "only the documentation tells; it must not be tripped",
    "12": "only the margin calculator on the web site tells",
}


def finding(row: str, status: FindingStatus, observed: str) -> Finding:
    """Return a row of the reference's section 10."""
    check, expected = QUESTIONS[row]
    return Finding(row, check, expected, observed, status)


def not_run(rows: Iterable[str], why: str) -> list[Finding]:
    """Return rows that could not be looked at."""
    return [finding(row, FindingStatus.NOT_RUN, why) for row in rows]
