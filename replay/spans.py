"""Spans: what of the tapes was replayed, and sentences for what was not, so that nothing is left out in silence."""

from collections.abc import Sequence

from papertape.replay.config import Data
from papertape.replay.feed import ReplayFeed
from papertape.replay.quality import counted
from papertape.replay.stamps import utc_text
from papertape.replay.tape_file import Tape, time_ms


def span_sentences(data: Data, tapes: Sequence[Tape], feed: ReplayFeed) -> list[str]:
    """Return what a reader must know about dates that were asked for or recorded and not replayed."""
    return [*_asked(data, tapes), *_takes_part(data, tapes, feed), *_skipped(data, feed)]


def _asked(data: Data, tapes: Sequence[Tape]) -> list[str]:
    """Return where a configured date lies beyond what a tape holds."""
    said = []
    for tape in tapes:
        first, last = (int(tape.candles["open_ms"][at]) for at in (0, -1))
        if data.start is not None and time_ms(data.start) < first:
            said.append(
                f"{tape.symbol}: data.start {utc_text(time_ms(data.start))} is before its first candle, "
                f"{utc_text(first)}."
            )
        if data.end is not None and time_ms(data.end) > last + tape.length_ms:
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
