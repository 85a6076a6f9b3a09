"""
The cache in front of the venue (reference 4.4): equal addresses get equal answers for a while, and cost no quota.

A kept answer says so: `Age` above 0, `X-Cache: Hit`, and the times of the answer that it repeats.
"""

from dataclasses import replace
from typing import Final, NamedTuple

from papertape.replay.exchange.messages import US
from papertape.replay.exchange.rest import RestAnswer

_ADDRESSES_MAX: Final = 1000


class _Kept(NamedTuple):
    answer: RestAnswer
    answered_ms: int
    until_ms: int


class Cdn:
    """Answers by address; when full, it forgets everything."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def keep(self, address: str, answer: RestAnswer, now_ms: int, keep_ms: int) -> None:
        """Keep a good answer."""
        if answer.status != 200:
            return
        if len(self._kept) >= _ADDRESSES_MAX:
            self._kept.clear()
        self._kept[address] = _Kept(answer, now_ms, now_ms + keep_ms)

    def find(self, address: str, now_ms: int) -> RestAnswer | None:
        """Return the answer that is kept for an address."""
        kept = self._kept.get(address)
        if kept is None or now_ms >= kept.until_ms:
            return None
        headers = {
            "Age": str(max((now_ms - kept.answered_ms) // 1000, 1)),
            "X-Cache": "Hit from cloudfront",
            "Request-In-Time": str(kept.answered_ms * US),
            "Request-Out-Time": str(kept.answered_ms * US + 900),
        }
        return replace(kept.answer, headers={**kept.answer.headers, **headers})
