"""Windows: where each choice looks, the gap that nothing looks into, and where the choice is tried."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from papertape.engine.errors import ConfigError
from papertape.replay.tapes.timestamps import utc_text

_SPAN: Final = re.compile(r"([0-9]{1,6})\s*([mhdw])")
_UNIT_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
AUTO: Final = "auto"


class Plan(NamedTuple):
    """
    How windows are laid out, in ms.

    train, test   how long a choice looks, and how long it is in force
    purge         before the test, that no choice looks into: the longest label and position
    embargo       beside it
    is_anchored   every choice looks back to the first candle
    """

    train_ms: int
    test_ms: int
    purge_ms: int
    embargo_ms: int
    is_anchored: bool

    @property
    def gap_ms(self) -> int:
        """Return the time between what a choice looks at and where it is tried."""
        return self.purge_ms + self.embargo_ms


class Window(NamedTuple):
    """One choice: it looks at candles that open from `train_ms` on and before `seen_ms`; it is tried on [test_ms, end_ms)."""

    number: int
    train_ms: int
    seen_ms: int
    test_ms: int
    end_ms: int

    def to_json(self) -> dict[str, Any]:
        """Return the window with its times as text."""
        times = {n: utc_text(value) for n, value in self._asdict().items() if n != "number"}
        return {"number": self.number, **{name.removesuffix("_ms"): text for name, text in times.items()}}


def span_ms(text: str, option: str) -> int:
    """Return how long `365d`, `12h`, `4w` is in ms; raises ConfigError for anything else."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{option} {text}: write a number and m, h, d or w, such as 365d")
    return int(found[1]) * _UNIT_MS[found[2]]


def make_windows(plan: Plan, first_ms: int, end_ms: int, length_ms: int) -> list[Window]:
    """
    Return the windows over candles from `first_ms` to `end_ms`: tests follow each other, and only whole ones count.

    length_ms  of the strategy's candles, which every span is a multiple of

    Raises ConfigError where there is no window, or a span that ends inside a candle.
    """
    refuse_spans(plan, length_ms)
    found: list[Window] = []
    test_ms = first_ms + plan.train_ms + plan.gap_ms
    while test_ms + plan.test_ms <= end_ms:
        seen_ms = test_ms - plan.gap_ms
        train_ms = first_ms if plan.is_anchored else seen_ms - plan.train_ms
        found.append(Window(len(found), train_ms, seen_ms, test_ms, test_ms + plan.test_ms))
        test_ms += plan.test_ms
    if not found:
        needed = (plan.train_ms + plan.gap_ms + plan.test_ms) / 86_400_000
        raise ConfigError(
            f"walkforward: the candles last {(end_ms - first_ms) / 86_400_000:.1f} days, and one window needs {needed:.1f}; "
            "shorten --train or --test"
        )
    return found


def refuse_spans(plan: Plan, length_ms: int) -> None:
    """Raise ConfigError where a span ends inside a candle, or holds none where one is needed."""
    for name in ("train", "test", "purge", "embargo"):
        value = getattr(plan, f"{name}_ms")
        if value % length_ms:
            raise ConfigError(
                f"--{name}: {value / 3_600_000:g} hours are not whole candles of {length_ms / 3_600_000:g} hours"
            )
        if value <= 0 and name in ("train", "test"):
            raise ConfigError(f"--{name}: it holds no candle; write 90d, say")


def whole_candles(span_s: float, length_ms: int) -> int:
    """Return a span in ms, up to the next whole candle."""
    return math.ceil(span_s * 1000.0 / length_ms) * length_ms


def refuse_overlap(windows: Sequence[Window], gap_ms: int) -> None:
    """Raise AssertionError where a choice looks into its own gap or test, or tests overlap."""
    for window in windows:
        assert window.train_ms < window.seen_ms, window
        assert window.seen_ms + gap_ms <= window.test_ms < window.end_ms, window
    for before, after in pairwise(windows):
        assert before.end_ms == after.test_ms, after
