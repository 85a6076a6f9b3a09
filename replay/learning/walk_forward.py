"""
The learning pass of a replay: every attempt in the order of simulated time, each on what was known by then.

Features do not depend on models and models do not depend on trading, so the attempts can be made before the replay: what
comes out is a schedule of models, which the replay takes like any other. At a due time t only rows that closed by t exist;
what is measured afterwards, on the rows between one attempt and the next, decides nothing.

As in a daemon an attempt ends when its model takes over or would have; what is due until then is passed over.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.artefact import read_artefact
from papertape.engine.model.buckets import confidence_buckets
from papertape.engine.model.dataset import Dataset
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.challenge import BASELINE, Champion, OnEpoch, Train, TrainingSession, challenge
from papertape.replay.learning.drift import Command, WalkDrift
from papertape.replay.learning.evidence import (
    RowOutcomes,
    opinions,
    outcomes,
    paper_record,
    scores_of,
    seeds_of,
)
from papertape.replay.learning.jobs.job import TrainingJob, read_attempt, write_attempt
from papertape.replay.learning.policy import Shown
from papertape.replay.learning.settings import LearningSettings

OnAttempt = Callable[[Attempt | int, int, int], None]


class Walked(NamedTuple):
    """What a walk came to: `attempts` in order, `commands` of the policy on drift, `summary` over all rows not seen."""

    attempts: list[Attempt]
    commands: list[Command]
    summary: dict[str, Any]


class Said(NamedTuple):
    """What the models of one attempt said of the rows up to the next: which rows, by contender, and the known share."""

    chosen: slice
    contenders: dict[str, FloatArray]
    majority: float


def walk(
    job: TrainingJob,
    train: Train,
    folder: Path | None = None,
    on_attempt: OnAttempt | None = None,
    on_epoch: OnEpoch | None = None,
) -> Walked:
    """
    Return what comes of every attempt of a job.

    folder      keeps each attempt as soon as it is over, and gives back those of a process that was cut off
    on_attempt  called with (due time, number, how many) before each attempt, and with the attempt after it
    """
    progress = _Pass(job, train, folder, on_attempt, on_epoch)
    while (time_ms := progress.next_ms) is not None:
        progress.at(time_ms)
    if not job.is_walk:
        return Walked(progress.attempts, [], {})
    attempts, summary = measure_shadows(job.rows, progress.attempts, job.settings, _first_champion(job))
    watch = progress.watch
    drift = [look.to_json() for look in watch.looks] if watch else []
    return Walked(attempts, watch.commands if watch else [], {**summary, "drift": drift})


class _Pass:
    """One walk: the champion of the moment, the attempt that has not taken effect, the watch, and what came of it all so far."""

    def __init__(
        self,
        job: TrainingJob,
        train: Train,
        folder: Path | None,
        on_attempt: OnAttempt | None,
        on_epoch: OnEpoch | None,
    ) -> None:
        self._job, self._train, self._folder = job, train, folder
        self._on_attempt, self._on_epoch = on_attempt, on_epoch
        self._champion = _first_champion(job)
        self._due = deque(job.due_ms)
        self._pending: Attempt | None = None
        self._last = job.last
        self._versions = self._champion.version if self._champion else 0
        self.attempts: list[Attempt] = []
        self.watch: WalkDrift | None = None
        if job.is_walk and job.settings.check_bars:
            # What a daemon knows of a prediction does not say the signal: with models about signals inputs are watched alone.
            rows = job.rows._replace(side=None)
            self.watch = WalkDrift(rows, outcomes(rows, job.settings), job.settings)
            if self._champion is not None:
                self.watch.took_over(self._champion, int(job.rows.time_ms[0]))

    @property
    def next_ms(self) -> int | None:
        """Return when something happens next, None when nothing does any more."""
        times = [self._due[0]] if self._due else []
        if self._pending is not None:
            times.append(self._pending.effective_ms)
        if self.watch is not None and (look_ms := self.watch.next_ms) is not None:
            times.append(look_ms)
        return min(times, default=None)

    def at(self, time_ms: int) -> None:
        """Do what is due at a time, in the order of a daemon: what ends, what begins, a look, and what the look asks for."""
        self._take_effect(time_ms)
        if self._due and self._due[0] <= time_ms:
            self._begin(self._due.popleft(), self._job.trigger)
            self._take_effect(time_ms)
        if self.watch is not None and self.watch.next_ms == time_ms and self.watch.look():
            self._begin(time_ms, "drift")

    def _begin(self, due_ms: int, trigger: str) -> None:
        """Make the attempt that is due, or take the one that was kept, unless another one is under way."""
        if self._pending is not None:
            return
        number = len(self.attempts)
        of = number + 1 + len(self._due)
        if self._on_attempt is not None:
            self._on_attempt(due_ms, number, of)
        attempt = self._pending = self._attempt(due_ms, trigger, number)
        if attempt.artefact:
            self._last = Shown.of(attempt)
        self.attempts.append(attempt)
        if self._on_attempt is not None:
            self._on_attempt(attempt, number, of)

    def _attempt(self, due_ms: int, trigger: str, number: int) -> Attempt:
        """Return a kept attempt, a lost one, or a new one."""
        folder, job, champion = self._folder, self._job, self._champion
        if folder is not None:
            kept = read_attempt(folder, number)
            if kept is not None and kept.due_ms == due_ms:
                return kept
        if due_ms in job.lost:
            version = champion.version if champion else 0
            attempt = Attempt.lost(job.settings, due_ms, trigger, version, *job.lost[due_ms])
        else:
            checkpoint = folder / f"checkpoint-{number + 1:04d}" if folder else None
            attempt = challenge(
                job.rows,
                due_ms,
                job.settings,
                champion,
                self._train,
                trigger=trigger,
                last=self._last,
                session=TrainingSession(self._on_epoch, checkpoint),
            )
        if folder is not None:
            write_attempt(folder, number, attempt)
        return attempt

    def _take_effect(self, time_ms: int) -> None:
        """Let an attempt's model take over if it may, and the watch know how it ended, when its time has come."""
        attempt = self._pending
        if attempt is None or attempt.effective_ms > time_ms:
            return
        self._pending = None
        if attempt.is_promoted:
            self._versions += 1
            self._champion = Champion(self._versions, read_artefact(attempt.artefact))
            if self.watch is not None:
                self.watch.took_over(self._champion, attempt.effective_ms)
        elif attempt.is_demoting:
            self._champion = None
            if self.watch is not None:
                self.watch.retired(attempt.effective_ms)
        elif self.watch is not None and attempt.outcome != "skipped":
            self.watch.refused(attempt.effective_ms)


def _first_champion(job: TrainingJob) -> Champion | None:
    return Champion(job.champion_version, read_artefact(job.champion)) if job.champion else None


def measure_shadows(
    rows: Dataset, attempts: Sequence[Attempt], settings: LearningSettings, champion: Champion | None = None
) -> tuple[list[Attempt], dict[str, Any]]:
    """
    Return the attempts with their shadow scores and record, and those over all of their rows together.

    Every challenger is measured on the rows between its attempt and the next one that brought a model, as the evidence of its
    recipe is, whether it was promoted or not, beside the baseline, the majority and the champion of that time. Outcomes are as
    the end of the rows knows them.
    """
    followed = outcomes(rows, settings)
    measured: list[Attempt] = []
    pooled: list[Said] = []
    for number, attempt in enumerate(attempts):
        if attempt.is_promoted:
            version = (champion.version if champion else 0) + 1
            champion = Champion(version, read_artefact(attempt.artefact))
        elif attempt.is_demoting:
            champion = None
        if not attempt.artefact:
            measured.append(attempt)
            continue
        later = (other.due_ms for other in attempts[number + 1 :] if other.artefact)
        end_ms = next(later, None)
        said = said_of(rows, attempt, end_ms, champion)
        found = scores_of(followed.between(said.chosen), said.contenders, said.majority)
        if found:
            paper = paper_record(followed, said.contenders["challenger"], said.chosen.start, settings)
            found["challenger"] |= paper.to_json()
            made = read_artefact(attempt.artefact)
            seen = rows if end_ms is None else rows.until(end_ms)
            found["challenger"] |= seeds_of(
                made, seen, followed.between(slice(0, len(seen.time_ms))), said.chosen
            )
        measured.append(replace(attempt, shadow=found))
        pooled.append(said)
    return measured, _together(followed, pooled, [attempt.shadow for attempt in measured])


def said_of(rows: Dataset, attempt: Attempt, end_ms: int | None, champion: Champion | None) -> Said:
    """Return what the models of an attempt say of the rows up to the next one."""
    seen = rows if end_ms is None else rows.until(end_ms)
    start = int(np.searchsorted(seen.time_ms, attempt.due_ms, "right"))
    chosen = slice(start, len(seen.time_ms))
    models = {"challenger": read_artefact(attempt.artefact), BASELINE: read_artefact(attempt.baseline)}
    if champion is not None:
        models["champion"] = champion.artefact
    contenders = {
        name: opinions(artefact, seen, attempt.due_ms)[:, chosen] for name, artefact in models.items()
    }
    return Said(chosen, contenders, float(attempt.gate["majority"]))


def _together(
    followed: RowOutcomes, pooled: Sequence[Said], shadows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the scores over the rows of all attempts, and how often the challengers were right by how sure they were."""
    if not pooled:
        return {}
    chosen = np.concatenate([np.arange(said.chosen.start, said.chosen.stop) for said in pooled])
    joined = RowOutcomes(*(values[:, chosen] for values in followed))
    said = {
        name: np.concatenate([part.contenders[name] for part in pooled], axis=1)
        for name in ("challenger", BASELINE)
    }
    majority = np.concatenate(
        [np.full(part.chosen.stop - part.chosen.start, part.majority) for part in pooled]
    )
    found = scores_of(joined, said, majority)
    if found:
        found["challenger"] |= _pooled([shadow["challenger"] for shadow in shadows if shadow])
    is_judged = np.isfinite(joined.y) & np.isfinite(said["challenger"])
    if not is_judged.any():
        return {}
    buckets = confidence_buckets(joined.y[is_judged], said["challenger"][is_judged])
    return {"contenders": found, "buckets": buckets}


def _pooled(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the shadow records of all challengers together, and how far the members of ensembles were apart, by rows."""
    found = {name: sum(challenger[name] for challenger in each) for name in ("paper_trades", "paper_return")}
    apart = [challenger for challenger in each if "seeds" in challenger]
    rows = [challenger["rows"] for challenger in apart]
    for name in ("seeds", "seed_spread", "seed_log_loss", "seed_log_loss_highest") if apart else ():
        found[name] = float(np.average([challenger[name] for challenger in apart], weights=rows))
    return found
