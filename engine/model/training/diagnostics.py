"""What a record says of a model: scores, curve, importance and reference, from the probabilities that will run."""

from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.artefact import Artefact
from papertape.engine.model.calibrate import logistic
from papertape.engine.model.inference.current import read_rows
from papertape.engine.model.relevance.importance import importance
from papertape.engine.model.scores import NEITHER, reliability_curve, scores
from papertape.engine.model.training.labels import SIGNAL, BoolArray
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.model.training.prepare import PARTS, Prepared
from papertape.engine.model.training.reference import reference

_LARGEST: Final = 36.0  # log-odds, beyond which a probability is 0 or 1 to the last bit


def probabilities(artefact: Artefact, symbols: tuple[str, ...], x: FloatArray) -> FloatArray:
    """Return what the kernel makes of rows (n_symbols, n, n_inputs) from a zero state; NaN where an input is missing."""
    return np.stack([read_rows(artefact, symbol, rows)[0] for symbol, rows in zip(symbols, x, strict=True)])


def log_odds(p: FloatArray) -> FloatArray:
    """Return ln(p / (1 - p)), within what a probability can tell."""
    with np.errstate(divide="ignore"):
        z: FloatArray = np.log(p) - np.log1p(-p)
    return np.clip(z, -_LARGEST, _LARGEST)


def measured(
    artefact: Artefact, symbols: tuple[str, ...], ready: Prepared, z: FloatArray, options: TrainingOptions
) -> dict[str, Any]:
    """
    Return the fields of the record that say how the model did.

    z  log-odds before the temperature, shape (n_symbols, n)

    The reference for probabilities is what it said of rows that its weights were not fitted to.
    """
    p = probabilities(artefact, symbols, ready.x)
    part = ready.calibrate
    later = ready.validate | part

    def read(symbol: int, rows: FloatArray) -> FloatArray:
        return read_rows(artefact, symbols[symbol], rows)[0]

    x, y, is_train = ready.x, ready.y, ready.train
    watched, later = (seen_at(ready, part, options.asks) for part in (is_train, later))
    rises = importance(read, x, y, ready.validate, options.horizon_bars, options.seed)
    columns = {name: np.where(watched, x[..., i], np.nan) for i, name in enumerate(options.read)}
    return {
        "metrics": _metrics(ready, p, z) | _labels_told(ready, options),
        "curve": reliability_curve(y[part], p[part]),
        "importance": dict(zip(options.read, rises.tolist(), strict=True)),
        "reference": reference(columns, np.where(later, p, np.nan), y[is_train]),
    }


def seen_at(ready: Prepared, part: BoolArray, asks: str) -> BoolArray:
    """
    Return the rows that a watch on drift compares its own with: those of a part, shape (n_symbols, n).

    A model in force is watched at every close, signal or not: where it is asked about signals, every whole row of the time
    that the part covers.
    """
    if asks != SIGNAL:
        return part
    rows = np.flatnonzero(part.any(axis=0))
    within = np.zeros_like(part)
    within[:, rows[0] : rows[-1] + 1] = True
    return within & ready.is_whole


def _labels_told(ready: Prepared, options: TrainingOptions) -> dict[str, float]:
    """
    Return what labels of the training part were like: how long horizons were where the market ends them, and the share that
    lasted the longest, `horizon_bars`, whether the market had moved enough at that very close or not; the share of rows at which
    neither side paid where these are a class of their own.
    """
    told = {}
    if options.label == "variance":
        bars = (ready.known - np.arange(ready.known.shape[1]))[ready.train]
        told["horizon_bars_mean"] = float(bars.mean())
        told["horizon_longest_share"] = float((bars == options.horizon_bars).mean())
    if options.no_trade:
        told["neither_share"] = float((ready.y[ready.train] == NEITHER).mean())
    return told


def _metrics(ready: Prepared, p: FloatArray, z: FloatArray) -> dict[str, float]:
    """Return numbers by name; those of a part begin with its name, beside always saying the training part's rate."""
    rate = float(ready.y[ready.train].mean())
    found = {
        "base_rate": rate,
        "rows_effective": float(ready.weights[ready.train].sum()),
        "ece_before": scores(ready.y[ready.calibrate], logistic(z[ready.calibrate])).ece,
    }
    for name in PARTS:
        mask = getattr(ready, name)
        found[f"rows_{name}"] = float(mask.sum())
        if name == "train":
            continue
        y = ready.y[mask]
        said, always = scores(y, p[mask]), scores(y, np.full(len(y), rate))
        found |= {f"{name}_{key}": v for key, v in said._asdict().items() if key != "rows"}
        found[f"{name}_log_loss_base_rate"] = always.log_loss
        found[f"{name}_accuracy_majority"] = always.accuracy
    return found
