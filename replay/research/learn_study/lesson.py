"""What the models of one cell were worth on rows that none of them had seen, as plain values."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from papertape.engine.model.scores import losses
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.evidence import outcomes
from papertape.replay.learning.unseen.comparison import Interval, Intervals
from papertape.replay.learning.walk_forward import said_of
from papertape.replay.research.learn_study.walks import WalkedJob

_LEAST_ROWS: Final = 50  # fewer have no interval worth the name
_DIGITS: Final = 6


def lesson_of(walked: WalkedJob | None) -> dict[str, Any]:
    """
    Return what the retrainings of a cell came to.

    models     that were trained; outcomes: of all retrainings; reason: why those that brought no model did not
    passed     whether the recipe ever had; evidence: the most it came to until it first faded; boundary: what passes
    points     (close in ms, evidence, whether it had passed), block by block
    gain       by how much the log-loss lay below that of always saying the share that was known, in nats, with its limits
    scores     of the models, the logistic one and the known share; paper: trades and return of the gate's plain rule
    """
    if walked is None:
        return {"models": 0, "outcomes": {}, "reason": "no retraining was due with enough candles before it"}
    attempts = walked.learned.attempts
    recipes = [attempt.gate["recipe"] for attempt in attempts if "recipe" in attempt.gate]
    scores = walked.learned.summary.get("contenders", {})
    gain = gain_of(walked)
    points = [
        [ms, float(f"{capital:.{_DIGITS}g}"), passed]
        for recipe in recipes
        for ms, capital, passed in recipe["points"]
    ]
    challenger = scores.get("challenger", {})
    return {
        "models": sum(bool(attempt.artefact) for attempt in attempts),
        "outcomes": _counts(attempts),
        "reason": _why_none(attempts),
        "passed": any(recipe["state"]["passes"] > 0 for recipe in recipes),
        "evidence": highest_until_faded(points),
        "boundary": recipes[-1]["boundary"] if recipes else None,
        "points": points,
        "gain": list(gain) if gain is not None else None,
        "scores": {name: _plain(found) for name, found in scores.items()},
        "paper": [challenger.get("paper_trades"), challenger.get("paper_return")],
    }


def highest_until_faded(points: Sequence[Sequence[Any]]) -> float:
    """Return the most that a unit came to before the recipe first faded: 1 ÷ that is a p-value (Ville), and later it begins anew."""
    highest, has_passed = 1.0, False
    for _, capital, passed in points:
        if has_passed and not passed:
            break
        highest, has_passed = max(highest, float(capital)), bool(passed)
    return highest


def gain_of(walked: WalkedJob) -> Interval | None:
    """Return by how much the models' log-loss lay below that of the share of rises known when each was trained; None of few rows."""
    job = walked.job
    followed = outcomes(job.rows, job.settings)
    made = [attempt for attempt in walked.learned.attempts if attempt.artefact]
    ends = [*(attempt.due_ms for attempt in made[1:]), None]
    bars, gains = [], []
    for attempt, end_ms in zip(made, ends, strict=False):  # nothing was made: nothing ends
        said = said_of(job.rows, attempt, end_ms, None)
        y, p = followed.y[:, said.chosen].T, said.contenders["challenger"].T
        judged = np.isfinite(y) & np.isfinite(p)
        always = np.full(int(judged.sum()), said.majority)
        gains.append(losses(y[judged], always) - losses(y[judged], p[judged]))
        bars.append(said.chosen.start + np.nonzero(judged)[0])
    if sum(map(len, gains)) < _LEAST_ROWS:
        return None
    intervals = Intervals(np.concatenate(bars), job.settings.horizon_bars, job.settings.seed)
    return intervals.of(np.concatenate(gains))


def _counts(attempts: Sequence[Attempt]) -> dict[str, int]:
    ended = [attempt.outcome for attempt in attempts]
    return {name: ended.count(name) for name in dict.fromkeys(ended)}


def _why_none(attempts: Sequence[Attempt]) -> str:
    """Return the reason of the newest retraining that brought no model, empty where all did."""
    reasons = [attempt.reason for attempt in attempts if not attempt.artefact]
    return reasons[-1] if reasons else ""


def _plain(found: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the scores that a table shows."""
    names = ("rows", "accuracy", "log_loss", "brier", "auc", "seed_spread")
    return {name: found[name] for name in names if name in found}
