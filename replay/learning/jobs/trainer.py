"""From settings to a trained model, in the process that trains."""

import time
from pathlib import Path

from papertape.engine.model.artefact import Artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.training.labels import reads_cost
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.model.training.torch_fit import Epoch
from papertape.engine.model.training.train import train
from papertape.replay.config.fields import shared
from papertape.replay.learning.challenge import OnEpoch
from papertape.replay.learning.jobs.checkpoints import Checkpoints
from papertape.replay.learning.settings import LearningSettings


def options_of(settings: LearningSettings, kind: str, *, is_fine_tuned: bool) -> TrainingOptions:
    """Return how a model of a kind is trained, or raise ConfigError."""
    values = {**shared(settings, TrainingOptions), **settings.options, "kind": kind}
    if not reads_cost(settings):
        del values["cost"]  # no part of what is learnt
    sizes = dict(settings.sizes)
    if settings.kind != kind:  # the baseline is one model, of its own sizes, and reads everything
        sizes = {}
        for name in ("seeds", "windows", "select"):
            values.pop(name, None)
    return TrainingOptions(**{**values, "sizes": sizes, "is_fine_tuned": is_fine_tuned})


def train_model(
    rows: Dataset,
    settings: LearningSettings,
    kind: str,
    parent: Artefact | None,
    on_epoch: OnEpoch | None,
    checkpoint: Path | None,
) -> bytes:
    """Return the artefact of a model that has learnt from these rows; see `challenge.Train`."""
    started_s = time.monotonic()

    def told(epoch: Epoch) -> None:
        if on_epoch is not None:
            on_epoch(epoch.number, epoch.epochs, epoch.loss_validate)

    store = Checkpoints(checkpoint) if checkpoint is not None else None
    trained = train(
        rows,
        options_of(settings, kind, is_fine_tuned=parent is not None),
        parent=parent,
        on_epoch=told,
        elapsed_s=lambda: time.monotonic() - started_s,
        checkpoint=store,
    )
    if store is not None:
        store.remove()
    return trained.data
