"""
Training of the logistic model: Newton's method on the penalised log-loss, then a temperature on later data.

The sums are done without a matrix library, whose order of addition depends on the number of threads: the same candles
give the same weights. There is no randomness.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray
from papertape.engine.model.calibrate import fit_temperature, log_loss, logistic
from papertape.engine.model.kinds import CLIP
from papertape.engine.model.newton import newton

_LEAST_ROWS: Final = 50  # in each part; fewer say nothing


class LogisticFit(NamedTuple):
    """The tensors of an artefact, and what was measured."""

    tensors: dict[str, FloatArray]
    metrics: dict[str, float]


def fit_logistic(
    features: FloatArray, closes: FloatArray, horizon_bars: int, l2: float = 1.0
) -> LogisticFit:
    """
    Return a logistic model of whether the close `horizon_bars` later is higher.

    features  shape (n_columns, n), at every close of the strategy's timeframe, NaN where missing
    closes    shape (n,)
    l2        penalty on the coefficients of standardised features, not on the intercept

    Rows with a missing feature or without a label are left out. The oldest 60 % train, the next 20 % set the
    temperature, the newest 20 % are only measured; `horizon_bars` rows are purged between them.

    Raises DataError when a part has too few rows or only one outcome.
    """
    if features.ndim != 2 or features.shape[1] != len(closes):
        raise DataError(f"training: features {features.shape} do not fit {len(closes)} closes")
    if not 1 <= horizon_bars < len(closes):
        raise DataError(
            f"training: horizon_bars {horizon_bars} is not between 1 and {len(closes) - 1}"
        )
    if not (np.isfinite(l2) and l2 > 0.0):
        raise DataError(f"training: l2 {l2} is not above 0")
    labels = horizon_direction(closes, horizon_bars)
    is_usable = np.isfinite(features).all(axis=0) & ~np.isnan(labels)
    first = int(np.argmax(is_usable)) if is_usable.any() else 0  # warm-up is no part of the shares
    split = split_in_time(len(closes) - first - horizon_bars, horizon_bars)
    parts = {}
    for name, part in split._asdict().items():
        chosen = np.flatnonzero(is_usable[first:][part]) + first + part.start
        parts[name] = (features[:, chosen].T, labels[chosen])
        _check_part(name, labels[chosen])
    x, y = parts["train"]
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0.0] = 1.0  # a feature that never moved gets the coefficient 0 from the penalty

    def scaled(rows: FloatArray) -> FloatArray:
        return np.asarray(np.clip((rows - mean) / scale, -CLIP, CLIP))

    coefficients = newton(scaled(x), y, l2)

    def score(rows: FloatArray) -> FloatArray:
        z: FloatArray = _products(scaled(rows), coefficients[:-1]) + coefficients[-1]
        return z

    temperature = fit_temperature(score(parts["calibrate"][0]), parts["calibrate"][1])
    tensors = {
        "mean": mean.reshape(1, -1),
        "scale": scale.reshape(1, -1),
        "coefficients": coefficients[:-1],
        "intercept": coefficients[-1:],
        "temperature": np.array([temperature]),
    }
    return LogisticFit(tensors, _metrics(parts, score, temperature))


def _check_part(name: str, labels: FloatArray) -> None:
    if len(labels) < _LEAST_ROWS:
        raise DataError(
            f"training: {len(labels)} usable rows to {name} are fewer than {_LEAST_ROWS}; give more candles"
        )
    if labels.min() == labels.max():
        raise DataError(f"training: every one of {len(labels)} rows to {name} has the same outcome")


def _metrics(
    parts: dict[str, tuple[FloatArray, FloatArray]],
    score: Callable[[FloatArray], FloatArray],
    temperature: float,
) -> dict[str, float]:
    """Return what the test part says of the calibrated model, beside always guessing the training part's majority."""
    x, labels = parts["test"]
    z = score(x) / temperature
    p = logistic(z)
    rate = float(parts["train"][1].mean())
    guess = 1.0 if rate >= 0.5 else 0.0
    base = np.full(len(labels), np.log(rate / (1.0 - rate)))
    return {
        "rows_train": float(len(parts["train"][1])),
        "rows_calibrate": float(len(parts["calibrate"][1])),
        "rows_test": float(len(labels)),
        "log_loss": log_loss(z, labels),
        "log_loss_base_rate": log_loss(base, labels),
        "brier": float(np.mean((p - labels) ** 2)),
        "accuracy": float(np.mean((p >= 0.5) == (labels == 1.0))),
        "accuracy_majority": float(np.mean(labels == guess)),
    }


def _products(rows: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ni,i->n", rows, weights))


class Split(NamedTuple):
    """Rows in time order, three parts with `horizon_bars` rows left out before each of the later two."""

    train: slice
    calibrate: slice
    test: slice


def horizon_direction(closes: FloatArray, horizon_bars: int) -> FloatArray:
    """
    Return 1 where the close `horizon_bars` later is higher and 0 where it is lower, shape (n,).

    NaN where both are equal, which says neither, and in the last `horizon_bars` rows, which nobody knows yet.
    """
    labels = np.full(len(closes), np.nan)
    change = closes[horizon_bars:] - closes[:-horizon_bars]
    labels[:-horizon_bars] = np.where(change == 0.0, np.nan, (change > 0.0).astype(np.float64))
    return labels


def split_in_time(
    n: int, horizon_bars: int, calibrate_share: float = 0.2, test_share: float = 0.2
) -> Split:
    """
    Return the parts of `n` rows: train, calibrate, test, oldest first.

    A label looks `horizon_bars` ahead. Those of the last rows of a part would reach into the next one, so as many rows
    are purged between the parts: no candle that a part's labels have seen is the close of a later part's row.
    """
    test = round(n * test_share)
    calibrate = round(n * calibrate_share)
    train = n - test - calibrate
    if min(train, calibrate - horizon_bars, test - horizon_bars) < 1:
        raise DataError(
            f"training: {n} rows are too few for three parts with {horizon_bars} purged between them"
        )
    return Split(
        slice(0, train),
        slice(train + horizon_bars, train + calibrate),
        slice(train + calibrate + horizon_bars, n),
    )
