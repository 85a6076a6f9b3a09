"""
Stage 5: the model in force, its state for every symbol, and the swap to another one between two instants.

A model that takes over reads the recent rows first: its state is what it would be had it read them all along, and its
probabilities come at once.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from papertape.engine.candles import CANDLE, timeframe_ms
from papertape.engine.errors import DataError
from papertape.engine.features import columns_of
from papertape.engine.features.own.base import OwnFeature
from papertape.engine.features.own.definition import definitions_of
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.model.artefact import Artefact, read_artefact
from papertape.engine.model.inference.predictions import Predictions
from papertape.engine.model.inference.recent import Recent, RecentRows
from papertape.engine.model.kinds import infer
from papertape.engine.model.record import ModelRecord
from papertape.engine.model.training.labels import ANSWERS, SIGNAL, Question

_SIDES: Final = Question()
# computed beside what models read: labels and predictions are told in it
MODEL_ATR: Final = "atr_14"


def read_rows(artefact: Artefact, symbol: str, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Return the probabilities (n,) that a model makes of rows from a zero state, and the state after them.

    rows  shape (n, n_inputs), oldest first; NaN where a value is missing or the candle was absent

    Raises DataError when the model does not know the symbol.
    """
    n, n_inputs = rows.shape
    features = np.full((n_inputs + 1, n), np.nan)
    features[:-1] = rows.T
    state = np.zeros(artefact.state_length)
    infer(
        artefact.kind.code,
        features,
        np.arange(n_inputs),
        n,
        np.zeros(n, CANDLE),
        artefact.weights_for(symbol),
        artefact.sizes,
        artefact.record.members,
        state,
        artefact.scratch(),
        n_inputs,
    )
    return features[-1], state


class CurrentModel:
    """
    No model at first; then the newest one that was given.

    columns    names of the feature matrix's rows; the last one is where probabilities go
    features   requests that models may read; none: there will be no model
    timeframe  of the strategy; a model of another one is refused
    most       closes of one block of candles
    traded     numbers of the symbols that it is asked about; default: all
    own        features of somebody's own, by name
    question   that it has to answer; a model of another one, or about signals of another strategy, is refused
    """

    def __init__(
        self,
        columns: Sequence[str],
        features: Sequence[str],
        timeframe: str,
        symbols: Sequence[str],
        most: int,
        traded: Sequence[int] | None = None,
        own: Mapping[str, OwnFeature] = MappingProxyType({}),
        question: Question = _SIDES,
    ) -> None:
        row_by_column = {name: row for row, name in enumerate(columns)}
        names = dict.fromkeys(name for request in features for name in columns_of(request))
        self.columns = tuple(names)
        self._rows: IntArray = np.array([row_by_column[name] for name in names], np.int64)
        self._probability_row = len(columns) - 1
        self._timeframe, self._own, self._question = timeframe, own, question
        self._symbols = tuple(symbols)
        self._traded = tuple(range(len(symbols)) if traded is None else traded)
        self._recent = Recent(len(symbols), len(names))
        self._predictions = Predictions(
            len(symbols),
            most,
            timeframe_ms(timeframe),
            (self._probability_row, row_by_column.get(MODEL_ATR, 0)),
        )
        self._bytes = b""
        self.artefact: Artefact | None = None
        self._state: FloatArray = np.zeros((len(symbols), 0))

    def _install(self, artefact: Artefact, state: FloatArray) -> None:
        """Make an artefact the one in force; state: shape (n_symbols, state_length)."""
        columns = [self.columns.index(name) for name in artefact.record.inputs]
        self._inputs = self._rows[columns]
        self._weights = {i: artefact.weights_for(self._symbols[i]) for i in self._traded}
        self._sizes, self._members = artefact.sizes, artefact.record.members
        self._work = artefact.scratch()
        self._code = artefact.kind.code
        self._state = state
        self.artefact = artefact

    def swap(self, version: int, data: bytes) -> None:
        """Take over a model, or raise DataError before anything has changed; no bytes: from now on there is none."""
        if not data:
            self._retire(version)
            return
        if version < 1:
            raise DataError(f"model: version {version} is not above 0")
        artefact = read_artefact(data)
        self._refuse(version, artefact.record)
        try:
            read = {symbol: self._warm_up(artefact, symbol) for symbol in self._traded}
        except DataError as error:
            raise DataError(f"model {version}: {error}") from error
        states = np.zeros((len(self._symbols), artefact.state_length))
        for symbol, (probabilities, state) in read.items():
            states[symbol] = state
            self._recent.tell(symbol, probabilities)
        self._install(artefact, states)
        self._bytes = data

    def _refuse(self, version: int, record: ModelRecord) -> None:
        """Raise DataError for a model of other candles, another question or features that are not computed here."""
        if record.version not in (0, version):
            raise DataError(f"model {version}: its record says version {record.version}")
        if record.timeframe != self._timeframe:
            raise DataError(
                f"model {version}: it was trained on {record.timeframe} candles, not on the strategy's "
                f"{self._timeframe}"
            )
        if record.asks != self._question.asks:
            raise DataError(
                f"model {version}: it says {ANSWERS[record.asks]}, and this strategy asks {ANSWERS[self._question.asks]}; train one "
                "for its question, or change signals.model_asks"
            )
        signals_of = self._question.signals_of
        if record.asks == SIGNAL and record.label.get("signals_of") != signals_of:
            raise DataError(
                f"model {version}: it says whether signals of {record.label.get('signals_of')} pay, and those here are of "
                f"{signals_of or 'no name'}; train one for them, or set the strategy as it was when it was trained"
            )
        missing = [name for name in record.inputs if name not in self.columns]
        if missing:
            raise DataError(
                f"model {version}: feature {missing[0]!r} is not computed here; add it to model_features"
            )
        here = definitions_of(tuple(record.definitions), self._own)
        for name, definition in record.definitions.items():
            if here.get(name) != definition:
                raise DataError(
                    f"model {version}: feature {name!r} is not the one that it was trained on; train it anew, or put the "
                    "feature back as it was"
                )

    def _retire(self, version: int) -> None:
        """Go on without a model."""
        if version:
            raise DataError(f"model {version}: it has no bytes; version 0 alone means no model")
        self.artefact, self._bytes = None, b""
        self._state = np.zeros((len(self._symbols), 0))
        for symbol in self._traded:
            self._recent.tell(symbol, np.full(len(self._recent.of(symbol).probabilities), np.nan))

    def _warm_up(self, artefact: Artefact, symbol: int) -> tuple[FloatArray, FloatArray]:
        """Return what a model makes of one symbol's recent rows, and its state after them."""
        columns = [self.columns.index(name) for name in artefact.record.inputs]
        rows = self._recent.of(symbol).rows[:, columns]
        return read_rows(artefact, self._symbols[symbol], rows)

    def infer(self, symbol: int, features: FloatArray, bars: Rows, n: int) -> None:
        """Write the probabilities of one symbol at `n` closes into the last row of its matrix, and keep what it read."""
        if n == 0 or not self.columns:
            return
        if self.artefact is not None:
            infer(
                self._code,
                features,
                self._inputs,
                n,
                bars,
                self._weights[symbol],
                self._sizes,
                self._members,
                self._state[symbol],
                self._work,
                self._probability_row,
            )
            self._predictions.add(symbol, features, n, bars)
        else:
            features[self._probability_row, :n] = np.nan
        self._recent.add(symbol, features, self._rows, n, bars, self._probability_row)

    def restart(self, symbol: int) -> None:
        """Let a symbol begin anew: the model's state of it is zero, and nothing recent is known."""
        self._state[symbol] = 0.0
        self._recent.restart(symbol)

    def take_predictions(self, version: int) -> Rows:
        """Return PREDICTION records of every close since the last call; version: of the model in force."""
        return self._predictions.take(version)

    def recent(self, symbol: int) -> RecentRows:
        """
        Return the newest closes of one symbol, up to RECENT, columns as in `columns`.

        The probabilities are those of the model in force, also of closes before it took over; NaN without one.
        """
        return self._recent.of(symbol)

    def save(self) -> dict[str, Rows]:
        """Return the artefact, the state and the recent rows by name."""
        return {
            "model_artefact": np.frombuffer(self._bytes, np.uint8),
            "model_state": self._state,
            **self._recent.save(),
        }

    def load(self, saved: dict[str, Rows]) -> None:
        """Take over what `save` returned."""
        self._bytes = saved["model_artefact"].tobytes()
        self._recent.load(saved)
        self.artefact = None
        self._state = saved["model_state"]
        if self._bytes:
            self._install(read_artefact(self._bytes), self._state)
