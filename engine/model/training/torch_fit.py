"""
Training of the kinds with a memory, in torch: the only file beside the kinds' own `forward` that needs it.

AdamW on windows of consecutive closes, a short warm-up and a cosine down, the gradient clipped, the best epoch on the
validation part kept. On the CPU, with one thread, the same windows and options give the same bytes; nothing random is
carried from epoch to epoch, so a training that is resumed from a checkpoint ends in the bytes of one that never stopped.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from papertape.engine.errors import ConfigError
from papertape.engine.jit import FloatArray
from papertape.engine.model.kinds import cnn_lstm, lstm, transformer
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.model.training.prepare import Sequences

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Arrays = dict[str, npt.NDArray[np.float32]]

_WARM_UP: Final = 0.05  # of all steps, in which the learning rate rises
_LOWEST_RATE: Final = 0.05  # of the highest, at the end
_MOST_STEPS: Final = 64  # in an epoch; with more windows than these take, the batch grows
_FREE: Final = ("bias", "gain")  # ends of the names of tensors that do not decay
# largest difference of log-odds between a device and the CPU for the same weights
_AGREES: Final = 5e-3
_MOMENTS: Final = ("exp_avg", "exp_avg_sq")  # what AdamW carries for every tensor


class Network(Protocol):
    """The module of a kind with a memory."""

    def initial(self, n_inputs: int, sizes: Mapping[str, int], seed: int) -> dict[str, FloatArray]:
        """Return weights to begin with."""

    def forward(self, weights: "Mapping[str, Tensor]", x: "Tensor", sizes: Mapping[str, int]) -> "Tensor":
        """Return the log-odds (batch, time) of rows (batch, time, n_inputs) from a zero state."""


NETWORKS: Final[dict[str, Network]] = {"lstm": lstm, "cnn_lstm": cnn_lstm, "transformer": transformer}


class CheckpointStore(Protocol):
    """Where a training keeps what it needs to go on; the newest under each name is enough."""

    def save(self, name: str, arrays: Arrays, values: dict[str, Any]) -> None:
        """Keep arrays and plain values, whole or not at all."""

    def load(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        """Return what was kept last, or None."""


class Epoch(NamedTuple):
    """One pass over the windows; losses are weighted means in nats."""

    name: str
    number: int
    epochs: int
    loss_train: float
    loss_validate: float
    best: int


class FitWatch(NamedTuple):
    """What looks on while a model trains: told each epoch, asked whether time is up, given checkpoints."""

    on_epoch: Callable[[Epoch], None] | None = None
    is_over: Callable[[], bool] | None = None
    store: CheckpointStore | None = None


class NetworkFit(NamedTuple):
    """
    Tensors of the best epoch, 0 being the weights before the first.

    stopped  "epochs" after the last one, "patience" when no epoch was better for long, "time" at the limit
    """

    tensors: dict[str, FloatArray]
    epochs: int
    best: int
    loss_train: float
    loss_validate: float
    stopped: str
    device: str


NO_TORCH: Final = (
    "networks are trained with torch, which is not installed: `pip install torch==2.13.0 --index-url "
    "https://download.pytorch.org/whl/cpu`; signals.model = logistic needs none"
)


def fit_network(
    network: Network,
    start: Mapping[str, FloatArray],
    windows: tuple[Sequences, Sequences],
    options: TrainingOptions,
    name: str = "model",
    watch: FitWatch | None = None,
) -> NetworkFit:
    """
    Return the weights of the epoch with the smallest loss on the second windows, learnt from the first.

    start  weights to begin with; name: of the checkpoint

    Raises ConfigError when torch or a device that is asked for is not there. A CUDA device whose log-odds are not those
    of the CPU is not believed: the training is done again on the CPU.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ConfigError(NO_TORCH) from error

    device = _device(options.device)
    watch = watch or FitWatch()
    with _one_thread(device):
        trainer = TorchTrainer(network, start, windows, options, name, torch.device(device))
        fit = trainer.run(watch)
        if device == "cpu" or trainer.agrees_with_cpu():
            return fit
        return TorchTrainer(network, start, windows, options, name, torch.device("cpu")).run(watch)


def _device(wanted: str) -> str:
    import torch

    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise ConfigError("training.device: there is no CUDA device here; use auto or cpu")
    return "cuda" if has_cuda and wanted != "cpu" else "cpu"


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """Take one thread and, on the CPU, deterministic algorithms; leave the process as it was."""
    import torch

    threads, is_strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    # CUDA's need an environment variable before the process starts, and nobody asks a GPU for the same bytes.
    torch.use_deterministic_algorithms(device == "cpu")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(is_strict)


class TorchTrainer:
    """One training: weights, optimiser, the best so far."""

    def __init__(
        self,
        network: Network,
        start: Mapping[str, FloatArray],
        windows: tuple[Sequences, Sequences],
        options: TrainingOptions,
        name: str,
        device: "torch.device",
    ) -> None:
        import torch

        self._network, self._options, self._name, self._device = network, options, name, device
        self._sizes = options.all_sizes
        self._train, self._validate = (
            tuple(torch.tensor(array, dtype=torch.float32, device=device) for array in part)
            for part in windows
        )
        self._weights = {
            key: torch.tensor(value, dtype=torch.float32, device=device, requires_grad=True)
            for key, value in start.items()
        }
        # Biases are not pulled to zero: the last one is the base rate.
        free = [value for key, value in self._weights.items() if key.endswith(_FREE)]
        held = [value for key, value in self._weights.items() if not key.endswith(_FREE)]
        groups: list[dict[str, Any]] = [{"params": held}, {"params": free, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(
            groups, lr=options.learning_rate, weight_decay=options.weight_decay
        )
        n_windows = len(self._train[0])
        self._batch = max(options.batch, math.ceil(n_windows / _MOST_STEPS))
        self._steps_per_epoch = math.ceil(n_windows / self._batch)
        self._epoch = 0
        self._best: Arrays = self._snapshot()
        self._losses = [(math.nan, self._validation_loss())]  # by epoch, train and validation
        self._best_epoch = 0
        self._fingerprint = _fingerprint(windows, start, options, device.type)

    def run(self, watch: FitWatch) -> NetworkFit:
        """Train to the end, from a checkpoint of the same training if there is one."""
        self._resume(watch.store)
        stopped = "epochs"
        while self._epoch < self._options.epochs:
            if self._epoch - self._best_epoch >= self._options.patience:
                stopped = "patience"
                break
            if watch.is_over is not None and watch.is_over():
                stopped = "time"
                break
            self._step_epoch()
            if watch.store is not None:
                watch.store.save(
                    self._name,
                    self._arrays(),
                    {
                        "fingerprint": self._fingerprint,
                        "epoch": self._epoch,
                        "best": self._best_epoch,
                        "losses": [list(pair) for pair in self._losses[1:]],
                    },
                )
            if watch.on_epoch is not None:
                losses = self._losses[-1]
                watch.on_epoch(
                    Epoch(self._name, self._epoch, self._options.epochs, *losses, self._best_epoch)
                )
        tensors = {name: value.astype(np.float64) for name, value in self._best.items()}
        losses = self._losses[self._best_epoch]
        return NetworkFit(tensors, self._epoch, self._best_epoch, *losses, stopped, self._device.type)

    def agrees_with_cpu(self) -> bool:
        """Return whether the CPU makes the same log-odds of the best weights, within rounding."""
        import torch

        log_odds = []
        with torch.no_grad():
            for device in (self._device, torch.device("cpu")):
                weights = {k: torch.tensor(v, device=device) for k, v in self._best.items()}
                x = self._validate[0].to(device)
                log_odds.append(self._network.forward(weights, x, self._sizes).cpu())
        return bool((log_odds[0] - log_odds[1]).abs().max() < _AGREES)

    def _step_epoch(self) -> None:
        """Take one pass over the training windows in an order that depends on seed and epoch alone."""
        import torch

        options = self._options
        key = [options.seed, self._epoch]
        order = torch.as_tensor(np.random.default_rng(key).permutation(len(self._train[0])))
        hidden = torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        total = weight = 0.0
        for number, chosen in enumerate(torch.split(order, self._batch)):
            x, y, w = (array[chosen.to(self._device)] for array in self._train)
            if options.dropout > 0.0:
                shown = torch.rand((len(x), 1, x.shape[2]), generator=hidden) >= options.dropout
                x = x * (shown.to(self._device) / (1.0 - options.dropout))
            with self._autocast():
                z = self._network.forward(self._weights, x, self._sizes)
            loss = _loss(z, y, w)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            torch.nn.utils.clip_grad_norm_(self._weights.values(), options.clip_norm)
            for group in self._optimizer.param_groups:
                group["lr"] = self._rate(self._epoch * self._steps_per_epoch + number)
            self._optimizer.step()
            rows = float(w.sum())
            total, weight = total + rows * float(loss.detach()), weight + rows
        self._epoch += 1
        self._losses.append((total / weight, self._validation_loss()))
        # A loss that is not a number is no better than any.
        if self._losses[-1][1] < self._losses[self._best_epoch][1]:
            self._best, self._best_epoch = self._snapshot(), self._epoch

    def _rate(self, step: int) -> float:
        """Return the learning rate of a step: up in a line, down along half a cosine."""
        n = self._steps_per_epoch * self._options.epochs
        rise = max(math.ceil(_WARM_UP * n), 1)
        if step < rise:
            return self._options.learning_rate * (step + 1) / rise
        share = (step - rise) / max(n - rise, 1)
        shape = _LOWEST_RATE + (1.0 - _LOWEST_RATE) * 0.5 * (1.0 + math.cos(math.pi * share))
        return self._options.learning_rate * shape

    def _validation_loss(self) -> float:
        import torch

        x, y, w = self._validate
        with torch.no_grad():
            return float(_loss(self._network.forward(self._weights, x, self._sizes), y, w))

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        if self._device.type == "cpu" or not torch.cuda.is_bf16_supported():
            return nullcontext()
        return torch.autocast(self._device.type, dtype=torch.bfloat16)

    def _snapshot(self) -> Arrays:
        return {name: value.detach().cpu().numpy().copy() for name, value in self._weights.items()}

    def _arrays(self) -> Arrays:
        """Return every array that the next epoch needs, by name."""
        arrays = {f"now.{name}": value for name, value in self._snapshot().items()}
        arrays |= {f"best.{name}": value for name, value in self._best.items()}
        for name, value in self._weights.items():
            for moment in _MOMENTS:
                carried = self._optimizer.state[value][moment]
                arrays[f"{moment}.{name}"] = carried.cpu().numpy().copy()
        return arrays

    def _resume(self, store: CheckpointStore | None) -> None:
        """Go on at a checkpoint of the same training; one of another is left alone."""
        import torch

        found = store.load(self._name) if store is not None else None
        if found is None or found[1].get("fingerprint") != self._fingerprint:
            return
        arrays, values = found
        self._epoch, self._best_epoch = values["epoch"], values["best"]
        self._losses += [(pair[0], pair[1]) for pair in values["losses"]]
        for name, value in self._weights.items():
            self._best[name] = arrays[f"best.{name}"]
            with torch.no_grad():
                value.copy_(torch.as_tensor(arrays[f"now.{name}"]))
            state = {moment: torch.tensor(arrays[f"{moment}.{name}"]) for moment in _MOMENTS}
            steps = torch.tensor(float(self._epoch * self._steps_per_epoch))
            moved = {moment: tensor.to(self._device) for moment, tensor in state.items()}
            self._optimizer.state[value] = {"step": steps, **moved}


def _loss(z: "Tensor", y: "Tensor", weights: "Tensor") -> "Tensor":
    """Return the weighted mean log-loss of log-odds."""
    import torch

    each = torch.nn.functional.binary_cross_entropy_with_logits(z.float(), y, reduction="none")
    return (each * weights).sum() / weights.sum()


def _fingerprint(
    windows: tuple[Sequences, Sequences],
    start: Mapping[str, FloatArray],
    options: TrainingOptions,
    device: str,
) -> str:
    """Return a digest of all that decides how a training goes."""
    digest = hashlib.sha256(json.dumps([options.to_json(), device], sort_keys=True).encode())
    for part in windows:
        for array in part:
            digest.update(np.ascontiguousarray(array).tobytes())
    for name in sorted(start):
        digest.update(name.encode() + np.ascontiguousarray(start[name]).tobytes())
    return digest.hexdigest()
