"""
From rows to what a fit takes: labels, weights, parts, scaling, and sequences for the kinds with a memory.

A row takes part when all its inputs are finite and its label is known. The oldest part trains, the next one stops the
training and measures importance, the newest sets the temperature. Rows are weighed by how much of their label is their
own. Every outcome weighs the same: weighing the rarer one up would bend the probabilities, and its rate is in the bias.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.kinds import CLIP
from papertape.engine.model.scores import NEITHER
from papertape.engine.model.training.labels import (
    BoolArray,
    LabelPrices,
    LabelRule,
    Labels,
    labels_for,
    uniqueness,
)
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.model.training.parts import newest_share, purged_parts

PARTS: Final = ("train", "validate", "calibrate")
SHARES: Final = (0.7, 0.15, 0.15)
LEAST_ROWS: Final = 50  # in each part; fewer say nothing


class Prepared(NamedTuple):
    """
    Rows of every symbol at every close, shapes (n_symbols, n) or (n_symbols, n, n_inputs).

    x          inputs as they are; is_whole: all are finite, so the kernel takes a step
    y          labels, NaN where none; weights: uniqueness, 0 where there is no label; known: row at whose close each is known
    train validate calibrate   masks of the three parts
    """

    x: FloatArray
    is_whole: BoolArray
    y: FloatArray
    weights: FloatArray
    known: IntArray
    train: BoolArray
    validate: BoolArray
    calibrate: BoolArray

    def of(self, symbol: int) -> "Prepared":
        """Return the rows of one symbol, by its place."""
        one = slice(symbol, symbol + 1)
        return self._replace(**{name: values[one] for name, values in self._asdict().items()})


def prepare(dataset: Dataset, options: TrainingOptions) -> Prepared:
    """Return the rows with their labels in three parts, or raise DataError when there is too little to learn from."""
    dataset.check()
    x = dataset.inputs(options.read)
    labels = [labels_of(dataset, symbol, options) for symbol in range(len(dataset.symbols))]
    y = np.stack([label.y for label in labels])
    known = np.stack([label.known for label in labels])
    is_whole: BoolArray = np.asarray(np.isfinite(x).all(axis=2))
    is_usable: BoolArray = is_whole & ~np.isnan(y)
    groups = _fitted_apart(len(y), options)
    for group in groups:
        _check_rows(int(is_usable[group].sum()), partial(_told, options.read, x[group], y[group]))
    parts = purged_parts(known, is_usable, SHARES, options.embargo)
    weights = np.stack([uniqueness(*pair) for pair in zip(known, is_usable, strict=True)])
    for name, part in zip(PARTS, parts, strict=True):
        for group in groups:
            told = partial(_told, options.read, x[group], y[group])
            _check_part(name, y[group][part[group]], told)
    return Prepared(x, is_whole, y, weights, known, *parts)


def newest(prepared: Prepared, options: TrainingOptions, share: float) -> Prepared:
    """Return the same rows with only the newest share of its closes in the training part, or raise DataError for too few."""
    if share == 1.0:
        return prepared
    x, y = prepared.x, prepared.y
    train = newest_share(prepared.train, share)
    for group in _fitted_apart(len(y), options):
        told = partial(_told, options.read, x[group], y[group])
        _check_part(f"train on the newest {share:g} of them", y[group][train[group]], told)
    return prepared._replace(train=train)


def _fitted_apart(n_symbols: int, options: TrainingOptions) -> tuple[int | slice, ...]:
    """Return the places of the symbols of each fit: one for all, or one each."""
    return tuple(range(n_symbols)) if options.is_per_symbol else (slice(None),)


def labels_of(dataset: Dataset, symbol: int, rule: LabelRule) -> Labels:
    """Return the labels of one symbol, by its place, as far as these rows tell."""
    names = ("open", "high", "low", "close", "atr")
    prices = LabelPrices(*(getattr(dataset, name)[symbol] for name in names))
    if dataset.side is not None:
        prices = prices._replace(side=dataset.side[symbol])
    return labels_for(rule, prices)


def _check_rows(n: int, told: Callable[[], str]) -> None:
    """Raise DataError for rows of which no three parts can be made; `told` puts them in words."""
    least = len(PARTS) * LEAST_ROWS
    if n < least:
        raise DataError(f"training: {n} usable rows are fewer than {least}: {told()}")


def _check_part(name: str, labels: FloatArray, told: Callable[[], str]) -> None:
    """Raise DataError for a part that says nothing; `told` puts all rows in words."""
    if len(labels) < LEAST_ROWS:
        raise DataError(
            f"training: {len(labels)} usable rows to {name} are fewer than {LEAST_ROWS}: {told()}"
        )
    if labels.min() == labels.max():
        side = {1.0: "up", 0.0: "down", NEITHER: "neither side pays"}[float(labels[0])]
        raise DataError(
            f"training: every one of {len(labels)} rows to {name} has the same outcome, {side}, so there is nothing to "
            "tell apart; more candles help only if they bring the other one"
        )


def _told(inputs: Sequence[str], x: FloatArray, y: FloatArray) -> str:
    """Return what keeps some rows few, with what would give more; x of shape (…, n_inputs)."""
    absent = ~np.isfinite(x).reshape(-1, len(inputs))
    is_missing = absent.any(axis=1)
    n, missing = y.size, int(is_missing.sum())
    unknown = int(np.isnan(y.reshape(-1)[~is_missing]).sum())
    if missing > n // 2:
        worst = inputs[int(absent.sum(axis=0).argmax())]
        return f"{missing:,} of {n:,} have no {worst!r}; leave that input out, or give more candles"
    return f"of {n:,} {missing:,} lack an input and {unknown:,} a known outcome; give more candles or a longer window"


def scaling(prepared: Prepared) -> tuple[FloatArray, FloatArray]:
    """
    Return mean and standard deviation of every input of every symbol over the training part, (n_symbols, n_inputs).

    An input that never moved there has the deviation 1. The sums are numpy's own, in one order.
    """
    means, scales = [], []
    for x, mask in zip(prepared.x, prepared.train, strict=True):
        rows = x[mask] if mask.any() else np.zeros((1, x.shape[1]))
        means.append(rows.mean(axis=0))
        scales.append(rows.std(axis=0))
    mean, scale = np.stack(means), np.stack(scales)
    # of a constant the rounded mean leaves a deviation that is nothing but rounding
    scale[scale <= 1e-12 * np.abs(mean)] = 1.0
    return mean, scale


def scaled(x: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """Return inputs as the kernel hands them to a step; one scaling for all symbols or one each."""
    z: FloatArray = (x - mean[:, None, :]) / scale[:, None, :]
    return np.clip(z, -CLIP, CLIP)


class Sequences(NamedTuple):
    """Windows of consecutive steps, shapes (n_windows, length, n_inputs) and (n_windows, length)."""

    x: FloatArray
    y: FloatArray
    weights: FloatArray  # 0 in the burn-in, between parts and behind the end


def sequences(x: FloatArray, prepared: Prepared, mask: BoolArray, sequence: int, burn_in: int) -> Sequences:
    """
    Return windows that cover a part: each learns `sequence` steps after up to `burn_in` that only warm the state.

    x  shape (n_symbols, n, n_inputs), scaled

    A row with a missing input is no step, as in the kernel. The burn-in reaches back beyond the part: it is past.
    """
    n_inputs = x.shape[2]
    length = sequence + burn_in
    windows = []
    for symbol in range(len(x)):
        rows = np.flatnonzero(prepared.is_whole[symbol])
        chosen = np.flatnonzero(mask[symbol, rows])
        if len(chosen) == 0:
            continue
        for begin in range(int(chosen[0]), int(chosen[-1]) + 1, sequence):
            first = max(begin - burn_in, 0)
            steps = rows[first : first + length]
            place = np.arange(first, first + len(steps))
            is_learnt = (place >= begin) & (place < begin + sequence) & mask[symbol, steps]
            window = np.zeros((length, n_inputs + 2))
            window[: len(steps), :n_inputs] = x[symbol, steps]
            window[: len(steps), -2] = np.where(is_learnt, prepared.y[symbol, steps], 0.0)
            window[: len(steps), -1] = np.where(is_learnt, prepared.weights[symbol, steps], 0.0)
            windows.append(window)
    whole = np.stack(windows)
    whole = whole[whole[:, :, -1].any(axis=1)]
    return Sequences(whole[:, :, :n_inputs], whole[:, :, -2], whole[:, :, -1])
