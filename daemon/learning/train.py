"""
Training by hand: a model from tapes, judged by the gate, into the store; for `papertape train` and for `papertape.train`.
"""

import contextlib
import hashlib
import html
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from inspect import signature
from pathlib import Path
from typing import Any, Final

import pandas as pd

from papertape.daemon.learning.model_store import ModelStore
from papertape.engine.errors import ConfigError, DataError
from papertape.replay.config import Config
from papertape.replay.front.arguments import configuration
from papertape.replay.front.data import Data, tapes_of
from papertape.replay.front.progress import Progress, watched
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.feasible import refuse_few_signals
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.runner import run_attempt
from papertape.replay.learning.learning_pass import lesson_of
from papertape.replay.report.notebook import card
from papertape.replay.runtime.files import held_folder, remove_unheld, write_whole
from papertape.replay.runtime.sync import wait_for
from papertape.replay.runtime.worker import OnEvent
from papertape.replay.tapes.store import Tape

KEPT_DAYS: Final = 30  # in which a training that was cut off can be gone on with
_NEWEST: Final = "newest"  # in the folder of a training, once it has ended: the newest version before its own
_BASELINES: Final = ("logistic", "majority", "champion")


@dataclass(frozen=True, slots=True, repr=False)
class Training:
    """
    What came of a training.

    version      in the store; path: of its file
    is_promoted  whether it is the champion now; reason: what the gate decided, in one sentence
    metrics      `test_accuracy` and every other score on rows that it has not seen, each beside those of its baselines:
                 `test_accuracy_logistic`, `test_accuracy_majority`, and `_champion` where there was one
    scores       the same as a table, one row per contender
    gate         one row per criterion: whether it is met, and its numbers in words
    attempt      everything there is to know
    """

    version: int
    path: Path
    is_promoted: bool
    reason: str
    attempt: Attempt = field(repr=False)

    @property
    def scores(self) -> pd.DataFrame:
        """Return one row of scores per contender, all on the same rows."""
        return pd.DataFrame(self.attempt.gate["contenders"]).T

    @property
    def gate(self) -> pd.DataFrame:
        """Return the gate's criteria."""
        return pd.DataFrame(self.attempt.gate["criteria"])

    @property
    def metrics(self) -> dict[str, float]:
        """Return the scores by name, the model's own and those of its baselines."""
        contenders = self.attempt.gate["contenders"]
        named = {"": contenders["challenger"]}
        named |= {f"_{name}": contenders[name] for name in _BASELINES if name in contenders}
        return {
            f"test_{score}{suffix}": value
            for score in contenders["challenger"]
            for suffix, scores in named.items()
            if (value := scores.get(score)) is not None
        }

    def __repr__(self) -> str:
        scores = self.metrics
        beside = ", ".join(
            f"{name} {scores[f'test_accuracy_{name}']:.3f}"
            for name in _BASELINES
            if f"test_accuracy_{name}" in scores
        )
        return (
            f"<Training {self.attempt.kind} version {self.version}, "
            f"{'promoted' if self.is_promoted else 'not promoted'}: test accuracy "
            f"{scores['test_accuracy']:.3f} ({beside})>"
        )

    def _repr_html_(self) -> str:
        shown = self.scores.map(lambda value: "–" if value is None else f"{value:,.4g}")
        criteria = "".join(
            f"<li>{'✓' if one['is_passed'] else '✗'} {html.escape(str(one['told']))}</li>"
            for one in self.attempt.gate["criteria"]
        )
        title = f"{self.attempt.kind}, version {self.version}"
        return card(title, self.reason, f"{shown.to_html()}<ul>{criteria}</ul>")


def train(
    data: Data = None,
    start: Any = None,
    end: Any = None,
    timeframe: str | None = None,
    *,
    symbol: str | Sequence[str] | None = None,
    model: str | None = None,
    days_back: float | None = None,
    epochs: int | None = None,
    use_smc: bool | None = None,
    venue: str | None = None,
    store: ModelStore | str | Path | None = None,
    promote: bool = True,
    config: Config | str | Path | None = None,
    progress: bool | Progress | None = None,
    **sections: Mapping[str, Any],
) -> Training:
    """
    Train a model, judge it against the champion and its baselines on rows that none has seen, and keep it.

    data, start, end, timeframe, symbol, venue, config, progress   as for `backtest`
    model      cnn_lstm, lstm, transformer, lightgbm or logistic
    days_back  days of rows that it learns from (90); the newest `learning.gate_days` after them are kept to judge it by
    epochs     at most (50); it stops early
    store      of models: a ModelStore or its folder; default: $PAPERTAPE_MODELS or models/
    promote    whether a model that passes the gate becomes the champion

    Raises ConfigError or DataError, with one sentence each.
    """
    given = {
        "start": ("data.start", start),
        "end": ("data.end", end),
        "timeframe": ("data.timeframe", timeframe),
        "model": ("signals.model", model),
        "days_back": ("learning.window_days", days_back),
        "epochs": ("learning.epochs", epochs),
        "use_smc": ("signals.use_smc", use_smc),
    }
    names = [name for name in signature(train).parameters if name != "sections"]
    settings = configuration("train", names, given, sections, config)
    tapes = tapes_of(data, settings, symbol, venue)
    models = store if isinstance(store, ModelStore) else ModelStore(store)
    with watched(progress) as on_progress:
        attempt, version = train_attempt(models, settings, tapes, on_progress, promote)
    is_champion = attempt.is_promoted and promote
    return Training(version, models.path(version), is_champion, attempt.reason, attempt)


def train_attempt(
    models: ModelStore,
    config: Config,
    tapes: Sequence[Tape],
    on_progress: Progress | None,
    is_promoting: bool,
) -> tuple[Attempt, int]:
    """
    Return what came of a training, and the version that its model is kept as; all in the configured span of the tapes is the past.

    It goes on in the folder of an earlier one of the same that was cut off; DataError while another process is at it.
    """
    if not config.signals.use_ml:
        raise ConfigError("signals.use_ml: it is off; a model would have nothing to read")
    settings, rows = lesson_of(config, tapes, on_progress)
    settings = replace(settings, policy="model")  # one model alone is judged by the gate
    version = models.champion()
    champion = models.read(version) if version else b""
    due_ms = int(rows.time_ms[-1])
    refuse_few_signals(rows, (due_ms,), settings)
    job = TrainingJob(settings, (due_ms,), rows, "manual", champion=champion, champion_version=version)
    folder = models.folder / ".training" / _digest(job)
    with held_folder(folder, "another process is at this training; wait for its end"):
        attempt = wait_for(run_attempt(folder, job, _epochs(on_progress)))
        # Before what it has come to is removed: a store that takes no model at the moment may take it when it is asked again.
        version = _keep(models, folder, attempt, is_promoting) if attempt.artefact else 0
        shutil.rmtree(folder, ignore_errors=True)
    _forget_unused(folder.parent)
    if not version:
        raise DataError(attempt.reason)
    return attempt, version


def _forget_unused(trainings: Path) -> None:
    """Remove what was cut off KEPT_DAYS ago and not gone on with since, and the folder of all where nothing is left."""
    oldest_s = time.time() - KEPT_DAYS * 86_400
    with contextlib.suppress(OSError):  # another one ends at the same time
        for other in trainings.iterdir():
            if other.stat().st_mtime < oldest_s:
                remove_unheld(other)
        trainings.rmdir()


def _digest(job: TrainingJob) -> str:
    """Return a name for a job that changes with everything it depends on."""
    found = hashlib.sha256(json.dumps(asdict(job.settings), sort_keys=True).encode())
    for value in (job.rows.x, job.rows.close, job.rows.time_ms):
        found.update(value.tobytes())
    found.update(job.champion)
    return found.hexdigest()[:16]


def _epochs(on_progress: Progress | None) -> OnEvent:
    """Return what turns the lines of the training process into a bar of epochs."""

    def heard(event: dict[str, Any]) -> None:
        epoch, epochs = event.get("epoch"), event.get("epochs")
        if on_progress is not None and isinstance(epoch, int) and isinstance(epochs, int):
            on_progress("epochs", epoch, epochs)

    return heard


def _keep(models: ModelStore, folder: Path, attempt: Attempt, is_promoting: bool) -> int:
    """Add a trained model to the store and promote it if it may; return its version, also of one that was added before a kill."""
    newest = folder / _NEWEST
    if not newest.exists():
        text = str(max(models.versions(), default=0))
        write_whole(newest, lambda file: file.write(text.encode()))
    version = models.add_once(attempt.artefact, after=int(newest.read_text()))
    if attempt.is_promoted and is_promoting:
        models.promote(version)
    return version
