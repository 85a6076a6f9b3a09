"""
Training of the logistic model: Newton's method on the penalised log-loss, then a temperature on later data.

The sums are done without a matrix library, whose order of addition depends on the number of threads: the same candles
give the same weights. There is no randomness.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from engine.errors import DataError
from engine.jit import FloatArray
from engine.model.kinds import CLIP
from engine.model.labels import horizon_direction, split_in_time

_LEAST_ROWS: Final = 50  # in each part; fewer say nothing
_LARGEST_STEPS: Final = 100
_TOLERANCE: Final = 1e-10  # of the gradient, per row
_TEMPERATURES: Final = (0.05, 20.0)  # beyond these a model is broken rather than over-confident


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


def log_loss(z: FloatArray, labels: FloatArray) -> float:
    """Return the mean negative log-likelihood of log-odds `z`, in nats, without overflow."""
    return float(np.mean(np.logaddexp(0.0, z) - labels * z))


def newton(x: FloatArray, labels: FloatArray, l2: float) -> FloatArray:
    """
    Return the coefficients and, last, the intercept that make the total log-loss plus l2/2 |coefficients|² smallest.

    x  shape (n, n_columns), standardised

    The loss is strictly convex, so Newton's steps, halved while they do not lower it, end at its one minimum.
    """
    n, n_columns = x.shape
    rows = np.column_stack([x, np.ones(n)])
    penalty = np.append(np.full(n_columns, l2), 0.0)
    weights = np.zeros(n_columns + 1)

    def loss(w: FloatArray) -> float:
        return float(n * log_loss(_products(rows, w), labels) + 0.5 * np.sum(penalty * w * w))

    now = loss(weights)
    for _ in range(_LARGEST_STEPS):
        p = _logistic(_products(rows, weights))
        gradient = np.einsum("ni,n->i", rows, p - labels) + penalty * weights
        if float(np.abs(gradient).max()) <= _TOLERANCE * n:
            break
        hessian = np.einsum("ni,nj,n->ij", rows, rows, p * (1.0 - p), optimize=False)
        direction = np.linalg.solve(hessian + np.diag(penalty), gradient)
        size = 1.0
        while size > 1e-12 and not loss(weights - size * direction) <= now:
            size *= 0.5
        weights = weights - size * direction
        now = loss(weights)
    return weights


def fit_temperature(z: FloatArray, labels: FloatArray) -> float:
    """
    Return the T within limits for which sigmoid(z / T) has the smallest log-loss.

    The loss is convex in 1/T, whose derivative is the mean of z (p - label): its root is found by halving.
    Source: C. Guo, G. Pleiss, Y. Sun, K. Weinberger, On Calibration of Modern Neural Networks (2017), section 4.2.
    """
    low, high = 1.0 / _TEMPERATURES[1], 1.0 / _TEMPERATURES[0]
    for _ in range(80):
        middle = 0.5 * (low + high)
        slope = float(np.mean(z * (_logistic(middle * z) - labels)))
        low, high = (middle, high) if slope < 0.0 else (low, middle)
    return 1.0 / (0.5 * (low + high))


def _metrics(
    parts: dict[str, tuple[FloatArray, FloatArray]],
    score: Callable[[FloatArray], FloatArray],
    temperature: float,
) -> dict[str, float]:
    """Return what the test part says of the calibrated model, beside always guessing the training part's majority."""
    x, labels = parts["test"]
    z = score(x) / temperature
    p = _logistic(z)
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


def _logistic(z: FloatArray) -> FloatArray:
    """Return 1 / (1 + e^-z), from the side on which nothing overflows."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0.0, 1.0, small) / (1.0 + small)
