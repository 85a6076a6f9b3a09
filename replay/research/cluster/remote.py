"""What a worker of a cluster does: one trial, with the code, the tapes and the configuration that it was sent."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from papertape.engine.errors import DataError, PapertapeError
from papertape.replay.config import make_config
from papertape.replay.research.sweep.trial import TrialCall, TrialRunner
from papertape.replay.research.trials.holdout import Locks
from papertape.replay.research.trials.identity import code_digest
from papertape.replay.tapes.store import Tape, read_tape

_KEPT: Final = 2
_runners: OrderedDict[str, TrialRunner] = (
    OrderedDict()
)  # of this process: tapes and features stay for the next trial


def declared_code(config: str, named: Sequence[str] = ()) -> str:
    """Return the digest of the code that is here for a configuration and what else is named; nothing where it cannot be read."""
    try:
        return code_digest(make_config(json.loads(config)), named)
    except PapertapeError:
        return ""


def kept(packed: bytes) -> bytes:
    """Return what was sent, so that the cluster keeps it."""
    return packed


def run_trial(job: str, call: str, *packed: bytes) -> bytes:
    """
    Return the line of one trial.

    job     configuration, other code that trials name, digest of all that code, and the hashes of its tapes by what they are called
    call    number, changes, start; packed: the tapes' files

    Raises DataError where the code or a tape here is another.
    """
    if job not in _runners:
        while len(_runners) >= _KEPT:
            _runners.popitem(last=False)
        _runners[job] = _runner(job, packed)
    return _runners[job].run(*TrialCall.of_json(call)).line()


def _runner(job: str, packed: tuple[bytes, ...]) -> TrialRunner:
    asked = json.loads(job)
    config = make_config(json.loads(asked["config"]))
    if (code := code_digest(config, asked["named"])) != asked["code"]:
        raise DataError(f"the code of this worker is {code[:12]} and not {asked['code'][:12]}")
    tapes = {tape.sha256: tape for tape in map(_unpacked, packed)}
    # What is held out is the business of whoever asked: it has looked before.
    runner = TrialRunner(config, (), Locks(()))
    for names, hashes in asked["tapes"]:
        runner.give(tuple(names), [tapes[one] for one in hashes])
    return runner


def _unpacked(packed: bytes) -> Tape:
    """Return a tape, its hash verified."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tape.parquet"
        path.write_bytes(packed)
        return read_tape(path)
