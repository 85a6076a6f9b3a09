"""
Training of boosted trees by LightGBM: the only file that needs it. What it grew leaves as plain arrays; see `kinds/trees.py`.

One row is one example, weighed as everywhere. The trees that make the loss on the validation part smallest are kept, which
may be none: then the model says the base rate. The library runs in the order that does not depend on threads, so the same
rows and seed give the same bytes whatever their number.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.jit import FloatArray
from papertape.engine.model.calibrate import log_loss
from papertape.engine.model.kinds import trees
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.model.training.torch_fit import Epoch, FitWatch

_RATE: Final = 0.05  # by which every tree counts
_SHOWN: Final = 0.7  # share of the inputs that a tree may split on
_LEAST_IN_LEAF: Final = (20, 0.02)  # rows, and share of all rows: what holds for fewer is luck

NO_LIGHTGBM: Final = (
    "lightgbm models are trained with the package lightgbm, which is not there or lacks the system's libgomp: "
    "`pip install lightgbm==4.7.0` (Debian: `apt-get install libgomp1`); signals.model = logistic needs none"
)


class Examples(NamedTuple):
    """Rows of a part: x (n, n_inputs) scaled, y, and how much each counts."""

    x: FloatArray
    y: FloatArray
    weights: FloatArray


class TreeFit(NamedTuple):
    """Tensors of the kind, trees grown and kept, losses at those kept, and what stopped it: "trees", "patience" or "time"."""

    tensors: dict[str, FloatArray]
    epochs: int
    best: int
    loss_train: float
    loss_validate: float
    stopped: str


def fit_trees(
    parts: tuple[Examples, Examples],
    options: TrainingOptions,
    name: str = "model",
    watch: FitWatch | None = None,
    threads: int = 1,
) -> TreeFit:
    """
    Return the trees that learnt from the first examples and are the best of their way on the second.

    Raises ConfigError when the library is not there.
    """
    try:
        import lightgbm
    except (ModuleNotFoundError, OSError) as error:  # OSError: its library finds no OpenMP
        raise ConfigError(NO_LIGHTGBM) from error

    watch = watch or FitWatch()
    learnt = parts[0]
    rate = float(np.average(learnt.y, weights=learnt.weights))
    bias = float(np.log(rate / (1.0 - rate)))
    how = _parameters(options, len(learnt.y), threads)
    data = [
        lightgbm.Dataset(p.x, p.y, weight=p.weights, init_score=np.full(len(p.y), bias), params=how)
        for p in parts
    ]
    data[1].reference = data[0]
    booster = lightgbm.Booster(how, data[0])
    booster.add_valid(data[1], "validate")
    n_trees = options.all_sizes["trees"]
    at_first = [log_loss(np.full(len(p.y), bias), p.y, p.weights) for p in parts]
    losses = [(at_first[0], at_first[1])]
    best, stopped = 0, "trees"
    while len(losses) <= n_trees:
        if len(losses) - 1 - best >= options.patience:
            stopped = "patience"
            break
        if watch.is_over is not None and watch.is_over():
            stopped = "time"
            break
        booster.update()
        losses.append((float(booster.eval_train()[0][2]), float(booster.eval_valid()[0][2])))
        if losses[-1][1] < losses[best][1]:
            best = len(losses) - 1
        if watch.on_epoch is not None:
            watch.on_epoch(Epoch(name, len(losses) - 1, n_trees, *losses[-1], best))
    model = booster.dump_model(num_iteration=best) if best else {"tree_info": []}
    tensors = arrays([entry["tree_structure"] for entry in model["tree_info"]], options.all_sizes)
    return TreeFit({**tensors, "bias": np.array([bias])}, len(losses) - 1, best, *losses[best], stopped)


def arrays(grown: list[Mapping[str, Any]], sizes: Mapping[str, int]) -> dict[str, FloatArray]:
    """Return the tensors but the bias of trees as `Booster.dump_model` tells them, the rest of them zero."""
    inner = 2 ** sizes["depth"] - 1
    split = np.zeros((sizes["trees"], inner))
    thresholds = np.full((sizes["trees"], inner), trees.ALWAYS_LEFT)
    values = np.zeros((sizes["trees"], inner + 1))
    for number, root in enumerate(grown):
        open_nodes = [(0, root)]
        while open_nodes:
            place, node = open_nodes.pop()
            if "leaf_value" in node:
                while place < inner:  # all the way to the left
                    place = 2 * place + 1
                values[number, place - inner] = node["leaf_value"]
                continue
            assert node["decision_type"] == "<="
            split[number, place] = node["split_feature"]
            thresholds[number, place] = node["threshold"]
            open_nodes.append((2 * place + 1, node["left_child"]))
            open_nodes.append((2 * place + 2, node["right_child"]))
    return {"split_inputs": split, "thresholds": thresholds, "values": values}


def _parameters(options: TrainingOptions, n_rows: int, threads: int) -> dict[str, Any]:
    depth = options.all_sizes["depth"]
    return {
        # The same loss; the second one takes outcomes between 0 and 1 as well.
        "objective": "cross_entropy" if options.no_trade else "binary",
        "metric": "cross_entropy" if options.no_trade else "binary_logloss",
        "boost_from_average": False,  # the bias is the base rate already
        "learning_rate": _RATE,
        "max_depth": depth,
        "num_leaves": 2**depth,
        "min_data_in_leaf": max(_LEAST_IN_LEAF[0], round(_LEAST_IN_LEAF[1] * n_rows)),
        "lambda_l2": options.l2,
        "feature_fraction": _SHOWN,
        "seed": options.seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": threads,
        "verbosity": -1,
    }
