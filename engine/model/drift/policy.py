"""
What drift leads to: from signs to a level, step by step and by hand reproducible.

    level  name     asked for by                                                   means
    0      ok       nothing
    1      warn     a feature, the probabilities or the outcomes left the training data   a warning
    2      smaller  many features or the probabilities left it far                 new entries are `size_factor` as large
    3      retrain  calibration or performance changed                             the same, and a model is trained now
    4      stop     it changed again soon after such a training                    no new entries

A level rises at once and falls one step (from 4 to 2: nothing is trained on the way down) when nothing has asked for it for
`calm_bars`. A model that was promoted starts at 0; one that was refused leaves smaller positions behind. The only memory
is the state, plain numbers; the only time is the number of the close.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from papertape.engine.errors import ConfigError
from papertape.engine.options import check_options, option

OK, WARN, SMALLER, RETRAIN, STOP = range(5)
LEVELS: Final = ("ok", "warn", "smaller", "retrain", "stop")
_FALL: Final = {WARN: OK, SMALLER: WARN, RETRAIN: SMALLER, STOP: SMALLER}
_NEVER: Final = -1


@dataclass(frozen=True, slots=True)
class DriftOptions:
    """When drift counts, and what it may do; the section [drift] of a configuration has the same keys."""

    warn_psi: float = option(0.1, "index from which on there is a warning", gt=0.0)
    severe_psi: float = option(0.25, "index that counts as far, not below warn_psi", gt=0.0)
    chance: float = option(0.001, "of a false sign, per figure and look, on stationary data", gt=0.0, lt=0.5)
    severe_share: float = option(
        0.3, "of the features that are far before positions are smaller", gt=0.0, le=1.0
    )
    least_rows: int = option(500, "recent closes for an index", ge=50)
    adwin_delta: float = option(0.1, "of ADWIN, per cut and block", gt=0.0, lt=1.0)
    page_hinkley: float = option(20.0, "threshold, in deviations of a block", gt=0.0)
    page_hinkley_delta: float = option(0.25, "change that is let pass, likewise", ge=0.0)
    least_blocks: int = option(20, "of outcomes before a detector speaks", ge=2)
    size_factor: float = option(0.5, "of new entries from level smaller on", ge=0.0, le=1.0)
    calm_bars: int = option(240, "without a sign before a level falls by one", ge=1)
    again_bars: int = option(
        720, "after a training that drift asked for, in which another change means stop", ge=1
    )
    is_retraining: bool = option(True, "whether drift may have a model trained early")
    is_stopping: bool = option(True, "whether drift may stop new entries")

    def __post_init__(self) -> None:
        check_options("drift", self)
        if self.severe_psi < self.warn_psi:
            raise ConfigError(f"drift: severe_psi {self.severe_psi} is below warn_psi {self.warn_psi}")


class Signs(NamedTuple):
    """
    What one look came to.

    is_warned, is_severe   an index is at its mark; enough of them are
    is_alarmed             calibration or performance has changed since the look before
    """

    is_warned: bool = False
    is_severe: bool = False
    is_alarmed: bool = False


class PolicyState(NamedTuple):
    """
    Where the policy stands.

    level          0 … 4
    asked_bar      when something last asked for it
    is_retrain_due a training is wanted and has not been tried yet; retrained_bar: of the last one that drift wanted, or −1
    """

    level: int = OK
    asked_bar: int = _NEVER
    is_retrain_due: bool = False
    retrained_bar: int = _NEVER

    @property
    def is_paused(self) -> bool:
        """Return whether no new entries are wanted."""
        return self.level >= STOP

    def size_factor(self, options: DriftOptions) -> float:
        """Return what the size of new entries is to be multiplied by."""
        return options.size_factor if self.level >= SMALLER else 1.0


def advance(state: PolicyState, signs: Signs, bar: int, options: DriftOptions) -> PolicyState:
    """Return the state after a look at a close; looks must not go back in time."""
    wanted = SMALLER if signs.is_severe else WARN if signs.is_warned else OK
    is_due = state.is_retrain_due
    if signs.is_alarmed:
        is_again = state.retrained_bar != _NEVER and bar - state.retrained_bar <= options.again_bars
        wanted = SMALLER
        if options.is_retraining:
            wanted = RETRAIN
            is_due = is_due or not is_again
            if is_again and options.is_stopping:
                wanted = STOP
        # Whatever holds a level that high is still there.
        wanted = max(wanted, state.level)
    if wanted >= state.level:
        asked = bar if wanted > OK else state.asked_bar
        return state._replace(level=wanted, asked_bar=asked, is_retrain_due=is_due)
    if bar - state.asked_bar < options.calm_bars:
        return state._replace(is_retrain_due=is_due)
    level = max(_FALL[state.level], wanted)
    return PolicyState(level, bar, is_due and level >= RETRAIN, state.retrained_bar)


def retrained(state: PolicyState, bar: int, is_promoted: bool) -> PolicyState:
    """Return the state after a training ended: its model took over, or the champion stayed."""
    at = bar if state.is_retrain_due else state.retrained_bar
    if is_promoted:
        return PolicyState(OK, bar, False, at)
    level = SMALLER if state.level == RETRAIN else state.level
    return PolicyState(level, state.asked_bar, False, at)
