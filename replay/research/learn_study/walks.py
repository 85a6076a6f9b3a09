"""Retrainings in this process, of which every model is trained once: no policy changes how models are made."""

import hashlib
import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.model.artefact import Artefact
from papertape.engine.model.dataset import Dataset
from papertape.replay.learning.attempt import Learned
from papertape.replay.learning.challenge import OnEpoch
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.jobs.worker import limited_memory
from papertape.replay.learning.policy import recipe_digest
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.learning.walk_forward import walk

_KEPT: Final = 4_096  # models of one recipe on one tape


class WalkedJob(NamedTuple):
    """One walk: the job, and what came of it."""

    job: TrainingJob
    learned: Learned


class Walks:
    """Goes through retrainings where it is called; `newest` is the walk before, None where nothing was due."""

    def __init__(self) -> None:
        self.newest: WalkedJob | None = None
        self._models: dict[str, bytes] = {}

    def __call__(self, job: TrainingJob) -> Learned:
        """Return what comes of every retraining of a job."""
        started_s = time.monotonic()
        done = walk(job, self._train)
        learned = Learned(*done, time.monotonic() - started_s)
        self.newest = WalkedJob(job, learned)
        return learned

    def forget(self) -> None:
        """Let go of all models: what follows is another recipe, or another tape."""
        self.newest = None
        self._models.clear()

    def _train(
        self,
        rows: Dataset,
        settings: LearningSettings,
        kind: str,
        parent: Artefact | None,
        on_epoch: OnEpoch | None,
        checkpoint: Path | None,
    ) -> bytes:
        """Return the model that was trained on these rows before, or train it within the memory that it may take."""
        key = _key(rows, settings, kind)
        if parent is None and key in self._models:
            return self._models[key]
        with limited_memory(settings.memory_limit_mb):
            data = train_model(rows, settings, kind, parent, on_epoch, checkpoint)
        if parent is None:  # with one it depends on what was let in before
            if len(self._models) >= _KEPT:
                self._models.clear()
            self._models[key] = data
        return data


def _key(rows: Dataset, settings: LearningSettings, kind: str) -> str:
    """Return a name for a model by all that it is made of."""
    digest = hashlib.sha256(f"{kind} {recipe_digest(settings)}".encode())
    for name, values in rows._asdict().items():
        digest.update(name.encode())
        digest.update(values.tobytes() if isinstance(values, np.ndarray) else repr(values).encode())
    return digest.hexdigest()
