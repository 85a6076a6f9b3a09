"""
The queue of backtests, and who follows their processes.

So many run at once, so many wait, and one more is refused. Each process is followed in a thread with an event loop of its own,
because the daemon's loop may go by the local exchange's clock; the process is nice to the daemon and ends with it. What runs when
the daemon stops is interrupted and stays listed; what waits is run after the next start.
"""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from papertape.daemon.backtests.answers import BacktestChoices, BacktestJob, BacktestJobs, BacktestState
from papertape.daemon.backtests.choices import choices_of
from papertape.daemon.backtests.jobs import RESULT, JobFolder, KeptJob, interrupted
from papertape.daemon.backtests.request import checked
from papertape.engine.errors import DataError
from papertape.replay.config import Config
from papertape.replay.runtime.process import command_of
from papertape.replay.runtime.worker import Ended, follow

COMMAND: Final = command_of("papertape.daemon.backtests.worker")
_STEP_CHARACTERS: Final = 80
_LIST_BYTES: Final = 200_000  # of the jobs that one answer holds; its budget is 256 kB
_FIGURES: Final = ("total_return", "max_drawdown", "sharpe", "trades")


class QueueFull(DataError):
    """So many backtests wait that another one is refused."""


class NoSuchBacktest(DataError):
    """There is no backtest of this number, or nothing of it that was asked for."""


class OtherRequest(DataError):
    """A key came again with another request."""


class _Process:
    """A process that is followed in a loop of its own; `cancel` may be called from another thread, at any time."""

    def __init__(
        self, folder: Path, limit_s: float, on_event: Callable[[dict[str, Any]], None], command: Sequence[str]
    ) -> None:
        self._asked = folder, limit_s, on_event, command
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Ended] | None = None
        self.is_cancelled = False

    def run(self) -> Ended | None:
        """Return how the process ended, None where it was cancelled; it is gone then."""
        return asyncio.run(self._follow())

    async def _follow(self) -> Ended | None:
        self._task = asyncio.ensure_future(follow(*self._asked, name="backtest"))
        self._loop = asyncio.get_running_loop()
        if self.is_cancelled:
            self._end()
        with contextlib.suppress(asyncio.CancelledError):
            return await self._task
        return None

    def cancel(self) -> None:
        """End the process."""
        self.is_cancelled = True
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended by itself
                self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        """Cancel who follows, once: asked again it would not wait until the process is gone."""
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()


class BacktestService:
    """
    The backtests of one daemon; `run` works until it is cancelled.

    own      the daemon's configuration
    folder   of the jobs, in the state directory
    now_ms   the machine's clock
    command  that is started with a job's folder as its argument
    """

    def __init__(
        self, own: Config, folder: Path, now_ms: Callable[[], int], command: Sequence[str] = COMMAND
    ) -> None:
        self._own, self._settings, self._now_ms = own, own.backtests, now_ms
        self._jobs, self._command = JobFolder(folder), command
        self._kept: dict[int, KeptJob] = {kept.job.number: kept for kept in self._jobs.load(now_ms())}
        self._processes: dict[int, _Process] = {}
        self._is_due = asyncio.Event()
        self._turn = asyncio.Lock()  # what is asked for is decided one after the other

    def jobs(self) -> BacktestJobs:
        """Return the jobs that are kept, newest first, as many as an answer holds."""
        newest_first = [kept.job for _, kept in sorted(self._kept.items(), reverse=True)]
        told, size = [], 0
        for job in newest_first:
            size += len(job.model_dump_json().encode())
            if size > _LIST_BYTES:
                break
            told.append(job)
        return BacktestJobs(jobs=tuple(told), older=len(newest_first) - len(told))

    def choices(self) -> BacktestChoices:
        """Return what may be asked for; it reads the daemon's store of tapes."""
        return choices_of(self._own)

    def job(self, number: int) -> BacktestJob:
        """Return a job, or raise NoSuchBacktest."""
        return self._found(number).job

    def result_folder(self, number: int) -> Path:
        """Return the result folder of a job that is done, or raise NoSuchBacktest."""
        job = self.job(number)
        if job.state is not BacktestState.DONE:
            raise NoSuchBacktest(f"backtest {number} is {job.state.value} and has no result")
        return self._jobs.place(number) / RESULT

    async def start(self, name: str, values: Mapping[str, Any], key: str | None = None) -> BacktestJob:
        """
        Let a backtest wait for its turn and return it, or the one that was asked for with this key before.

        Raises ConfigError for what must not be asked, QueueFull, and OtherRequest for a key that came with something else.
        """
        async with self._turn:
            kept, config = await asyncio.to_thread(checked, values, self._own)
            text = json.dumps([name, values], sort_keys=True)
            request = hashlib.sha256(text.encode()).hexdigest()
            before = next((one for one in self._kept.values() if key and one.key == key), None)
            if before is not None:
                if before.request != request:
                    raise OtherRequest("something else was asked with this key; take another one")
                return before.job
            waiting = sum(one.job.state is BacktestState.QUEUED for one in self._kept.values())
            if waiting >= self._settings.queue:
                raise QueueFull(f"{waiting} backtests wait already; cancel one, or ask again later")
            job = BacktestJob(
                number=max([self._jobs.newest(), *self._kept]) + 1,
                name=name,
                strategy=config.strategy.name,
                tapes=config.data.tapes,
                state=BacktestState.QUEUED,
                created_ms=self._now_ms(),
            )
            await asyncio.to_thread(
                self._jobs.save_request,
                job.number,
                {"config": kept, "memory_limit_mb": self._settings.memory_limit_mb},
            )
            await self._put(KeptJob(job, key or "", request))
            self._is_due.set()
            return job

    async def cancel(self, number: int) -> BacktestJob:
        """Cancel a job that waits or runs, and return it; raises DataError for one that has ended."""
        async with self._turn:
            kept = self._found(number)
            if not kept.is_open:
                raise DataError(f"backtest {number} is {kept.job.state.value} already")
            process = self._processes.get(number)
            if process is not None:
                process.cancel()
                return kept.job
            # Told before it is written, so that its turn cannot come meanwhile.
            ended = kept.job.model_copy(update={"state": BacktestState.CANCELLED})
            self._kept[number] = kept._replace(job=ended)
            return await self._end(number, ended.state, "it was cancelled before its turn")

    async def run(self) -> None:
        """Run what waits, oldest first, so many at once."""
        with ThreadPoolExecutor(self._settings.at_once, "backtest") as threads:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._is_due.clear()
                    waiting = [
                        number
                        for number, kept in sorted(self._kept.items())
                        if kept.job.state is BacktestState.QUEUED and number not in self._processes
                    ]
                    for number in waiting[: self._settings.at_once - len(self._processes)]:
                        self._processes[number] = self._process(number)
                        group.create_task(self._work(number, threads), name=f"backtest {number}")
                    await self._is_due.wait()

    def _process(self, number: int) -> _Process:
        return _Process(
            self._jobs.place(number),
            self._settings.time_limit_s,
            lambda event: self._hear(number, event),
            self._command,
        )

    async def _work(self, number: int, threads: ThreadPoolExecutor) -> None:
        """Run one job to its end, whatever that is."""
        process = self._processes[number]
        try:
            await self._change(number, state=BacktestState.RUNNING, started_ms=self._now_ms())
            running = asyncio.get_running_loop().run_in_executor(threads, process.run)
            ended = await asyncio.shield(running)
            if ended is None:
                await self._end(number, BacktestState.CANCELLED, "it was cancelled")
            elif ended.outcome == "done":
                found = await asyncio.to_thread(self._found_by, number, ended.sha256)
                if found:
                    await self._end(number, BacktestState.DONE, "", **found)
                else:
                    reason = "its result is not the one that it announced"
                    await self._end(number, BacktestState.FAILED, reason)
            else:
                await self._end(number, BacktestState(ended.outcome), ended.reason)
        except asyncio.CancelledError:
            process.cancel()  # the pool of threads waits for it
            kept = self._kept.get(number)
            if kept is not None and kept.is_open:  # not only what it left to be removed
                self._kept[number] = interrupted(kept, self._now_ms())
                with contextlib.suppress(DataError):  # a full disk: the next start calls it so, too
                    self._jobs.save(self._kept[number])
            raise
        except (DataError, OSError, ValueError, KeyError) as error:
            # A full disk: the daemon trades on, and the next start calls the job interrupted.
            failed = {"state": BacktestState.FAILED, "reason": str(error), "ended_ms": self._now_ms()}
            self._kept[number] = self._found(number)._replace(job=self.job(number).model_copy(update=failed))
        finally:
            del self._processes[number]
            self._is_due.set()

    def _found_by(self, number: int, sha256: str) -> dict[str, Any]:
        """Return digest and first figures of a result, nothing where it is not the one that was announced."""
        data = (self._jobs.place(number) / RESULT / "result.json").read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            return {}
        summary = json.loads(data)
        metrics = summary.get("metrics", {})
        figures = {name: metrics[name] for name in _FIGURES if name in metrics}
        return {"digest": str(summary["digest"]), "figures": figures}

    def _hear(self, number: int, event: dict[str, Any]) -> None:
        """Take what a process says of how far it is; it is told, and not written down."""
        kept = self._kept.get(number)
        if kept is None or event.get("event") != "progress":
            return
        with contextlib.suppress(KeyError, TypeError, ValueError):
            told = {
                "step": str(event["step"])[:_STEP_CHARACTERS],
                "done": int(event["done"]),
                "total": int(event["total"]),
            }
            self._kept[number] = kept._replace(job=kept.job.model_copy(update=told))

    async def _end(self, number: int, state: BacktestState, reason: str, **found: Any) -> BacktestJob:
        """Write down how a job ended, and remove the oldest that have ended where there are too many."""
        job = await self._change(number, state=state, reason=reason, ended_ms=self._now_ms(), **found)
        ended = [one for one, kept in sorted(self._kept.items()) if not kept.is_open]
        gone = ended[: -self._settings.keep]
        for oldest in gone:
            del self._kept[oldest]  # at once: another one may end while files are removed
        for oldest in gone:
            await asyncio.to_thread(self._jobs.remove, oldest)
        return job

    async def _change(self, number: int, **values: Any) -> BacktestJob:
        kept = self._found(number)
        changed = kept._replace(job=kept.job.model_copy(update=values))
        await self._put(changed)
        return changed.job

    async def _put(self, kept: KeptJob) -> None:
        """Write a job down, and then tell it."""
        await asyncio.to_thread(self._jobs.save, kept)
        self._kept[kept.job.number] = kept

    def _found(self, number: int) -> KeptJob:
        kept = self._kept.get(number)
        if kept is None:
            raise NoSuchBacktest(
                f"there is no backtest {number}; `papertape ctl backtest list` has those that are kept"
            )
        return kept
