"""
What a decision may hold: a rule for every field, the same in every sizing.

A wish to keep holds nothing. A wish to be flat has no use for levels and size, so only what is reported with it counts.
"""

from math import inf, isnan
from numbers import Real
from typing import Any, Final

import numpy as np

from papertape.engine.records import FLAT, KEEP, LONG, SHORT
from papertape.engine.strategies.protocol import Decision

_TARGETS: Final = frozenset({SHORT, FLAT, LONG, KEEP})
SHARES: Final = ("confidence", "size_scale")
LEVELS: Final = ("stop_distance", "target_distance", "stop_price", "target_price")
SCORES: Final = ("score_model", "score_smc", "score_technical")
# The usual types of numbers; others are looked at one by one.
_NUMBERS: Final = frozenset({int, float, bool, np.float64, np.float32, np.int64})


def fault_of(wish: Any, is_all_in: bool) -> str:
    """
    Return what no order can mean about a strategy's answer, in words that follow its name; empty when it is fine.

    is_all_in  sizes are all that there is, so that a share of them means nothing
    """
    if type(wish) is not Decision:
        return _no_decision(wish)
    target, stop, goal, stop_price, goal_price, confidence, size, model, smc, technical = wish
    try:
        # What nearly every answer is, in one chain: this runs at every candle.
        if (
            target in _TARGETS
            and 0.0 <= stop < inf
            and 0.0 <= goal < inf
            and 0.0 <= stop_price < inf
            and 0.0 <= goal_price < inf
            and 0.0 <= confidence <= 1.0
            and (size == 1.0 or (0.0 <= size <= 1.0 and not is_all_in))
            and -inf < model < inf
            and -inf < smc < inf
            and -inf < technical < inf
            and _NUMBERS.issuperset(map(type, wish))
        ):
            return ""
        if target == KEEP:
            return ""
    except (TypeError, ValueError):
        pass  # something is no number; which one is told below
    return _first_fault(wish, is_all_in)


def _no_decision(answer: Any) -> str:
    """Return what is wrong with an answer that is no Decision."""
    if isinstance(answer, int) and answer in _TARGETS:
        return f"decide returned {answer!r}, not a Decision; write Decision({answer!r})"
    kind = type(answer).__name__
    return f"decide returned {answer!r:.80} ({kind}), not a Decision; None keeps what is held"


def _first_fault(wish: Decision, is_all_in: bool) -> str:
    """Return the first fault of a decision, field by field."""
    if not isinstance(wish.target, Real) or wish.target not in _TARGETS:
        return f"target {wish.target!r:.80} is not SHORT, FLAT, LONG or KEEP"
    is_exit = wish.target == FLAT
    for name, value in wish._asdict().items():
        if is_exit and (name in LEVELS or name == "size_scale"):
            continue
        rule = _broken_rule(name, value)
        if rule:
            return f"{name} {value!r:.80} is not {rule}"
    if is_all_in and not is_exit and wish.size_scale != 1.0:
        return (
            f"size_scale {wish.size_scale!r} means nothing with account.sizing = all_in; leave it out, or size by risk "
            "or fraction"
        )
    return ""


def _broken_rule(name: str, value: Any) -> str:
    """Return the rule that a value breaks, empty for none."""
    if not isinstance(value, Real):
        return "a number"
    number = float(value)
    if name in SHARES:
        return "" if 0.0 <= number <= 1.0 else "between 0 and 1"
    if name in LEVELS:
        if isnan(number):
            return "a number (a feature that warms up is nan: return None until it is over)"
        return "" if 0.0 <= number < inf else "finite and at least 0 (0 is none)"
    return "" if -inf < number < inf else "finite"
