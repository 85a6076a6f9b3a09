"""
Training: from rows to an artefact.

    prepare       labels, weights, three parts in time order, scaling fitted on the oldest
    fit           Newton's method for the logistic kind, torch for those with a memory, stopped on the middle part
    calibrate     a temperature on the newest part
    measure       everything the record says is computed from the probabilities of the kernel, the numbers that will run

The scores of the newest part are of rows that set the temperature, those of the middle one of rows that stopped the
training; their names say so. Whether a model is any good is for the gate to say, on rows it has never seen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from engine.candles import timeframe_ms
from engine.errors import DataError
from engine.jit import FloatArray, source_digest
from engine.model.artefact import Artefact, read_artefact, write_artefact
from engine.model.calibrate import fit_temperature, log_loss
from engine.model.current import read_rows
from engine.model.dataset import Dataset
from engine.model.importance import importance
from engine.model.network import CheckpointStore, Epoch, Watch, fit_network
from engine.model.networks import NETWORKS
from engine.model.newton import newton
from engine.model.options import TrainingOptions
from engine.model.prepare import PARTS, Prepared, prepare, scaled, scaling, sequences
from engine.model.record import ModelRecord
from engine.model.reference import reference
from engine.model.scores import reliability_curve, scores

_EMPTY: Final = {"temperature": 1.0}


class Trained(NamedTuple):
    """The artefact, version 0, and how its training went: plain values, which differ where the same bytes came out."""

    data: bytes
    report: dict[str, Any]


def train(
    dataset: Dataset,
    options: TrainingOptions,
    *,
    tapes: Sequence[str] = (),
    champion: int = 0,
    parent: Artefact | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    elapsed_s: Callable[[], float] | None = None,
    checkpoint: CheckpointStore | None = None,
) -> Trained:
    """
    Return a model that learnt from every row of a dataset.

    tapes, champion  for the record: sha256 of each tape, version in force; parent: the model that is tuned further
    on_epoch         told after each; elapsed_s: seconds since the start, held against the time limit
    checkpoint       where it goes on after it was cut off

    The same rows, options and parent give the same bytes on the CPU. Needs torch for every kind but the logistic one.

    Raises DataError when there is too little to learn from or the parent does not fit.
    """
    ready = prepare(dataset, options)
    parent = parent if options.is_fine_tuned else None
    if parent is not None:
        _check_parent(parent, dataset, options)
    mean, scale = _scaling(ready, parent)

    def is_over() -> bool:
        return elapsed_s is not None and elapsed_s() >= options.time_limit_s

    watch = Watch(on_epoch, is_over, checkpoint)
    fits = _fit(dataset.symbols, ready, options, (mean, scale), parent, watch)
    tensors = _join([tensors for tensors, _ in fits], mean, scale, options.is_per_symbol)
    record = _record(dataset, options, tapes, champion)
    data = write_artefact(record, tensors)
    z = _log_odds(read_artefact(data), dataset.symbols, ready)
    tensors["temperature"] = _temperatures(z, ready, options.is_per_symbol)
    data = write_artefact(record, tensors)
    told = _measured(read_artefact(data), dataset.symbols, ready, z, options)
    metrics = {**told.pop("metrics"), **_fit_metrics([numbers for _, numbers in fits])}
    record = replace(record, metrics=metrics, **told)
    return Trained(write_artefact(record, tensors), {"fits": [numbers for _, numbers in fits]})
