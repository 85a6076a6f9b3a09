"""Rows 11 and 15, on a long examination: the rate charged at a settlement, and how long a connection lasts. Pure."""

from collections.abc import Sequence
from typing import Final

from papertape.daemon.doctor.finding import Finding, FindingStatus, finding
from papertape.daemon.doctor.listen import Heard
from papertape.daemon.feeds.delta.messages import FundingFrame, parse
from papertape.engine.candles import MINUTE_MS
from papertape.replay.sources.delta_rest import RateSettlement
from papertape.replay.tapes.timestamps import utc_text

SAME_RATE: Final = 5e-7  # the stream rounds to four decimals of a percent
AFTER_MS: Final = 2 * MINUTE_MS  # the history's bar must be there


def settlement_in(heard: Heard, symbol: str) -> int | None:
    """Return the settlement that lies within what was heard."""
    for frame in _fundings(heard, symbol):
        if heard.opened_ms < frame.settles_ms <= heard.ended_ms - AFTER_MS:
            return frame.settles_ms
    return None


def judge_settlement(heard: Heard, symbol: str, settlements: Sequence[RateSettlement]) -> Finding:
    """
    Row 11: is the rate of the history's bar the last estimate before the settlement?

    settlements   the history's, at the instant that `settlement_in` names
    """
    time_ms = settlement_in(heard, symbol)
    if time_ms is None:
        later = [frame.settles_ms for frame in _fundings(heard, symbol) if frame.settles_ms]
        when = f"the next one is at {utc_text(later[-1])} UTC" if later else "no estimate came"
        return finding("11", FindingStatus.NOT_RUN, f"no settlement while we listened; {when}")
    last = [f for f in _fundings(heard, symbol) if f.settles_ms == time_ms][-1]
    charged = [s for s in settlements if s.time_ms == time_ms]
    if not charged:
        return finding("11", FindingStatus.DIFFERS, f"no FUNDING: bar at {utc_text(time_ms)}")
    is_same = abs(charged[0].rate - last.rate_fraction) <= SAME_RATE
    told = f"last estimate {last.rate_fraction:.4%}, the bar {charged[0].rate:.4%}"
    return finding("11", FindingStatus.OK if is_same else FindingStatus.DIFFERS, told)


def judge_lifetime(heard: Heard) -> Finding:
    """Row 15: how long the connection lasted."""
    minutes = (heard.ended_ms - heard.opened_ms) / MINUTE_MS
    if heard.ended:
        return finding("15", FindingStatus.DIFFERS, f"{minutes:.1f} min: {heard.ended}")
    return finding("15", FindingStatus.OK, f"{minutes:.1f} min without a cut; 24 h were not tried")


def _fundings(heard: Heard, symbol: str) -> list[FundingFrame]:
    frames = (parse(frame.text) for frame in heard.frames)
    return [f for f in frames if isinstance(f, FundingFrame) and f.symbol == symbol]
