"""
The watch on drift: what a model reads, says and is worth now, against what its training data were.

Two things go in: every prediction whose outcome has become known (`resolve`, cheap), and now and then the recent rows
(`check`), which gives every figure and the policy's answer. Everything is a function of what went in; the state is plain JSON, from
which detectors are made again by feeding them the blocks that were kept.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.drift.detectors import DETECTORS, Block, Detectors
from papertape.engine.model.drift.policy import LEVELS, DriftOptions, PolicyState, Signs, advance, retrained
from papertape.engine.model.drift.psi import Dependence, Psi, bins, dependence, noise_level, of_counts

KINDS: Final = ("feature", "prediction", "target", "calibration", "performance")
BLOCKS_KEPT: Final = 512  # when there are twice as many, the older half is dropped
_TARGET_BLOCKS_LEAST: Final = 8
_REFERENCE_ROWS: Final = 2_000  # of the training, where a record does not say


class Figures(NamedTuple):
    """
    What one look came to.

    rows        in the recent window, per symbol
    features    by input, all symbols together; symbols: the bare index by symbol and input; missing: share of NaN likewise
    prediction  of the probabilities; target: of the outcomes; None while there are too few rows
    alarms      by detector and by index that newly reached its mark, since the look before
    """

    rows: dict[str, int]
    features: dict[str, Psi]
    symbols: dict[str, dict[str, float]]
    missing: dict[str, dict[str, float]]
    prediction: Psi | None
    target: Psi | None
    alarms: dict[str, int]
    policy: PolicyState
    reason: str

    def kinds(self) -> dict[str, int]:
        """Return the alarms by kind: a metric's labels."""
        found = dict.fromkeys(KINDS, 0)
        for name, count in self.alarms.items():
            found[name.partition("_")[0]] += count
        return found

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values without NaN."""
        return {
            "level": self.policy.level,
            "level_name": LEVELS[self.policy.level],
            "reason": self.reason,
            "rows": self.rows,
            "features": {name: _plain(found) for name, found in self.features.items()},
            "symbols": self.symbols,
            "missing": self.missing,
            "prediction": _plain(self.prediction),
            "target": _plain(self.target),
            "alarms": self.alarms,
            "is_retrain_due": self.policy.is_retrain_due,
        }


def _plain(found: Psi | None) -> dict[str, float | None] | None:
    if found is None:
        return None
    return {"psi": found.value, "noise": found.noise if math.isfinite(found.noise) else None}


class _Bins:
    """The reference of one column."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.edges: FloatArray = np.array(entry["edges"], np.float64)
        self.shares: FloatArray = np.array(entry["shares"], np.float64)
        self.rows = float(entry.get("rows", _REFERENCE_ROWS))
        self._known: Dependence | None = None
        if "effect" in entry:
            self._known = Dependence(float(entry["effect"]), float(entry["freedom"]))

    def count(self, values: FloatArray) -> FloatArray:
        """Return how many finite values lie in each bin."""
        values = values[np.isfinite(values)]
        counts = np.bincount(bins(self.edges, values), minlength=len(self.shares))
        return counts.astype(np.float64)

    def measure(
        self, series: list[FloatArray], counts: list[FloatArray], options: DriftOptions
    ) -> Psi | None:
        """Return the index of some symbols' recent values together, None when they are too few."""
        together = np.sum(counts, axis=0) if counts else np.zeros(1)
        n = float(together.sum())
        if n < options.least_rows:
            return None
        # Training rows tell the dependence better: a short window's own mean hides what is slow.
        found = self._known or dependence(self.shares, self.edges, series)
        noise = noise_level(found, n, self.rows, options.chance)
        return Psi(of_counts(self.shares, together), noise)


class DriftMonitor:
    """
    One model's watch.

    reference       of its record: `inputs` by name, `probability`, `base_rate`; an entry may know its `rows`, and the
                    `effect` and `freedom` of its dependence. Without one (a model of an older format) there is no index,
                    and what is left are the detectors
    horizon_bars    of its labels
    policy          carried over from the model before
    """

    def __init__(
        self,
        reference: Mapping[str, Any],
        horizon_bars: int,
        options: DriftOptions | None = None,
        *,
        policy: PolicyState | None = None,
    ) -> None:
        self.options = options or DriftOptions()
        inputs = reference.get("inputs", {})
        self.inputs = tuple(inputs)
        self._bins = {name: _Bins(entry) for name, entry in inputs.items()}
        said = reference.get("probability")
        self._probability = _Bins(said) if said else None
        self._base_rate = float(reference.get("base_rate", 0.0))
        self._horizon = horizon_bars
        self.policy = policy or PolicyState()
        self._blocks: list[Block] = []
        self._forming = Block(0.0, 0.0, 0.0, 0.0, 0)
        self._forming_number = -1
        self._alarms = dict.fromkeys(DETECTORS, 0)
        self._reached: frozenset[str] = frozenset()
        self._detectors: Detectors | None = None

    def resolve(self, bars: IntArray, p: FloatArray, y: FloatArray) -> None:
        """
        Take in predictions whose outcome has become known, in the order of their closes.

        bars  number of the close of each prediction, never falling; y: 0, 1 or one half; rows with NaN are left out

        How many come in one call changes nothing.
        """
        chosen = ~(np.isnan(p) | np.isnan(y))
        bars, p, y = bars[chosen], p[chosen], y[chosen]
        bias = y - p
        rows = np.column_stack([bias * bias, bias, np.where(p < 0.5, -bias, bias), y])
        for number, (brier, off, sharp, rise) in zip(
            (bars // self._horizon).tolist(), rows.tolist(), strict=True
        ):
            if number != self._forming_number:
                self._close_block()
                self._forming_number = number
            one = self._forming
            # One by one, so that a sum does not depend on how predictions were batched.
            self._forming = Block(
                one.brier + brier, one.bias + off, one.sharpness + sharp, one.rises + rise, one.rows + 1
            )

    def _close_block(self) -> None:
        """Give a whole block to the detectors and begin another."""
        block, self._forming = self._forming, Block(0.0, 0.0, 0.0, 0.0, 0)
        if block.rows == 0:
            return
        for name in self._made().add(block):
            self._alarms[name] += 1
        self._blocks.append(block)
        if len(self._blocks) >= 2 * BLOCKS_KEPT:
            del self._blocks[:BLOCKS_KEPT]
            self._detectors = None

    def _made(self) -> Detectors:
        """Return the detectors, made from the blocks that were kept if need be."""
        if self._detectors is None:
            self._detectors = Detectors(self.options, self._blocks)
        return self._detectors

    def check(
        self, rows: Mapping[str, FloatArray], probabilities: Mapping[str, FloatArray], bar: int
    ) -> Figures:
        """
        Return every figure and move the policy on.

        rows           by symbol, shape (n, n_inputs), the recent closes, oldest first, as many for each symbol
        probabilities  by symbol, shape (n,); bar: number of the newest close
        """
        features: dict[str, Psi] = {}
        symbols: dict[str, dict[str, float]] = {symbol: {} for symbol in rows}
        for place, (name, column) in enumerate(self._bins.items()):
            series = [part[:, place] for part in rows.values()]
            counts = [column.count(values) for values in series]
            found = column.measure(series, counts, self.options)
            if found is None:
                continue
            features[name] = found
            for symbol, own in zip(rows, counts, strict=True):
                if own.any():
                    symbols[symbol][name] = of_counts(column.shares, own)
        prediction = None
        if self._probability is not None:
            series = list(probabilities.values())
            counts = [self._probability.count(values) for values in series]
            prediction = self._probability.measure(series, counts, self.options)
        target = self._target()
        alarms = self._take_alarms(features, prediction, target)
        signs, reason = self._signs(features, prediction, target, alarms)
        self.policy = advance(self.policy, signs, bar, self.options)
        sizes = {symbol: len(part) for symbol, part in rows.items()}
        return Figures(
            sizes, features, symbols, self._missing(rows), prediction, target, alarms, self.policy, reason
        )

    def _missing(self, rows: Mapping[str, FloatArray]) -> dict[str, dict[str, float]]:
        """Return the share of missing values by symbol and input; a symbol without rows has none."""
        shares = {symbol: np.isnan(part).mean(axis=0) for symbol, part in rows.items() if len(part)}
        return {
            symbol: dict(zip(self.inputs, shares[symbol].tolist(), strict=True)) if symbol in shares else {}
            for symbol in rows
        }

    def _target(self) -> Psi | None:
        """Return the index of the recent outcomes; their dependence is what blocks spread beyond coins."""
        base = self._base_rate
        wanted = -(-self.options.least_rows // self._horizon)
        recent = self._blocks[-wanted:]
        n = sum(block.rows for block in recent)
        enough = len(self._blocks) >= _TARGET_BLOCKS_LEAST and len(recent) == wanted
        if not enough or not 0.0 < base < 1.0:
            return None
        rises = sum(block.rises for block in recent)
        means = np.array([block.rises / block.rows for block in self._blocks])
        size = sum(block.rows for block in self._blocks) / len(self._blocks)
        effect = max(1.0, float(means.var(ddof=1)) * size / (base * (1.0 - base)))
        noise = noise_level(Dependence(effect, 1.0), n, _REFERENCE_ROWS, self.options.chance)
        return Psi(of_counts(np.array([1.0 - base, base]), np.array([n - rises, float(rises)])), noise)

    def _take_alarms(
        self, features: Mapping[str, Psi], prediction: Psi | None, target: Psi | None
    ) -> dict[str, int]:
        """Return the alarms since the last look: of detectors, and of indices that newly passed the severe mark."""
        severe = self.options.severe_psi
        reached = {f"feature_{name}" for name, found in features.items() if found.reaches(severe)}
        for name, one in (("prediction_psi", prediction), ("target_psi", target)):
            if one is not None and one.reaches(severe):
                reached.add(name)
        alarms = {name: count for name, count in self._alarms.items() if count}
        alarms |= dict.fromkeys(sorted(reached - self._reached), 1)
        self._alarms = dict.fromkeys(DETECTORS, 0)
        self._reached = frozenset(reached)
        return alarms

    def _signs(
        self,
        features: Mapping[str, Psi],
        prediction: Psi | None,
        target: Psi | None,
        alarms: Mapping[str, int],
    ) -> tuple[Signs, str]:
        """Return what the policy is told, and the same in words."""
        options = self.options
        severe = [name for name, found in features.items() if found.reaches(options.severe_psi)]
        warned = [name for name, found in features.items() if found.reaches(options.warn_psi)]
        words = []
        if warned:
            words.append(
                f"{len(warned)} of {len(features)} features left the training data, {len(severe)} far "
                f"({', '.join((severe or warned)[:3])})"
            )
        others = {"probabilities": prediction, "outcomes": target}
        for name, one in others.items():
            if one is not None and one.reaches(options.warn_psi):
                words.append(f"the {name} left it (PSI {one.value:.2f}, noise {one.noise:.2f})")
        raised = [name for name in DETECTORS if alarms.get(name)]
        if raised:
            words.append(f"alarm: {', '.join(raised)}")
        many = bool(features) and len(severe) >= options.severe_share * len(features)
        far = prediction is not None and prediction.reaches(options.severe_psi)
        signs = Signs(bool(words), many or far, bool(raised))
        return signs, "; ".join(words) or "as in training"

    def retrained(self, bar: int, is_promoted: bool) -> None:
        """Tell the policy that a training has ended; a promoted model gets a monitor of its own with this policy."""
        self.policy = retrained(self.policy, bar, is_promoted)

    def save(self) -> dict[str, Any]:
        """Return the state as plain JSON."""
        return {
            "blocks": [list(block) for block in self._blocks],
            "forming": [self._forming_number, *self._forming],
            "alarms": dict(self._alarms),
            "reached": sorted(self._reached),
            "policy": list(self.policy),
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `save` returned; the reference and the options must be the same."""
        self._blocks = [Block(*block) for block in saved["blocks"]]
        number, *sums = saved["forming"]
        self._forming_number, self._forming = number, Block(*sums)
        self._alarms = dict(saved["alarms"])
        self._reached = frozenset(saved["reached"])
        self.policy = PolicyState(*saved["policy"])
        self._detectors = None
