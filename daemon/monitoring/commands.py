"""
An operator's commands, each carried out once however often it is asked for with the same key.

A client that hears no answer cannot know whether its command was carried out; it asks again with the same key. The key is
journalled in the transaction that accepts the command, so there is no moment at which one is kept and the other is not.
A key's command goes on when whoever asked has gone: who asks again waits for the same one.
"""

import asyncio
import hashlib
from typing import Any, NamedTuple

import structlog

from papertape.daemon.journal import Work
from papertape.daemon.monitoring.routes import Refused
from papertape.daemon.monitoring.schemas import KEY_HEADER, CommandDone, CommandName, CommandRequest
from papertape.daemon.runtime.command_keys import keep_answer, kept_answer
from papertape.daemon.runtime.daemon import RunningDaemon
from papertape.engine.events import Action


class _Begun(NamedTuple):
    """A command that is being carried out, and what was asked."""

    request: str
    task: "asyncio.Task[CommandDone]"


class Commands:
    """Carries out what an operator asks of a daemon."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self._daemon = daemon
        self._begun: dict[str, _Begun] = {}
        self._log = structlog.get_logger("daemon")

    async def carry_out(
        self, name: CommandName, asked: CommandRequest, key: str | None = None
    ) -> CommandDone:
        """
        Return what came of a command, or of the one that was asked for with this key before.

        Raises Refused for a key with which something else was asked, PapertapeError for what the daemon refuses; that is not kept.
        """
        if key is None:
            return await self._do(name, asked)
        request = hashlib.sha256(f"{name.value} {asked.model_dump_json()}".encode()).hexdigest()
        begun = self._begun.get(key)
        if begun is None:
            task = asyncio.create_task(self._once(name, asked, key, request), name="command")
            begun = self._begun[key] = _Begun(request, task)
            task.add_done_callback(lambda _: self._forget(key))
        _refuse_another(begun.request, request)
        return await asyncio.shield(begun.task)

    async def _once(self, name: CommandName, asked: CommandRequest, key: str, request: str) -> CommandDone:
        """Return what is kept of a key, or carry its command out and keep it."""
        daemon = self._daemon
        kept = await daemon.writer.submit(lambda journal: kept_answer(journal, key))
        if kept is not None:
            _refuse_another(kept.request, request)
            return CommandDone.model_validate_json(kept.answer)
        if name not in (CommandName.SNAPSHOT, CommandName.RETRAIN):
            beside = keep_answer(
                key,
                request,
                lambda journal: CommandDone(command=name, sequence=journal.sequence).model_dump_json(),
                daemon.now_ms(),
            )
            return await self._do(name, asked, beside)
        done = await self._do(name, asked)
        text = done.model_dump_json()
        await daemon.writer.submit(keep_answer(key, request, lambda _: text, daemon.now_ms()))
        return done

    async def _do(
        self, name: CommandName, asked: CommandRequest, beside: Work[Any] | None = None
    ) -> CommandDone:
        daemon = self._daemon
        if name is CommandName.SNAPSHOT:
            return CommandDone(command=name, detail=await daemon.snapshot())
        if name is CommandName.RETRAIN:
            return CommandDone(command=name, detail=daemon.retrain())
        sequence = await daemon.command(Action(name.value), asked.reason, asked.value, beside)
        self._log.info("command", action=name.value, sequence=sequence, reason=asked.reason)
        return CommandDone(command=name, sequence=sequence)

    def _forget(self, key: str) -> None:
        """Let go of a command that has ended; nobody may have waited for its error."""
        task = self._begun.pop(key).task
        if not task.cancelled():
            task.exception()


def _refuse_another(before: str, now: str) -> None:
    if before != now:
        raise Refused(422, f"{KEY_HEADER}: something else was asked with this key; take another one for this")
