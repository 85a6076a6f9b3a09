"""
The audit: a process beside the daemon that steps the journal again and says whether it comes to the same.

`python -m papertape.daemon.runtime.audit STATE` reads the journal, never writes, runs at low priority, and ends with its parent. For
each line {"sequence": n, "digest": d, "sha256": h} it steps on to input n, compares every record, the digest and the
whole state on the way, and answers with one line. It keeps its engine, so that a day's audits cost what a day's
candles cost. Before its first answer it checks the chain of every input from the very first on, archived ones too.
"""

import asyncio
import hashlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from papertape.daemon.journal import Journal
from papertape.daemon.journal.archive import all_inputs
from papertape.daemon.runtime.restep import Again, Difference
from papertape.engine.errors import DataError, InvariantError, PapertapeError
from papertape.replay.runtime.loops import freezing
from papertape.replay.runtime.process import child_environment, end_with_parent, how_it_ended, step_back

_ANSWER_S: Final = 600.0  # the first answer steps everything since the oldest snapshot
_END_S: Final = 5.0


class AuditResult(NamedTuple):
    """What one audit came to; `difference` is empty when all is equal."""

    sequence: int
    digest_live: str
    digest_again: str
    difference: str

    @property
    def is_equal(self) -> bool:
        """Return whether nothing differs."""
        return not self.difference


def last_finding(journal: Journal) -> AuditResult | None:
    """Return what the newest audit of a journal came to, None before the first."""
    found = journal.all(
        "SELECT sequence, digest_live, digest_again, detail FROM audits ORDER BY id DESC LIMIT 1"
    )
    return AuditResult(*found[0]) if found else None


class Auditor:
    """The daemon's side: one child process, started at the first audit and again should it have died."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._process: asyncio.subprocess.Process | None = None

    async def check(self, sequence: int, digest: str, sha256: str) -> AuditResult:
        """
        Return what the child finds at input `sequence`.

        Raises DataError when it cannot say, with its reason.
        """
        process = await self._child()
        assert process.stdin is not None
        assert process.stdout is not None
        question = {"sequence": sequence, "digest": digest, "sha256": sha256}
        try:
            async with asyncio.timeout(_ANSWER_S):
                process.stdin.write(json.dumps(question).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
        except TimeoutError as error:
            await self.close()
            raise DataError(f"audit: no answer within {_ANSWER_S:g} s") from error
        except ConnectionError:
            line = b""
        if not line:
            how = "closed its output"
            with suppress(TimeoutError):
                how = how_it_ended(await asyncio.wait_for(process.wait(), _END_S))
            await self.close()
            raise DataError(f"audit: the process {how}; it is started again next time")
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            await self.close()
            raise DataError(f"audit: {answer['refused']}")
        finding = AuditResult(**answer)
        if not finding.is_equal:
            await self.close()  # its engine has left the way; the next audit begins anew
        return finding

    async def _child(self) -> asyncio.subprocess.Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "papertape.daemon.runtime.audit",
                str(self._state),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=child_environment(),
                start_new_session=True,  # an interrupt at the terminal is ours to pass on
            )
        return self._process

    async def close(self) -> None:
        """End the child, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with suppress(ProcessLookupError):
            process.kill()
        # A killed process ends; one that hangs in the kernel must not hold up or fail whoever ends the daemon.
        with freezing()(), suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await process.wait()
        process.stdin.close()


def answer(again: Again, question: dict[str, Any]) -> AuditResult:
    """Step on to where the daemon was and return what differs."""
    sequence, digest = question["sequence"], question["digest"]
    difference: Difference | None = None
    for found in again.advance(sequence):
        if isinstance(found, Difference):
            difference = found
    mine = again.engine.digest
    told = str(difference) if difference is not None else ""
    if difference is None and again.sequence != sequence:
        told = f"the journal ends at input {again.sequence}, the daemon is at {sequence}"
    elif difference is None and mine != digest:
        told = f"input {sequence}, digest: the daemon has {digest}, stepped again it is {mine}"
    elif difference is None and hashlib.sha256(again.engine.snapshot()).hexdigest() != question["sha256"]:
        told = f"input {sequence}: the records are equal, the state of the engine is not"
    return AuditResult(sequence, digest, mine, told)


def broken_chain(state: Path, journal: Journal, last: int) -> str:
    """Return which of the inputs up to `last` is missing or was changed, in a sentence, or nothing."""
    try:
        for found in all_inputs(state, journal):
            if found.sequence >= last:
                break
    except InvariantError as error:
        return str(error)
    return ""


def main(state: Path) -> None:
    """Answer questions until the input ends."""
    step_back()
    end_with_parent()
    try:
        with Journal.read(state) as journal:
            again = Again(state, journal)
            again.start_from_snapshot()
            is_checked = False
            for line in sys.stdin:
                question = json.loads(line)
                broken = "" if is_checked else broken_chain(state, journal, question["sequence"])
                is_checked = True
                if broken:
                    _say(AuditResult(question["sequence"], question["digest"], "", broken)._asdict())
                    continue
                _say(answer(again, question)._asdict())
    except BrokenPipeError:
        os._exit(0)  # nobody listens any more; flushing at the end would say so once more
    except PapertapeError as error:
        _say({"refused": str(error)})
        sys.exit(error.exit_code)


def _say(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
