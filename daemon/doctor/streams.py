"""Rows 1 to 5: what was heard on the compact socket, judged against the history. Pure: values in, findings out."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import orjson

from papertape.daemon.doctor.finding import Finding, FindingStatus, finding
from papertape.daemon.doctor.listen import Heard
from papertape.daemon.feeds.delta.messages import Bad, CandleFrame, Heartbeat, NoTrade, parse
from papertape.engine.candles import MINUTE_MS, timeframe_ms
from papertape.engine.jit import Rows

US_PER_MS: Final = 1_000
EARLIEST_CST_MS: Final = -2_000  # the publishing clock may trail the grid
HEARTBEAT_MAX_S: Final = 35.0


class CandleHeard(NamedTuple):
    """One candle frame."""

    time_ms: int
    message: dict[str, Any]
    frame: CandleFrame | NoTrade


def candles_heard(heard: Heard) -> list[CandleHeard]:
    """Return the candle frames that the client's own parser accepts."""
    found = []
    for time_ms, text in heard.frames:
        frame = parse(text)
        if isinstance(frame, CandleFrame | NoTrade):
            found.append(CandleHeard(time_ms, orjson.loads(text), frame))
    return found


def judge_parsing(heard: Heard) -> Finding:
    """Return whether the client's parser can read what was sent."""
    bad = Counter(
        frame.reason for frame in map(parse, (f.text for f in heard.frames)) if isinstance(frame, Bad)
    )
    told = ", ".join(f"{n} {reason}" for reason, n in bad.most_common())
    observed = f"{len(heard.frames):,} frames; {told or 'all read'}"
    if heard.ended:
        observed += f"; {heard.ended}"
    is_good = bool(heard.frames) and not bad
    return Finding(
        "stream",
        "the client can read every frame",
        "all read",
        observed,
        FindingStatus.OK if is_good else FindingStatus.FAILED,
    )


def judge_start_stamps(heard: Heard) -> Finding:
    """Row 1: `cst` by symbol and resolution."""
    seen: Counter[str] = Counter()
    valid: Counter[str] = Counter()
    for _, message, frame in candles_heard(heard):
        name = f"{frame.symbol} {frame.timeframe}"
        seen[name] += 1
        valid[name] += _is_start(message.get("cst"), message.get("ts"), frame.timeframe)
    if not seen:
        return finding("1", FindingStatus.FAILED, "no candle frame came")
    lacking = [f"{name} {valid[name]} of {n}" for name, n in seen.items() if valid[name] < n]
    if not lacking:
        return finding("1", FindingStatus.OK, f"on every frame of {', '.join(seen)}")
    return finding("1", FindingStatus.DIFFERS, f"valid on: {', '.join(lacking)}; the client derives it")


def _is_start(start: Any, stamp: Any, timeframe: str) -> bool:
    """Return whether `cst` is a start in µs on the grid that fits to `ts`."""
    if not isinstance(start, int) or not isinstance(stamp, int):
        return False
    length_ms = timeframe_ms(timeframe)
    age_ms = (stamp - start) / US_PER_MS
    return start % (length_ms * US_PER_MS) == 0 and EARLIEST_CST_MS <= age_ms < 2 * length_ms


def judge_final_frames(heard: Heard, symbol: str, history: Rows) -> Finding:
    """
    Row 2: is the last frame of a minute its final state, and when does it come?

    history   the minutes of the symbol, volume in contracts
    """
    by_open = _by_minute(heard, symbol)
    truth = {int(row["open_ms"]): row for row in history}
    # A minute that was open when we came, or is open still, says nothing.
    whole = [ms for ms in sorted(by_open)[1:-1] if ms in truth]
    if not whole:
        return finding("2", FindingStatus.FAILED, f"no candle of {symbol} closed while we listened")
    same = late = 0
    for open_ms in whole:
        last = by_open[open_ms][-1]
        same += isinstance(last.frame, CandleFrame) and _equal(last.frame, truth[open_ms])
        later = by_open.get(open_ms + MINUTE_MS, [])
        late += bool(later) and last.time_ms > later[0].time_ms
    observed = f"{same} of {len(whole)} equal the history, {late} came after the next one's first"
    return finding("2", FindingStatus.OK, observed)


def judge_no_trade(heard: Heard, symbol: str, history: Rows) -> Finding:
    """Row 3: what the stream says of a minute that the history shows flat, without volume."""
    by_open = _by_minute(heard, symbol)
    first_ms = heard.opened_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS
    quiet = [
        int(row["open_ms"])
        for row in history
        if row["volume"] == 0.0 and first_ms <= row["open_ms"] <= heard.ended_ms - MINUTE_MS
    ]
    if not quiet:
        return finding("3", FindingStatus.NOT_RUN, f"every minute of {symbol} traded; --long waits longer")
    ways: Counter[str] = Counter()
    for open_ms in quiet:
        frames = [heard.frame for heard in by_open.get(open_ms, [])]
        if not frames:
            ways["silent"] += 1
        elif any(isinstance(frame, NoTrade) for frame in frames):
            ways["null prices"] += 1
        else:
            ways["flat, volume 0"] += 1
    status = FindingStatus.OK if set(ways) == {"silent"} else FindingStatus.DIFFERS
    told = ", ".join(f"{n} {way}" for way, n in ways.most_common())
    return finding("3", status, f"{symbol}: {told}")


def judge_publishing(heard: Heard, symbol: str) -> Finding:
    """Row 4: the first frame, and how often the next ones come."""
    frames = [h for h in candles_heard(heard) if h.frame.symbol == symbol and _is_minute(h)]
    if len(frames) < 2:
        return finding("4", FindingStatus.NOT_RUN, f"{len(frames)} frames of {symbol} came")
    first_s = (frames[0].time_ms - heard.opened_ms) / 1000.0
    steps_ms = [b.time_ms - a.time_ms for a, b in pairwise(frames)]
    repeats = sum(_state(a) == _state(b) for a, b in pairwise(frames))
    rule = f"{repeats} of {len(steps_ms)} repeat the one before" if repeats else "on change only"
    median_ms = statistics.median(steps_ms)
    observed = f"first after {first_s:.1f} s; then each {median_ms:.0f} ms (median), {rule}"
    return finding("4", FindingStatus.DIFFERS if repeats else FindingStatus.OK, observed)


def judge_heartbeats(heard: Heard) -> Finding:
    """Row 5: the period and the extra fields."""
    beats = [(f.time_ms, f.text) for f in heard.frames if isinstance(parse(f.text), Heartbeat)]
    if len(beats) < 2:
        return finding("5", FindingStatus.DIFFERS, f"{len(beats)} heartbeats; pings keep the watchdog fed")
    steps_s = [(b[0] - a[0]) / 1000.0 for a, b in pairwise(beats)]
    period_s = statistics.median(steps_s)
    extra = sorted(orjson.loads(beats[0][1]).keys() - {"type"})
    observed = f"{period_s:.1f} s (median), at most {max(steps_s):.1f} s; fields: {extra or 'none'}"
    silent_s = (heard.ended_ms - beats[-1][0]) / 1000.0
    if silent_s > HEARTBEAT_MAX_S:
        observed += f"; none in the last {silent_s:.0f} s"
    is_steady = max(period_s, silent_s) <= HEARTBEAT_MAX_S
    return finding("5", FindingStatus.OK if is_steady else FindingStatus.DIFFERS, observed)


def _by_minute(heard: Heard, symbol: str) -> dict[int, list[CandleHeard]]:
    """Return the 1m frames of a symbol by the minute they belong to, in order of arrival."""
    found: dict[int, list[CandleHeard]] = defaultdict(list)
    for candle in candles_heard(heard):
        if candle.frame.symbol == symbol and _is_minute(candle):
            stamp_ms = candle.frame.published_us // US_PER_MS
            found[candle.frame.open_ms or stamp_ms // MINUTE_MS * MINUTE_MS].append(candle)
    return found


def _is_minute(candle: CandleHeard) -> bool:
    return candle.frame.timeframe == "1m"


def _equal(frame: CandleFrame, row: Any) -> bool:
    names = ("open", "high", "low", "close")
    prices = [getattr(frame, name) == float(row[name]) for name in names]
    return all(prices) and frame.contracts == float(row["volume"])


def _state(candle: CandleHeard) -> Sequence[Any]:
    """Return what a frame says, without when."""
    return [candle.message.get(key) for key in ("cst", "o", "h", "l", "c", "v")]
