"""Stage 5: the model in force, its state for every symbol, and the swap to another one between two instants."""

from collections.abc import Sequence

import numpy as np

from engine.errors import DataError
from engine.jit import FloatArray, IntArray, Rows
from engine.model.artefact import Artefact, read_artefact
from engine.model.kinds import infer


class CurrentModel:
    """
    No model at first; then the newest one that was given.

    columns    names of the feature matrix's rows; the last one is where probabilities go
    timeframe  of the strategy; a model of another one is refused
    """

    def __init__(self, columns: Sequence[str], timeframe: str, n_symbols: int) -> None:
        self._row_by_column = {name: row for row, name in enumerate(columns)}
        self._probability_row = len(columns) - 1
        self._timeframe = timeframe
        self._n_symbols = n_symbols
        self._bytes = b""
        self._install(None)

    def _install(self, artefact: Artefact | None) -> None:
        """Make an artefact the one in force, with a fresh state."""
        self.artefact = artefact
        if artefact is None:
            self._state = np.zeros(self._n_symbols, np.float64)
            return
        self._weights: FloatArray = artefact.weights
        rows = [self._row_by_column[name] for name in artefact.record.columns]
        self._rows: IntArray = np.array(rows, np.int64)
        self._code = artefact.kind.code
        self._state = np.zeros(self._n_symbols, artefact.kind.state)

    def swap(self, version: int, data: bytes) -> None:
        """Take over a model, or raise DataError before anything has changed."""
        if version < 1:
            raise DataError(f"model: version {version} is not above 0")
        artefact = read_artefact(data)
        record = artefact.record
        if record.version not in (0, version):
            raise DataError(f"model {version}: its record says version {record.version}")
        if record.timeframe != self._timeframe:
            raise DataError(
                f"model {version}: it was trained on {record.timeframe} candles, not on the strategy's "
                f"{self._timeframe}"
            )
        missing = [name for name in record.columns if name not in self._row_by_column]
        if missing:
            raise DataError(
                f"model {version}: feature {missing[0]!r} is not computed here; add it to model_features"
            )
        self._bytes = data
        self._install(artefact)

    def infer(self, symbol: int, features: FloatArray, n: int) -> None:
        """Write the probabilities of one symbol at `n` closes into the last row of its matrix."""
        if self.artefact is not None and n > 0:
            infer(
                self._code,
                features,
                self._rows,
                n,
                self._weights,
                self._state[symbol : symbol + 1],
                self._probability_row,
            )

    def save(self) -> dict[str, Rows]:
        """Return the artefact and the state as bytes."""
        state = self._state if self.artefact is not None else self._state[:0]
        return {
            "model_artefact": np.frombuffer(self._bytes, np.uint8),
            "model_state": np.frombuffer(state.tobytes(), np.uint8),
        }

    def load(self, saved: dict[str, Rows]) -> None:
        """Take over what `save` returned."""
        self._bytes = saved["model_artefact"].tobytes()
        self._install(read_artefact(self._bytes) if self._bytes else None)
        if self.artefact is not None:
            self._state[:] = np.frombuffer(saved["model_state"].tobytes(), self._state.dtype)
