"""
That nothing of a walk-forward knew what came later, asked anew in every run of some of its windows.

    the choice   is made again from the trials in sample alone, and the chosen one is replayed on a tape that ends where they do
    the account  is replayed on a tape that ends at a switch: up to there both have decided and filled the same

A choice that looked at its test, a gap that was left out, anything scaled over candles to come changes one of them.
"""

from dataclasses import replace

from papertape.engine.errors import InvariantError
from papertape.engine.jit import FloatArray, Rows
from papertape.replay.backtesting.run import replay
from papertape.replay.backtesting.summary import Run
from papertape.replay.config import Config
from papertape.replay.research.sweep.trial import TrialRow, TrialRunner
from papertape.replay.research.walkforward.choice import choose
from papertape.replay.research.walkforward.search import Search
from papertape.replay.tapes.store import Tape


def check_choice(
    runner: TrialRunner, search: Search, in_sample: FloatArray, chosen: TrialRow, rule: str
) -> None:
    """
    Raise InvariantError where a window's choice is not what the candles before its gap make it.

    in_sample  values of the window's trials in sample; chosen: the one whose parameters the account was given
    """
    place = search.place(chosen.number)
    window = search.windows[place.window]
    again = choose(search.space, in_sample)
    if again is None or place.is_test or getattr(again, rule) != place.point:
        raise InvariantError(
            f"walkforward: the parameters of window {window.number} are not those that its trials in sample choose; "
            "something later took part"
        )
    config = runner.config
    cut = [_between(tape, window.train_ms, window.seen_ms) for tape in runner.tapes_of(config)]
    runner_alone = TrialRunner(config.changed(data={"start": None, "end": None}), cut)
    alone = runner_alone.run(chosen.number, search.space.changes(place.point))
    # Not the digest: of a model that took over it has the hash, and a model says which tape it is from.
    if (alone.metrics, alone.returns) != (dict(chosen.metrics), chosen.returns):
        raise InvariantError(
            f"walkforward: trial {chosen.number} of window {window.number} decides otherwise on a tape that ends where it "
            "does; it knew what came later"
        )


def _between(tape: Tape, start_ms: int, end_ms: int) -> Tape:
    opens = tape.candles["open_ms"]
    return replace(tape, candles=tape.candles[(opens >= start_ms) & (opens < end_ms)], quality={})


def check_account(runner: TrialRunner, config: Config, run: Run, switch_ms: int) -> None:
    """Raise InvariantError where the account had decided otherwise before a switch, had the tape ended there."""
    tapes = [_between(tape, 0, switch_ms) for tape in runner.tapes_of(config)]
    if any(not len(tape.candles) for tape in tapes):
        return  # a market that is listed later would change the numbers of the others
    alone = TrialRunner(config, tapes)
    ready = alone.prepare(config)
    short = replay(ready.spec, ready.cuts, config.data.gaps, models=ready.models, events=ready.events)
    for name, time in (("decisions", "time_ms"), ("fills", "candle_ms")):
        ours, theirs = getattr(run.recorder, name), getattr(short.recorder, name)
        if _before(ours, time, switch_ms) != _before(theirs, time, switch_ms):
            raise InvariantError(
                f"walkforward: had the tape ended at the switch, the account's {name} before it would be others; something "
                "knew what came later"
            )


def _before(records: Rows, time: str, end_ms: int) -> bytes:
    return records[records[time] < end_ms].tobytes()
