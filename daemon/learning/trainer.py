"""How the daemon has a model trained: what is asked, who answers, and the process that does it."""

import asyncio
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.jobs.runner import answered
from papertape.replay.learning.policy import Shown
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.runtime.process import command_of
from papertape.replay.runtime.worker import START_GRACE_S, OnEvent, follow

REQUEST: Final = "request.json"
CHAMPION: Final = "asked.safetensors"
LAST: Final = "asked_last.safetensors"
_LEARNER: Final = command_of("papertape.daemon.learning.worker")


class TrainingRequest(NamedTuple):
    """
    One attempt that is to be made.

    number                     in the journal
    due_ms, effective_ms       see `papertape.replay.learning.attempt.Attempt`
    champion, champion_version the model in force, empty and 0 for none
    last                       the newest model that was trained before, and what its recipe had shown
    """

    number: int
    due_ms: int
    effective_ms: int
    trigger: str
    champion: bytes
    champion_version: int
    last: Shown | None = None


class Trainer(Protocol):
    """Somebody who makes attempts; whatever goes wrong with one is an outcome, not an exception."""

    async def attempt(self, request: TrainingRequest) -> Attempt:
        """Return what came of an attempt."""


@dataclass(slots=True)
class ProcessTrainer:
    """
    Has each attempt made by a process of its own, which reads the journal, trains, and answers by files.

    state  directory with the journal; jobs have their folders in `training/` there
    store  folder of tapes: what is known of the markets from before the journal; None: the default one
    """

    state: Path
    settings: LearningSettings
    store: str | None = None
    on_event: OnEvent | None = None
    command: tuple[str, ...] = _LEARNER

    async def attempt(self, request: TrainingRequest) -> Attempt:
        """Run the process and return what came of it; a job that a kill cut off goes on where it was."""
        folder = self.state / "training" / f"{request.number:06d}"
        await asyncio.to_thread(self._prepare, folder, request)
        limit_s = self.settings.time_limit_s + START_GRACE_S
        ended = await follow(folder, limit_s, self.on_event, self.command)
        blank = Attempt.lost(self.settings, request.due_ms, request.trigger, request.champion_version)
        return await answered(folder, replace(blank, effective_ms=request.effective_ms), ended)

    def _prepare(self, folder: Path, request: TrainingRequest) -> None:
        """Write down what is asked, and remove what earlier attempts left, or this one where something else was asked."""
        values: dict[str, Any] = request._asdict()
        del values["champion"], values["last"]
        if request.last is not None:
            values["last"] = {"due_ms": request.last.due_ms, "recipe": dict(request.last.recipe)}
        values |= {"state": str(self.state.resolve()), "store": self.store, "settings": asdict(self.settings)}
        text = json.dumps(values)
        for other in folder.parent.glob("*"):
            if other != folder or not _asks(folder, text, request.champion):
                shutil.rmtree(other, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CHAMPION).write_bytes(request.champion)
        if request.last is not None:
            (folder / LAST).write_bytes(request.last.artefact)
        (folder / REQUEST).write_text(text, encoding="utf-8")


def _asks(folder: Path, text: str, champion: bytes) -> bool:
    """Return whether a folder is of an attempt that was asked for with these words: what it has finished is its own."""
    try:
        asked = (folder / REQUEST).read_text(encoding="utf-8")
        return asked == text and (folder / CHAMPION).read_bytes() == champion
    except (OSError, ValueError):
        return False


@dataclass(slots=True)
class ThreadTrainer:
    """Asks another trainer in an event loop of its own, whose seconds are the machine's whatever the caller's are."""

    inner: Trainer

    async def attempt(self, request: TrainingRequest) -> Attempt:
        """Return what the other one says; cancelled, it is cancelled too."""
        running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Attempt]]] = []

        async def work() -> Attempt:
            task = asyncio.ensure_future(self.inner.attempt(request))
            running.append((asyncio.get_running_loop(), task))
            return await task

        try:
            return await asyncio.to_thread(lambda: asyncio.run(work()))
        except asyncio.CancelledError:
            for loop, task in running:
                loop.call_soon_threadsafe(task.cancel)
            raise
