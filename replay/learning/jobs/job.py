"""
What a training process is given and what it gives back: a folder.

    job.json              what is to be done, plain values
    rows.npz              the rows to learn from, no pickles
    champion.safetensors  the model in force, if there is one; last.safetensors: the newest that its recipe has trained
    attempt-0001.json     what came of each attempt, written as soon as it is over: a job that was cut off goes on behind
    attempt-0001.safetensors   the last whole one; its challenger; and the logistic model of the same rows
    attempt-0001.baseline.safetensors
    checkpoint/           of the training under way
    result.json           the names and hashes of all that belongs to the result

Every file appears under its name whole or not at all. The sha256 of result.json comes over the pipe, so that a result
is that of the process which was asked.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.model import read_artefact
from papertape.engine.model.dataset import Dataset
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.policy import Shown
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.runtime.files import write_whole
from papertape.replay.runtime.process import command_of

# The process that does a job; the folder is its one argument.
CHILD: Final = command_of("papertape.replay.learning.jobs.worker")

FORMAT: Final = 1
_MODELS: Final = ("safetensors", "baseline.safetensors")
_ARRAYS: Final = ("time_ms", "x", "open", "high", "low", "close", "atr")


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """
    Work for a training process.

    due_ms     when models are due: one time for a single attempt, every time of a replay for a walk
    rows       all that may be looked at; no attempt looks at what closed after it was due
    trigger    of a single attempt; those of a walk are scheduled, and drift may add more
    is_walk    go on to the end of the rows: watch the champion, and measure what the models would have said
    champion   the model in force before the first attempt, and its version; 0 = none
    last       the newest model that the recipe has trained before the first attempt
    lost       attempts that an earlier process did not come back from: due time → (outcome, reason)
    """

    settings: LearningSettings
    due_ms: tuple[int, ...]
    rows: Dataset
    trigger: str = "schedule"
    is_walk: bool = False
    champion: bytes = b""
    champion_version: int = 0
    last: Shown | None = None
    lost: dict[int, tuple[str, str]] = field(default_factory=dict)


def write_job(folder: Path, job: TrainingJob) -> None:
    """Write a job into its folder, or raise DataError; what an earlier process finished there stays."""
    rows = job.rows
    arrays = {name: getattr(rows, name) for name in _ARRAYS}
    if rows.side is not None:
        arrays["side"] = rows.side
    write_whole(folder / "rows.npz", lambda file: np.savez(file, **arrays))
    if job.champion:
        _write(folder / "champion.safetensors", job.champion)
    last = {}
    if job.last is not None:
        _write(folder / "last.safetensors", job.last.artefact)
        last = {"due_ms": job.last.due_ms, "recipe": dict(job.last.recipe)}
    values = {
        "format": FORMAT,
        "settings": asdict(job.settings),
        "due_ms": job.due_ms,
        "trigger": job.trigger,
        "is_walk": job.is_walk,
        "champion_version": job.champion_version,
        "has_champion": bool(job.champion),
        "last": last,
        "lost": {str(due): list(lost) for due, lost in job.lost.items()},
        "rows": {
            "symbols": rows.symbols,
            "columns": rows.columns,
            "timeframe": rows.timeframe,
            "definitions": dict(rows.definitions),
        },
    }
    write_json(folder / "job.json", values)


def read_job(folder: Path) -> TrainingJob:
    """Return the job of a folder, or raise DataError."""
    values = _read_json(folder / "job.json")
    try:
        if values["format"] != FORMAT:
            raise DataError(f"{folder}: job format {values['format']!r} is not {FORMAT}")
        rows = values["rows"]
        with np.load(folder / "rows.npz", allow_pickle=False) as arrays:
            dataset = Dataset(
                tuple(rows["symbols"]),
                tuple(rows["columns"]),
                rows["timeframe"],
                **{name: arrays[name] for name in _ARRAYS},
                definitions=rows["definitions"],
                side=arrays.get("side", None),
            )
        champion = folder / "champion.safetensors"
        return TrainingJob(
            LearningSettings.from_json(values["settings"]),
            tuple(values["due_ms"]),
            dataset,
            values["trigger"],
            values["is_walk"],
            champion.read_bytes() if values["has_champion"] else b"",
            values["champion_version"],
            _read_last(folder, values["last"]),
            {int(due): (lost[0], lost[1]) for due, lost in values["lost"].items()},
        )
    except (KeyError, TypeError, ValueError, OSError, BadZipFile) as error:
        raise DataError(f"{folder}: not a job that can be done: {error}") from error


def _read_last(folder: Path, values: dict[str, Any]) -> Shown | None:
    if not values:
        return None
    data = (folder / "last.safetensors").read_bytes()
    return Shown(int(values["due_ms"]), data, values["recipe"])


def write_attempt(folder: Path, number: int, attempt: Attempt) -> None:
    """Keep what came of an attempt; number: its place in the job."""
    for ending, data in zip(_MODELS, (attempt.artefact, attempt.baseline), strict=True):
        if data:
            _write(_path(folder, number, ending), data)
    write_json(_path(folder, number, "json"), attempt.to_json())


def read_attempt(folder: Path, number: int) -> Attempt | None:
    """Return a kept attempt, None when there is none, or raise DataError when it is damaged."""
    path = _path(folder, number, "json")
    if not path.exists():
        return None
    values = _read_json(path)
    try:
        if not values["record"]:
            return Attempt.from_json(values)
        models = [_path(folder, number, ending).read_bytes() for ending in _MODELS]
        for data in models:
            read_artefact(data)
        return Attempt.from_json(values, *models)
    except (KeyError, TypeError, OSError) as error:
        raise DataError(f"{path}: not an attempt: {error!r}") from error


def write_result(folder: Path, attempts: Sequence[Attempt], more: dict[str, Any]) -> str:
    """Write what belongs to the result and return its sha256."""
    names = []
    for number, attempt in enumerate(attempts):
        write_attempt(folder, number, attempt)
        names += [_path(folder, number, ending) for ending in ("json", *_MODELS)]
    files = {path.name: _sha256(path.read_bytes()) for path in names if path.exists()}
    values = {"format": FORMAT, "attempts": len(attempts), "files": files, **more}
    return write_json(folder / "result.json", values)


def read_result(folder: Path, sha256: str) -> tuple[list[Attempt], dict[str, Any]]:
    """Return the attempts of a finished job and what came with them, every file checked, or raise DataError."""
    path = folder / "result.json"
    try:
        if _sha256(path.read_bytes()) != sha256:
            raise DataError(f"{path}: it is not the result that the process announced")
        values = _read_json(path)
        for name, expected in values["files"].items():
            if _sha256((folder / name).read_bytes()) != expected:
                raise DataError(f"{folder / name}: it is not what the process wrote")
        found = [read_attempt(folder, number) for number in range(values["attempts"])]
    except (KeyError, TypeError, AttributeError, OSError) as error:
        raise DataError(f"{path}: not a result: {error!r}") from error
    attempts = [attempt for attempt in found if attempt is not None]
    if len(attempts) != len(found):
        raise DataError(f"{path}: {len(found) - len(attempts)} attempts are missing")
    return attempts, values


def write_json(path: Path, values: Any) -> str:
    """Write plain values as JSON and return the sha256 of the bytes."""
    data = json.dumps(values, indent=1, sort_keys=True, allow_nan=False).encode()
    _write(path, data)
    return _sha256(data)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: not a table")
    return values


def _write(path: Path, data: bytes) -> None:
    write_whole(path, lambda file: file.write(data))


def _path(folder: Path, number: int, ending: str) -> Path:
    return folder / f"attempt-{number + 1:04d}.{ending}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
