"""Commands with a key: one command however often it is asked for, also after a kill, and nothing else under that key."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.app import serve
from papertape.daemon.journal import Journal
from papertape.daemon.monitoring.commands import Commands
from papertape.daemon.monitoring.routes import Refused
from papertape.daemon.monitoring.schemas import CommandName, CommandRequest
from papertape.daemon.runtime import command_keys
from papertape.daemon.runtime.command_keys import keep_answer, kept_answer
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.engine.errors import DataError
from tests.support.journals import candles, identity, recorded

ROWS = candles(8)
PLAIN = CommandRequest()
Act = Callable[[RunningDaemon], Awaitable[Any]]


async def serving(state: Path, act: Act, rows: Any = ROWS, **sections: Any) -> Any:
    """Run a daemon over a few candles, do something to it before the fifth instant, and return what that returned."""
    hooks, found = Hooks(), list[Any]()
    running: list[RunningDaemon] = []

    async def hold(instant: int) -> None:
        if instant == 4:
            found.append(await act(running[0]))

    hooks.on_ready = running.append
    about = identity(daemon={"state": str(state)}, **sections)
    opened = recorded(rows, 4, hold=hold)
    await asyncio.wait_for(serve(about, opened, hooks, is_virtual=True), 600)
    return found[0]


def commanded(state: Path) -> list[int]:
    """Return the numbers of the commands that a journal holds."""
    with Journal.read(state) as journal:
        return [found.sequence for found in journal.inputs() if found.kind == "command"]


async def refusal(asked: Awaitable[Any]) -> int:
    with pytest.raises(Refused, match="something else was asked with this key") as told:
        await asked
    return told.value.status


@pytest.mark.asyncio
async def test_a_key_is_one_command_also_after_a_restart(tmp_path: Path) -> None:
    async def first(daemon: RunningDaemon) -> Any:
        ask = Commands(daemon).carry_out
        done = await ask(CommandName.PAUSE, CommandRequest(reason="a"), "k")
        assert await ask(CommandName.PAUSE, CommandRequest(reason="a"), "k") == done
        assert await refusal(ask(CommandName.PAUSE, CommandRequest(reason="b"), "k")) == 422
        assert await refusal(ask(CommandName.RESUME, CommandRequest(reason="a"), "k")) == 422
        other = await ask(CommandName.PAUSE, CommandRequest(reason="a"), "K")
        return done, other

    async def later(daemon: RunningDaemon) -> Any:
        ask = Commands(daemon).carry_out
        assert await refusal(ask(CommandName.PAUSE, PLAIN, "k")) == 422
        return await ask(CommandName.PAUSE, CommandRequest(reason="a"), "k")

    done, other = await serving(tmp_path, first)
    # One input of four instants, then the two commands.
    assert (done.sequence, other.sequence) == (2, 3)
    again = await serving(tmp_path, later, candles(16))

    assert again == done
    assert commanded(tmp_path) == [2, 3]


@pytest.mark.asyncio
async def test_who_asks_again_while_it_is_carried_out_waits_for_the_same_command(tmp_path: Path) -> None:
    async def act(daemon: RunningDaemon) -> Any:
        commands = Commands(daemon)
        asked = [asyncio.create_task(commands.carry_out(CommandName.FLATTEN, PLAIN, "k")) for _ in range(5)]
        await asyncio.sleep(0)
        asked[0].cancel()  # who asked first has gone; its command goes on
        another = commands.carry_out(CommandName.KILL, PLAIN, "k")
        assert await refusal(another) == 422
        return await asyncio.gather(*asked, return_exceptions=True)

    gone, *answers = await serving(tmp_path, act)

    assert isinstance(gone, asyncio.CancelledError)
    assert {answer.sequence for answer in answers} == {2}
    assert commanded(tmp_path) == [2]


@pytest.mark.asyncio
async def test_what_is_no_input_is_done_once_and_what_was_refused_is_not_kept(tmp_path: Path) -> None:
    async def act(daemon: RunningDaemon) -> Any:
        ask = Commands(daemon).carry_out
        taken = await ask(CommandName.SNAPSHOT, PLAIN, "s")
        await ask(CommandName.PAUSE, PLAIN)  # a later snapshot would be of input 2
        assert await ask(CommandName.SNAPSHOT, PLAIN, "s") == taken
        for _ in range(2):
            with pytest.raises(DataError, match="no model"):
                await ask(CommandName.RETRAIN, PLAIN, "r")
        return taken, await daemon.writer.submit(lambda journal: kept_answer(journal, "r"))

    no_model = {"use_ml": False, "use_smc": False}
    taken, kept = await serving(tmp_path, act, signals=no_model)

    assert taken.detail == "input 1"
    assert kept is None


def test_the_newest_keys_are_kept_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_keys, "KEPT", 3)
    with Journal.open(tmp_path, 0) as journal:
        for number in range(5):
            journal.commit([keep_answer(f"k{number}", "r", lambda _, n=number: f"a{n}", number)])

        kept = [kept_answer(journal, f"k{number}") for number in range(5)]

    assert kept == [None, None, ("r", "a2"), ("r", "a3"), ("r", "a4")]
