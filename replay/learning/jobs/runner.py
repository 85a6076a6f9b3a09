"""Jobs in a process of their own: one attempt for a daemon, a whole walk for a replay; whatever fails is an outcome."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from papertape.engine.errors import DataError
from papertape.replay.learning.attempt import Attempt, Learned
from papertape.replay.learning.jobs.job import CHILD, TrainingJob, read_attempt, read_result, write_job
from papertape.replay.runtime.worker import START_GRACE_S, Ended, OnEvent, follow

_MOST_LOST: Final = 5  # processes of one walk; a machine on which more are lost cannot train


async def run_attempt(
    folder: Path, job: TrainingJob, on_event: OnEvent | None = None, command: Sequence[str] = CHILD
) -> Attempt:
    """
    Run one attempt in a process of its own and return what came of it, never an exception of the training.

    folder   of the job; one that was cut off goes on where it was
    command  that is started with the folder as its argument
    """
    blank = _lost(job, job.due_ms[0])
    return await answered(folder, blank, await _run(folder, job, on_event, command))


async def answered(folder: Path, blank: Attempt, ended: Ended) -> Attempt:
    """Return the attempt that a process has left in its folder, or the blank one with why there is none."""
    outcome, reason = ended.outcome, ended.reason
    if outcome == "done":
        outcome = "failed"
        try:
            attempts, _ = await asyncio.to_thread(read_result, folder, ended.sha256)
            if [attempt.due_ms for attempt in attempts] == [blank.due_ms]:
                return replace(attempts[0], wall_s=ended.wall_s)
            reason = "the result is that of another job"
        except DataError as error:
            reason = str(error)
    return replace(blank, outcome=outcome, reason=reason, wall_s=ended.wall_s)


async def run_walk(
    folder: Path, job: TrainingJob, on_event: OnEvent | None = None, command: Sequence[str] = CHILD
) -> Learned:
    """
    Run every attempt of a replay in a process of its own and return what came of them.

    An attempt from which the process does not come back is lost, with the reason; the next process goes on behind it.
    """
    started_s = time.monotonic()
    while True:
        ended = await _run(folder, job, on_event, command)
        if ended.outcome == "done":
            try:
                attempts, values = await asyncio.to_thread(read_result, folder, ended.sha256)
                commands = [(int(c[0]), str(c[1]), float(c[2]), str(c[3])) for c in values["commands"]]
                return Learned(attempts, commands, values["summary"], time.monotonic() - started_s)
            except (DataError, KeyError, TypeError, ValueError) as error:
                ended = ended._replace(outcome="failed", reason=f"{error}", due_ms=None)
        due_ms = ended.due_ms
        if due_ms is None or due_ms in job.lost or len(job.lost) >= _MOST_LOST:
            break
        job = replace(job, lost={**job.lost, due_ms: (ended.outcome, ended.reason)})
    return Learned(_what_is_left(folder, job, ended), [], {}, time.monotonic() - started_s)


async def _run(folder: Path, job: TrainingJob, on_event: OnEvent | None, command: Sequence[str]) -> Ended:
    """Write a job and run it; a disk that is full is a failure like any other."""
    try:
        await asyncio.to_thread(write_job, folder, job)
    except DataError as error:
        return Ended("failed", str(error), 0.0)
    return await follow(folder, job.settings.time_limit_s + START_GRACE_S, on_event, command)


def _lost(job: TrainingJob, due_ms: int, *outcome_and_reason: str) -> Attempt:
    return Attempt.lost(job.settings, due_ms, job.trigger, job.champion_version, *outcome_and_reason)


def _what_is_left(folder: Path, job: TrainingJob, ended: Ended) -> list[Attempt]:
    """Return the attempts that were kept, and every other due time as lost."""
    kept: dict[int, Attempt] = {}
    for number in itertools.count():  # drift may have added some
        try:
            attempt = read_attempt(folder, number)
        except DataError:
            attempt = None
        if attempt is None:
            break
        kept[attempt.due_ms] = attempt
    outcome = "timeout" if ended.outcome == "timeout" else "failed"
    for due_ms in job.due_ms:
        if due_ms not in kept:
            kept[due_ms] = _lost(job, due_ms, *job.lost.get(due_ms, (outcome, ended.reason)))
    return [kept[due_ms] for due_ms in sorted(kept)]
