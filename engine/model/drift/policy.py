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

OK, WARN, SMALLER, RETRAIN, STOP = range(5)
LEVELS: Final = ("ok", "warn", "smaller", "retrain", "stop")
_FALL: Final = {WARN: OK, SMALLER: WARN, RETRAIN: SMALLER, STOP: SMALLER}
_NEVER: Final = -1


@dataclass(frozen=True, slots=True)
class DriftOptions:
    """
    When drift counts, and what it may do.

    warn_psi, severe_psi  marks of the index; chance: with which stationary data may pass its noise, per figure and check
    severe_share          of the features that must be severe for smaller positions
    least_rows            of the recent window; fewer give no index
    adwin_delta           of ADWIN, per cut and block of outcomes
    page_hinkley          threshold, and page_hinkley_delta the change that is let pass, in deviations of a block
    least_blocks          before a detector speaks
    size_factor           of new entries from level 2 on
    calm_bars             without a sign before a level falls; again_bars: after a training, in which a change is a repetition
    is_retraining, is_stopping   whether the policy may go to levels 3 and 4
    """

    warn_psi: float = 0.1
    severe_psi: float = 0.25
    chance: float = 0.001
    severe_share: float = 0.3
    least_rows: int = 500
    adwin_delta: float = 0.1
    page_hinkley: float = 20.0
    page_hinkley_delta: float = 0.25
    least_blocks: int = 20
    size_factor: float = 0.5
    calm_bars: int = 240
    again_bars: int = 720
    is_retraining: bool = True
    is_stopping: bool = True

    def __post_init__(self) -> None:
        rules = (
            ("warn_psi", self.warn_psi > 0.0, "above 0"),
            ("severe_psi", self.severe_psi >= self.warn_psi, "at least warn_psi"),
            ("chance", 0.0 < self.chance < 0.5, "between 0 and 0.5"),
            ("severe_share", 0.0 < self.severe_share <= 1.0, "above 0 and at most 1"),
            ("least_rows", self.least_rows >= 50, "at least 50"),
            ("adwin_delta", 0.0 < self.adwin_delta < 1.0, "between 0 and 1"),
            ("page_hinkley", self.page_hinkley > 0.0, "above 0"),
            ("page_hinkley_delta", self.page_hinkley_delta >= 0.0, "at least 0"),
            ("least_blocks", self.least_blocks >= 2, "at least 2"),
            ("size_factor", 0.0 <= self.size_factor <= 1.0, "between 0 and 1"),
            ("calm_bars", self.calm_bars >= 1, "at least 1"),
            ("again_bars", self.again_bars >= 1, "at least 1"),
        )
        for name, is_good, rule in rules:
            if not is_good:
                raise ConfigError(f"drift: {name} {getattr(self, name)} is not {rule}")


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
