"""Spans: what of the tapes was replayed, and sentences for what was not, so that nothing is left out in silence."""

from collections.abc import Sequence

from papertape.replay.config import Data
from papertape.replay.feed import ReplayFeed, common_span
from papertape.replay.tapes.quality import counted
from papertape.replay.tapes.tape import Tape, time_ms
from papertape.replay.tapes.timestamps import utc_text


def span_sentences(data: Data, tapes: Sequence[Tape], feed: ReplayFeed) -> list[str]:
    """Return what a reader must know about dates that were asked for or recorded and not replayed."""
    return [*_asked(data, tapes), *_takes_part(data, tapes, feed), *_skipped(data, feed)]


def common_span_sentences(data: Data, tapes: Sequence[Tape]) -> list[str]:
    """Return the same where only the span that all tapes share is followed, as a daemon does on the local exchange."""
    said = _asked(data, tapes)
    cut = [tape.between(data.start, data.end) for tape in tapes]
    first_ms, last_ms = common_span([tape.candles for tape in cut])
    for tape in cut:
        opens = tape.candles["open_ms"]
        outside = [part for part in (opens[opens < first_ms], opens[opens > last_ms]) if len(part)]
        if outside:
            spans = " and ".join(f"{utc_text(int(part[0]))} … {utc_text(int(part[-1]))}" for part in outside)
            said.append(
                f"{tape.symbol} takes part in what all tapes share alone, {utc_text(first_ms)} … {utc_text(last_ms)}; "
                f"{counted(sum(map(len, outside)), 'candle')} of it beyond that, {spans}, are not streamed."
            )
    return said


def streamed_sentences(tapes: Sequence[Tape], start_ms: int) -> list[str]:
    """Return which tapes of an exchange whose stream begins at `start_ms` begin later or end earlier than the others."""
    end_ms = max(int(tape.candles["open_ms"][-1]) for tape in tapes)
    said = []
    for tape in tapes:
        first, last = (int(tape.candles["open_ms"][at]) for at in (0, -1))
        if last < start_ms:
            said.append(
                f"{tape.symbol} ends before the stream begins, {utc_text(last)}: all of it is history."
            )
        elif first > start_ms or last < end_ms:
            said.append(
                f"{tape.symbol} takes part from its first to its last candle, {utc_text(first)} … {utc_text(last)}; "
                "no trade happens in it before and after."
            )
    return said


def _asked(data: Data, tapes: Sequence[Tape]) -> list[str]:
    """Return where a configured date lies beyond what any tape holds; where one begins or ends is told of it (`_takes_part`)."""
    said = []
    begin_ms = min(int(tape.candles["open_ms"][0]) for tape in tapes)
    end_ms = max(int(tape.candles["open_ms"][-1]) for tape in tapes)
    for tape in tapes:
        first, last = (int(tape.candles["open_ms"][at]) for at in (0, -1))
        if first == begin_ms and data.start is not None and time_ms(data.start) < first:
            said.append(
                f"{tape.symbol}: data.start {utc_text(time_ms(data.start))} is before its first candle, "
                f"{utc_text(first)}."
            )
        if last == end_ms and data.end is not None and time_ms(data.end) > last + tape.length_ms:
            said.append(
                f"{tape.symbol}: data.end {utc_text(time_ms(data.end))} is after its last candle, "
                f"{utc_text(last)}."
            )
    return said


def _takes_part(data: Data, tapes: Sequence[Tape], feed: ReplayFeed) -> list[str]:
    """Return which tapes begin later or end earlier than the others."""
    said = []
    for tape in tapes:
        opens = tape.between(data.start, data.end).candles["open_ms"]
        first, last = int(opens[0]), int(opens[-1])
        if first > feed.first_ms or last < feed.last_ms:
            ends = "" if last == feed.last_ms else "; what is held then is closed at that close"
            said.append(
                f"{tape.symbol} takes part from its first to its last candle, {utc_text(first)} … {utc_text(last)}"
                f"{ends}."
            )
    return said


def _skipped(data: Data, feed: ReplayFeed) -> list[str]:
    """Return what `data.gaps = skip` passes over."""
    if data.gaps != "skip":
        return []
    missing = (feed.last_ms - feed.first_ms) // feed.base_ms + 1 - feed.n_instants
    if not missing:
        return []
    length, after_ms = feed.longest_gap()
    return [
        f"data.gaps = skip: {counted(missing, 'candle')} that no tape holds were passed over as if their time "
        f"had not been, the longest gap of {length:,} after {utc_text(after_ms)}."
    ]
