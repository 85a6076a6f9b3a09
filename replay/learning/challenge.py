"""
One attempt: train a challenger on what was known, let it through the gate, say what came of it.

    ├──── window: learns ────┤── gate part: judged ──┤ due
         known by its end        outcome known by due

The learning part is cut off where the gate part begins before anything is labelled, so no label of one has seen a candle of
the other. A champion that has learnt from rows of the gate part takes them from all: what one of them has seen judges nobody.
The model that passed is the one that goes live: training it again on everything would put in force what was never judged.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from papertape.engine.errors import PapertapeError
from papertape.engine.jit import source_digest
from papertape.engine.model.artefact import Artefact, read_artefact, write_artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.gate.gate import GateOptions, gate
from papertape.engine.model.gate.recipe import surely_worse
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.evidence import evidence, opinions, outcomes, seeds_of
from papertape.replay.learning.policy import Shown, decide, weigh
from papertape.replay.learning.settings import DAY_MS, LEAST_SHARE, LearningSettings
from papertape.replay.learning.unseen.worth import worth_of

BASELINE = "logistic"


class Champion(NamedTuple):
    """The model in force: its version, 0 outside a store, and what it is."""

    version: int
    artefact: Artefact


OnEpoch = Callable[[int, int, float], None]


class Train(Protocol):
    """How a model is made; raises DataError, TimeoutError or MemoryError when it cannot be."""

    def __call__(
        self,
        rows: Dataset,
        settings: LearningSettings,
        kind: str,
        parent: Artefact | None,
        on_epoch: OnEpoch | None,
        checkpoint: Path | None,
    ) -> bytes:
        """Return the artefact of a model of this kind that has learnt from these rows."""


class TrainingSession(NamedTuple):
    """
    One training as somebody follows it.

    on_epoch    is told of every epoch
    checkpoint  folder in which the training can be taken up again; None: it cannot
    """

    on_epoch: OnEpoch | None = None
    checkpoint: Path | None = None


_UNFOLLOWED: Final = TrainingSession()


def challenge(
    rows: Dataset,
    due_ms: int,
    settings: LearningSettings,
    champion: Champion | None,
    train: Train,
    *,
    trigger: str = "schedule",
    last: Shown | None = None,
    session: TrainingSession = _UNFOLLOWED,
) -> Attempt:
    """
    Return what comes of one retraining; what closed after `due_ms` is not looked at.

    last     the newest model that the same recipe has trained before, whether it trades or not
    session  of the challenger's training; the baseline takes no time worth following
    """
    started_s = time.monotonic()
    blank = Attempt.lost(settings, due_ms, trigger, champion.version if champion else 0)

    def ended(outcome: str, reason: str, **more: Any) -> Attempt:
        took_s = time.monotonic() - started_s
        return replace(blank, outcome=outcome, reason=reason, wall_s=took_s, **more)

    known = rows.until(due_ms)
    gate_ms = due_ms - settings.gate_ms
    learnt = known.between(gate_ms - settings.window_ms, gate_ms)
    first_ms = int(known.time_ms[0]) if len(known.time_ms) else due_ms
    if reason := lack(first_ms, due_ms, settings):
        return ended("skipped", reason)
    parent = champion.artefact if champion and settings.is_fine_tuned else None
    if parent is not None and parent.record.kind != settings.kind:
        parent = None
    try:
        challenger = train(learnt, settings, settings.kind, parent, *session)
        baseline = (
            challenger if settings.kind == BASELINE else train(learnt, settings, BASELINE, None, None, None)
        )
        return _judged(ended, known, learnt, settings, champion, challenger, baseline, last)
    except PapertapeError as error:
        return ended("failed", str(error))
    except MemoryError:
        return ended("failed", f"training needs more than {settings.memory_limit_mb:,} MB")
    except TimeoutError:
        return ended("timeout", f"training took longer than {settings.time_limit_s:,.0f} s")


def lack(first_close_ms: int, due_ms: int, settings: LearningSettings) -> str:
    """Return why there is too little to learn from when the first row closes then, or nothing."""
    held_ms = due_ms - settings.gate_ms - first_close_ms
    if held_ms >= LEAST_SHARE * settings.window_ms:
        return ""
    return (
        f"{max(held_ms, 0) / DAY_MS:.1f} of {settings.window_ms / DAY_MS:g} days to learn from lie before the "
        f"{settings.gate_ms / DAY_MS:g} of the gate; at least {LEAST_SHARE:.0%} are needed"
    )


def _judged(
    ended: Callable[..., Attempt],
    known: Dataset,
    learnt: Dataset,
    settings: LearningSettings,
    champion: Champion | None,
    challenger: bytes,
    baseline: bytes,
    last: Shown | None,
) -> Attempt:
    """Return the attempt after its gate, and after what the recipe has shown."""
    artefact = read_artefact(challenger)
    seen_ms = int(learnt.time_ms[-1])
    if champion is not None:
        seen_ms = max(seen_ms, champion.artefact.record.end_ms)
    contenders = {"challenger": artefact}
    if settings.kind != BASELINE:  # nobody can beat himself
        contenders[BASELINE] = read_artefact(baseline)
    if champion is not None:
        contenders["champion"] = champion.artefact
    said = {name: opinions(model, known, seen_ms) for name, model in contenders.items()}
    judged = slice(int(np.searchsorted(known.time_ms, seen_ms, "right")), len(known.time_ms))
    majority = float(np.nanmean(outcomes(learnt, settings).y))
    followed = outcomes(known, settings)
    seen = evidence(
        followed.between(judged),
        {name: values[:, judged] for name, values in said.items()},
        majority,
        settings,
    )
    rules = GateOptions(alpha=settings.gate_alpha, seed=settings.seed)
    verdict = gate(seen, rules)
    recipe = weigh(known, settings, last)
    decided = decide(settings, verdict, recipe, surely_worse(seen, rules), champion is not None)
    told = {"majority": majority, **verdict.to_json()}
    if seeds := seeds_of(artefact, known, followed, judged):
        told["seeds"] = seeds
    if worth := worth_of(artefact, known, followed, settings):
        told["worth"] = worth
    record = replace(
        artefact.record,
        tapes=settings.tapes,
        code=source_digest(),
        parent=champion.version if champion else 0,
        gate=told,
    )
    data = write_artefact(record, artefact.tensors)
    # In the model it stands already.
    selected = {"selection": chosen} if (chosen := artefact.record.selection) else {}
    return ended(
        decided.outcome,
        decided.reason,
        gate={**told, **selected, "recipe": recipe},
        record=read_artefact(data).record.to_json(),
        artefact=data,
        baseline=baseline,
    )
