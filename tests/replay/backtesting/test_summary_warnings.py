"""Why no model took part in a replay: the real shortage, not the usual one."""

import pytest

from papertape.replay.backtesting.models import why_none
from papertape.replay.learning.attempt import Attempt, Learned

FEW = "12.0 of 90 days to learn from lie before the 30 of the gate; at least 50% are needed"
ONE_SIDED = "training: every one of 412 rows to train has the same outcome, up"


def attempt(outcome: str, reason: str, **more: object) -> Attempt:
    return Attempt(0, 0, "schedule", outcome, reason, **more)  # type: ignore[arg-type] # of a test table


@pytest.mark.parametrize(
    ("attempts", "told"),
    [
        ([], "no retraining was due; "),
        ([attempt("skipped", FEW)], f"there were too few candles to learn from ({FEW}); "),
        # Some came too early, but those that did not were refused because nothing was there to tell apart.
        (
            [attempt("skipped", FEW), attempt("failed", ONE_SIDED), attempt("failed", ONE_SIDED)],
            "none of 2 retrainings brought a model; ",
        ),
        (
            [attempt("skipped", FEW), attempt("rejected", "no", record={"kind": "lstm"})],
            "of 1 that were trained none passed the gate; ",
        ),
    ],
)
def test_the_reason_why_no_model_took_part_is_the_real_one(attempts: list[Attempt], told: str) -> None:
    assert why_none(Learned(attempts, [], {}, 0.0)) == told
    assert why_none(None) == ""
