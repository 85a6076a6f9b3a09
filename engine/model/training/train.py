"""
Training: from rows to an artefact.

    prepare       labels, weights, three parts in time order, scaling fitted on the oldest
    select        where it is asked for: the inputs that the oldest part chooses again and again
    fit           Newton's method for the logistic kind, LightGBM for trees, torch for those with a memory, both stopped on
                  the middle part
    calibrate     a temperature on the newest part, or a share of what it says beyond the base rate on both later parts
    measure       everything the record says is computed from the probabilities of the kernel, the numbers that will run

The scores of the newest part are of rows that set the temperature, those of the middle one of rows that stopped the
training; their names say so. Whether a model is any good is for the gate to say, on rows it has never seen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, source_digest
from papertape.engine.model.artefact import Artefact, read_artefact, write_artefact
from papertape.engine.model.calibrate import fit_temperature, log_loss
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.record import ModelRecord
from papertape.engine.model.relevance.selection import ALL, Rows, stable_inputs
from papertape.engine.model.scores import spread_over_seeds
from papertape.engine.model.training.boosting import Examples, fit_trees
from papertape.engine.model.training.diagnostics import log_odds, measured, probabilities
from papertape.engine.model.training.labels import SIGNAL
from papertape.engine.model.training.newton import newton
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.model.training.prepare import Prepared, newest, prepare, scaled, scaling, sequences
from papertape.engine.model.training.shrink import share_borne_out, shrunk
from papertape.engine.model.training.torch_fit import NETWORKS, CheckpointStore, Epoch, FitWatch, fit_network

Tensors = dict[str, FloatArray]


class Trained(NamedTuple):
    """
    The artefact, version 0, and how it came about.

    report  one row per fit, which is one for all symbols or one each: name, losses, and of a network its epochs, the
            best one, what stopped it and the device
    """

    data: bytes
    report: list[dict[str, Any]]


class Scaled(NamedTuple):
    """Rows as a fit takes them: `x` scaled, shape (n_symbols, n, n_inputs), beside what they were made from."""

    name: str  # of the fit
    x: FloatArray
    ready: Prepared
    parent: Tensors | None  # weights to begin with


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

    tapes, champion  for the record: sha256 of each tape, version in force; parent: the model that may be tuned further
    on_epoch         told after each; elapsed_s: seconds since the start, held against the time limit
    checkpoint       where it goes on after it was cut off

    The same rows, options and parent give the same bytes on the CPU. Networks need torch, `lightgbm` that library.

    Raises DataError when there is too little to learn from or the parent does not fit.
    """
    ready = prepare(dataset, options)
    selection: dict[str, float] = {}
    if options.select != ALL:
        options, selection = _selected(ready, options)
        # The parts stay: without an input that begins late they would begin earlier, and hold later rows that were selected by.
        x = dataset.inputs(options.read)
        ready = ready._replace(x=x, is_whole=np.asarray(np.isfinite(x).all(axis=2)))
    if not options.is_fine_tuned:
        parent = None
    if parent is not None:
        _check_parent(parent, dataset, options)
    symbols = dataset.symbols
    mean, scale = (
        scaling(ready)
        if parent is None
        else (np.array(parent.tensors["mean"]), np.array(parent.tensors["scale"]))
    )

    def watch(member: int) -> FitWatch:
        # Each has its share of the time, or the last ones would learn nothing.
        limit_s = options.time_limit_s * (member + 1) / options.members

        def is_over() -> bool:
            return elapsed_s is not None and elapsed_s() >= limit_s

        return FitWatch(on_epoch, is_over, checkpoint)

    # All of them before the first is trained: a window may have too few rows.
    members = [_of_member(options, ready, member) for member in range(options.members)]
    fits = [
        _fit(rows, own, watch(member))
        for member, (own, part) in enumerate(members)
        for rows in _groups(symbols, part, (mean, scale), options, parent, member)
    ]
    tensors = _joined([own for own, _ in fits], options)
    tensors |= {"mean": mean, "scale": scale}
    record = replace(_record(dataset, options, tapes, champion), selection=selection)
    tensors, z, shares = _calibrated(record, tensors, symbols, ready, options)
    final = read_artefact(write_artefact(record, tensors))
    told = measured(final, symbols, ready, z, options)
    told["metrics"] |= _fit_metrics([row for _, row in fits])
    told["metrics"]["temperature"] = float(tensors["temperature"].mean())
    if options.members > 1:
        told["metrics"] |= _spread(final, symbols, ready)
    if options.shrink:
        told["metrics"]["share_borne_out"] = float(np.mean(shares))
    data = write_artefact(replace(record, **told), tensors)
    return Trained(data, [row for _, row in fits])


def _selected(ready: Prepared, options: TrainingOptions) -> tuple[TrainingOptions, dict[str, float]]:
    """Return the options with the inputs that the training part chooses, and how often it chose each."""
    x = scaled(ready.x, *scaling(ready))
    rows = Rows(x, ready.y, ready.weights, ready.known, ready.train)
    found = stable_inputs(rows, options.horizon_bars, options.seed)
    names = options.read
    inputs = tuple(names[place] for place in found.kept)
    return replace(options, inputs=inputs), dict(zip(names, found.shares.tolist(), strict=True))


def _check_parent(parent: Artefact, dataset: Dataset, options: TrainingOptions) -> None:
    """Raise DataError unless the parent's weights mean the same things."""
    record = parent.record
    windows = int(record.options.get("windows", 1))
    wanted = {
        "kind": (record.kind, options.kind),
        "timeframe": (record.timeframe, dataset.timeframe),
        "inputs": (record.inputs, options.read),
        "sizes": (record.sizes, options.all_sizes),
        "is_per_symbol": (record.is_per_symbol, options.is_per_symbol),
        "seeds": (record.members // windows, options.seeds),
        "windows": (windows, options.windows),
        "asks": (record.asks, options.asks),
    }
    if not parent.is_shared:
        wanted["symbols"] = (record.symbols, dataset.symbols)
    for name, (has, needs) in wanted.items():
        if has != needs:
            raise DataError(
                f"training: the parent's {name} {has!r} is not {needs!r}; train afresh or choose another parent"
            )


def _groups(
    symbols: tuple[str, ...],
    ready: Prepared,
    scaling: tuple[FloatArray, FloatArray],
    options: TrainingOptions,
    parent: Artefact | None,
    member: int,
) -> list[Scaled]:
    """Return the rows of each fit of a member: all symbols in one, or each in its own."""
    x = scaled(ready.x, *scaling)
    own = _own(parent.member(member)) if parent is not None else None
    suffix = f"-{member + 1}" if options.members > 1 else ""
    if not options.is_per_symbol:
        return [Scaled(f"model{suffix}", x, ready, own)]
    groups = []
    for i, symbol in enumerate(symbols):
        weights = None if own is None else {name: value[i] for name, value in own.items()}
        groups.append(Scaled(f"{symbol}{suffix}", x[i : i + 1], ready.of(i), weights))
    return groups


def _of_member(options: TrainingOptions, ready: Prepared, member: int) -> tuple[TrainingOptions, Prepared]:
    """Return how one member of an ensemble is trained, and on which rows: all seeds on the whole part, then on its half …"""
    window, seed = divmod(member, options.seeds)
    return replace(options, seed=options.seed + seed), newest(ready, options, 0.5**window)


def _own(parent: Artefact) -> Tensors:
    """Return the tensors of its kind alone."""
    record = parent.record
    names = parent.kind.shapes(len(record.inputs), record.sizes)
    return {name: parent.tensors[name] for name in names}


def _fit(rows: Scaled, options: TrainingOptions, watch: FitWatch) -> tuple[Tensors, dict[str, Any]]:
    """Return the kind's own tensors, and what there is to tell."""
    if options.kind == "logistic":
        return _fit_logistic(rows, options)
    if options.kind == "lightgbm":
        return _fit_trees(rows, options, watch)
    ready, n_inputs = rows.ready, rows.x.shape[2]
    network = NETWORKS[options.kind]
    start = rows.parent
    if start is None:
        # A model that learns nothing must say the base rate, not what random weights make of the rows.
        start = network.initial(n_inputs, options.all_sizes, options.seed)
        rate = np.average(ready.y[ready.train], weights=ready.weights[ready.train])
        start["output_weights"] = np.zeros_like(start["output_weights"])
        start["output_bias"] = np.array([np.log(rate / (1.0 - rate))])
    windows = [
        sequences(rows.x, ready, mask, options.sequence, options.burn_in)
        for mask in (ready.train, ready.validate)
    ]
    fit = fit_network(network, start, (windows[0], windows[1]), options, rows.name, watch)
    told = {key: value for key, value in fit._asdict().items() if key != "tensors"}
    return fit.tensors, {"name": rows.name, **told}


def _fit_trees(rows: Scaled, options: TrainingOptions, watch: FitWatch) -> tuple[Tensors, dict[str, Any]]:
    """Return trees as arrays, stopped on the middle part."""
    ready = rows.ready
    parts = [Examples(rows.x[m], ready.y[m], ready.weights[m]) for m in (ready.train, ready.validate)]
    fit = fit_trees((parts[0], parts[1]), options, rows.name, watch)
    told = {key: value for key, value in fit._asdict().items() if key != "tensors"}
    return fit.tensors, {"name": rows.name, **told}


def _fit_logistic(rows: Scaled, options: TrainingOptions) -> tuple[Tensors, dict[str, Any]]:
    """Return the one minimum of the weighted, penalised loss; there is nothing to stop."""
    ready = rows.ready
    parts = [(rows.x[m], ready.y[m], ready.weights[m]) for m in (ready.train, ready.validate)]
    x, y, weights = parts[0]
    found = newton(x, y, options.l2, weights)
    losses = [
        log_loss(np.einsum("ni,i->n", x, found[:-1]) + found[-1], y, weights) for x, y, weights in parts
    ]
    told = {"name": rows.name, "loss_train": losses[0], "loss_validate": losses[1]}
    return {"coefficients": found[:-1], "intercept": found[-1:]}, told


def _joined(fits: Sequence[Tensors], options: TrainingOptions) -> Tensors:
    """Return the tensors of an artefact: of fits by member and symbol, with an axis of symbols and one of members."""
    n = len(fits) // options.members
    unused = tuple(
        axis for axis, is_used in enumerate((options.is_per_symbol, options.members > 1)) if not is_used
    )
    joined = {}
    for name in fits[0]:
        by_symbol = [np.stack([own[name] for own in fits[i::n]]) for i in range(n)]
        joined[name] = np.stack(by_symbol).squeeze(unused)
    return joined


def _calibrated(
    record: ModelRecord, tensors: Tensors, symbols: tuple[str, ...], ready: Prepared, options: TrainingOptions
) -> tuple[Tensors, FloatArray, list[float]]:
    """Return the tensors with a temperature or shrunk, the log-odds that the temperature divides, and the shares."""
    one = np.ones((len(symbols), 1) if options.is_per_symbol else 1)
    first = read_artefact(write_artefact(record, {**tensors, "temperature": one}))
    z = log_odds(probabilities(first, symbols, ready.x))
    if not options.shrink:
        temperature = _temperatures(z, ready, options.is_per_symbol)
        return {**tensors, "temperature": temperature}, z, []
    drawn, shares = _shrunk(first, z, ready)  # whose temperature stays 1
    made = read_artefact(write_artefact(record, drawn))
    return drawn, log_odds(probabilities(made, symbols, ready.x)), shares


def _temperatures(z: FloatArray, ready: Prepared, is_per_symbol: bool) -> FloatArray:
    """Return the temperature of all symbols, shape (1,), or of each, (n_symbols, 1)."""
    y, mask, weights = ready.y, ready.calibrate, ready.weights
    if not is_per_symbol:
        return np.array([fit_temperature(z[mask], y[mask], weights[mask])])
    each = [fit_temperature(a[m], b[m], w[m]) for a, b, m, w in zip(z, y, mask, weights, strict=True)]
    return np.array(each).reshape(-1, 1)


def _shrunk(made: Artefact, z: FloatArray, ready: Prepared) -> tuple[Tensors, list[float]]:
    """Return the tensors after shrinkage towards the base rate of the oldest part, and the share of each fit."""
    groups = [ready.of(i) for i in range(len(z))] if made.record.is_per_symbol else [ready]
    said = [z[i : i + 1] for i in range(len(z))] if made.record.is_per_symbol else [z]
    bases, shares = [], []
    for own, rows in zip(said, groups, strict=True):
        rate = np.average(rows.y[rows.train], weights=rows.weights[rows.train])
        bases.append(float(np.log(rate / (1.0 - rate))))
        later = rows.validate | rows.calibrate
        weights = rows.weights[later] / len(own)
        shares.append(share_borne_out(own[later], bases[-1], rows.y[later], weights))
    shape = (-1, 1) if made.record.is_per_symbol else (1,)
    base, share = np.array(bases).reshape(shape), np.array(shares).reshape(shape)
    return shrunk(made.kind, made.tensors, base, share), shares


def _fit_metrics(fits: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the numbers of the fits, the mean over symbols where there are several."""
    names = ("loss_train", "loss_validate", "epochs", "best")
    found = {
        f"fit_{name}": float(np.mean([fit[name] for fit in fits]))
        for name in names
        if all(name in fit and np.isfinite(fit[name]) for fit in fits)
    }
    found["is_cut_short"] = float(any(fit.get("stopped") == "time" for fit in fits))
    return found


def _spread(made: Artefact, symbols: tuple[str, ...], ready: Prepared) -> dict[str, float]:
    """Return how far the members of an ensemble are apart on the newest part."""
    part = ready.calibrate
    each = [
        probabilities(made.member(number), symbols, ready.x)[part] for number in range(made.record.members)
    ]
    told = spread_over_seeds(ready.y[part], np.stack(each))
    return {f"calibrate_{name}": value for name, value in told.items()}


def _record(dataset: Dataset, options: TrainingOptions, tapes: Sequence[str], champion: int) -> ModelRecord:
    """Return the record before anything was measured."""
    label: dict[str, Any] = {"kind": options.label, "horizon_bars": options.horizon_bars}
    if options.label == "bracket":
        label |= {"stop_atr": options.stop_atr, "target_atr": options.target_atr}
    if options.label == "variance":
        label["variance_share"] = options.variance_share
    if options.asks == SIGNAL:
        label |= {name: getattr(options, name) for name in ("asks", "cost", "signals_of")}
    if options.no_trade:
        label |= {"no_trade": True, "cost": options.cost}
    return ModelRecord(
        kind=options.kind,
        features=options.features,
        timeframe=dataset.timeframe,
        horizon_bars=options.horizon_bars,
        symbols=dataset.symbols,
        tapes=tuple(tapes),
        start_ms=int(dataset.time_ms[0]) - timeframe_ms(dataset.timeframe),
        end_ms=int(dataset.time_ms[-1]),
        code=source_digest(),
        seed=options.seed,
        parent=champion,
        inputs=options.read,
        sizes=options.all_sizes,
        label=label,
        options=options.to_json(),
        is_per_symbol=options.is_per_symbol,
        definitions=dict(dataset.definitions),
        members=options.members,
    )
