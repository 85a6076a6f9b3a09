"""
When the local exchange's tape happens: moved to now, so that ages, alerts and dashboards mean something, or as recorded.

At the machine's own speed the stream goes on at this moment. At another speed its clock leaves the machine's at once, so
the tape is moved by whole weeks into the first that is not past: weekdays, hours and higher timeframes stay what they
were. How far a tape was moved is in the journal and never changes: a restart goes on where it was.
"""

from collections.abc import Sequence
from dataclasses import replace

from papertape.daemon.journal import Journal
from papertape.daemon.runtime.lock import only_one
from papertape.engine.candles import DAY_MS, timeframe_ms
from papertape.engine.jit import copy_rows
from papertape.replay.config import Config
from papertape.replay.feed import common_span
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.timestamps import utc_text

WEEK_MS = 7 * DAY_MS
_KEY = "tape_moved_ms"


def first_live_ms(tapes: Sequence[Tape], history_bars: int) -> tuple[int, int]:
    """Return the open time of the first candle that is streamed, and how many of history come before it."""
    base_ms = tapes[0].length_ms
    first_ms, last_ms = common_span([tape.candles for tape in tapes])
    history = min(history_bars, (last_ms - first_ms) // base_ms // 2)
    return first_ms + history * base_ms, history


def way_to_now(config: Config, tapes: Sequence[Tape], now_ms: int) -> int:
    """Return by how many ms to move tapes so that their stream begins now."""
    start_ms, _ = first_live_ms(tapes, config.live.history_bars)
    if config.live.speed != 1.0:
        return -(-(now_ms - start_ms) // WEEK_MS) * WEEK_MS
    step_ms = max(
        timeframe_ms(config.data.timeframe or tapes[0].timeframe), *(tape.length_ms for tape in tapes)
    )
    return (now_ms - start_ms) // step_ms * step_ms


def placed(config: Config, tapes: Sequence[Tape], now_ms: int) -> tuple[list[Tape], str]:
    """
    Return the tapes at the times that `live.tape_times` asks for, and what an operator should know of it.

    A journal that has begun keeps the times that it began with. Raises DataError when another daemon holds it.
    """
    with only_one(config.daemon.state), Journal.open(config.daemon.state, now_ms) as journal:
        kept = journal.meta(_KEY)
        if kept is not None:
            moved_ms = int(kept)
        elif journal.meta("identity") is not None or config.live.tape_times == "recorded":
            moved_ms = 0
        else:
            moved_ms = way_to_now(config, tapes, now_ms)
        journal.commit([lambda j: j.set_meta(**{_KEY: moved_ms})])
    if not moved_ms:
        return list(tapes), ""
    start_ms, _ = first_live_ms(tapes, config.live.history_bars)
    told = (
        f"the tape's times are moved by {moved_ms / DAY_MS:,.6g} days: what is streamed from {utc_text(start_ms)} on "
        f"happens from {utc_text(start_ms + moved_ms)} on (live.tape_times = recorded keeps them)"
    )
    return [moved(tape, moved_ms) for tape in tapes], told


def moved(tape: Tape, by_ms: int) -> Tape:
    """Return a tape with other times, which its notes tell."""
    rows = copy_rows(tape.candles)
    rows["open_ms"] += by_ms
    return replace(tape, candles=rows, notes=(*tape.notes, f"dates moved by {by_ms} ms"))
