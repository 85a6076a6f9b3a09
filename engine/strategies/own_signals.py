"""
A strategy's own signals: the side that it would enter at each close if no model had an opinion.

They are what a model answers for that is asked whether a signal pays (`model_asks = "signal"`). Nothing but candles makes them,
so they are the same for training, for a replay and for a daemon, in any batching. That holds for strategies that answer whole
batches, which see no account, and only where a model leaves out or shrinks what they would do anyway.
Source: M. López de Prado, Advances in Financial Machine Learning (2018), section 3.6, meta-labels.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

import numpy as np

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.errors import ConfigError, StrategyError
from papertape.engine.features import columns_of
from papertape.engine.features.own.names import request_texts
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.model.training.labels import QUESTIONS, SIDE, SIGNAL, Question
from papertape.engine.records import DECISION, LONG, SHORT
from papertape.engine.strategies.protocol import KernelStrategy, Strategy, state_dtype_of
from papertape.engine.strategies.turns import Turn
from papertape.engine.user_code.raised import told

_OPINIONS: Final = (0.01, 0.99)  # of a model that is sure


def model_asks_of(strategy: KernelStrategy | Strategy) -> str:
    """Return which of QUESTIONS a strategy has a model answer, or raise ConfigError."""
    asks = getattr(strategy, "model_asks", SIDE)
    if asks not in QUESTIONS:
        raise ConfigError(f"strategy: model_asks {asks!r} is not one of {', '.join(QUESTIONS)}")
    return str(asks)


def refuse_two_questions(strategies: Sequence[KernelStrategy | Strategy]) -> None:
    """Raise ConfigError where turns or symbols have a model answer different questions: there is one model for all."""
    if len({model_asks_of(one) for one in strategies}) > 1:
        raise ConfigError(
            "strategy: model_asks is not the same for every symbol and entry of the schedule, and one model answers one "
            "question; set it once, in signals.model_asks"
        )


def even_chance(stop: float, target: float) -> float:
    """Return the probability of paying at which a bracket's gains and losses even out, costs aside."""
    return stop / (stop + target)


def can_short_of(markets: Iterable[Any], allow_short: bool) -> dict[str, bool]:
    """Return whether a short position can be held at all, by symbol of the markets that are traded."""
    traded = [market for market in markets if not market.read_only]
    return {market.symbol: allow_short and market.is_perpetual for market in traded}


def question_of(turns: Sequence[Turn], can_short: Mapping[str, bool]) -> Question:
    """Return what a model is asked; whose signals stays empty for a strategy whose own cannot be told from candles."""
    strategy = turns[0].strategy
    asks = model_asks_of(strategy)
    is_named = asks == SIGNAL and isinstance(strategy, KernelStrategy)
    return Question(asks, signals_name(turns, can_short) if is_named else "")


def signals_name(turns: Sequence[Turn], can_short: Mapping[str, bool]) -> str:
    """
    Return what signals are called: `name:digest` of the strategy, with its parameters of every turn and symbol.

    can_short  by symbol, whether a short signal can be traded; the start of the first turn is none of a signal's business

    Raises ConfigError for a strategy whose signals cannot be told from candles alone.
    """
    first: Any = turns[0].strategy
    kind = type(first).__qualname__
    if not isinstance(first, KernelStrategy):
        raise ConfigError(
            f"strategy {kind}: it is shown its account, so what it would do without a model cannot be told from candles; "
            "have a model answer which side pays (signals.model_asks), or answer whole batches (decide_batch)"
        )
    told_apart = sorted(can_short.items())
    sides = told_apart if len(set(can_short.values())) > 1 else sorted(set(can_short.values()))
    begins = turns[0]._replace(start_ms=0)
    text = json.dumps([sides, *(turn.as_text() for turn in (begins, *turns[1:]))])
    return f"{first.name}:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


class OwnSignals:
    """
    Asks the strategy of every turn at closes in their order, apart from any engine.

    turns    what decides from when on; symbols: that it is asked about
    columns  names of the matrix's rows; can_short: by symbol, whether a short signal can be traded at all
    """

    def __init__(
        self, turns: Sequence[Turn], symbols: Sequence[str], columns: Sequence[str], can_short: Sequence[bool]
    ) -> None:
        self._symbols, self._can_short = tuple(symbols), tuple(can_short)
        self._name = signals_name(turns, {}).partition(":")[0]
        self._later = [turn.start_ms for turn in turns[1:]]
        self._asked: list[list[Any]] = [[deepcopy(turn.of(symbol)) for symbol in symbols] for turn in turns]
        place = {name: row for row, name in enumerate(columns)}
        self._rows = [[[place[name] for name in _columns_of(one)] for one in turn] for turn in self._asked]
        self._state = np.zeros((len(turns), len(symbols)), state_dtype_of(turns[0].strategy))

    def restart(self, symbol: int) -> None:
        """Let a symbol begin anew, by its place."""
        self._state[:, symbol] = np.zeros(1, self._state.dtype)[0]

    def of(self, symbol: int, matrix: FloatArray, bars: Rows, n: int, close_ms: IntArray) -> FloatArray:
        """
        Return +1, −1, or 0 for no signal, at the next `n` closes of one symbol.

        matrix  shape (n_columns, >= n); bars: the candles that closed, at least n

        Raises StrategyError for a strategy that fails, ConfigError for one that a model makes enter what it would not.
        """
        sides = np.zeros(n)
        turn = np.searchsorted(self._later, close_ms, "left")
        for number, asked in enumerate(self._asked if n else ()):
            one, rows = asked[symbol], self._rows[number][symbol]
            features = np.vstack([matrix[rows, :n], np.full((1, n), np.nan)])
            state = self._state[number, symbol : symbol + 1]
            before = state.copy()
            own = self._entered(one, features, bars, n, state)
            for opinion in _OPINIONS:
                features[-1] = opinion
                with_model = self._entered(one, features, bars, n, before.copy())
                if ((with_model != 0) & (with_model != own)).any():
                    raise ConfigError(
                        f"strategy {self._name}: with a model it enters what it would not enter without one, so its signal is "
                        "partly the model's and cannot be what the model is asked about; let the model leave out or shrink "
                        "entries only, or have it answer which side pays (signals.model_asks)"
                    )
            sides = np.where(turn == number, own, sides)
        sides[bars["flag_bits"][:n] & FLAG_ABSENT != 0] = 0.0
        if not self._can_short[symbol]:
            sides[sides < 0.0] = 0.0
        return sides

    def _entered(self, strategy: Any, features: FloatArray, bars: Rows, n: int, state: Rows) -> FloatArray:
        """Return the side that a strategy enters at each close, 0 where it enters nothing."""
        wishes = np.zeros(n, DECISION)
        try:
            strategy.decide_batch(features, bars, n, state, wishes)
        except Exception as error:  # the boundary to a user's code: no error of it is ours
            raise StrategyError(f"strategy {self._name}: {told(error)}") from error
        target = wishes["target"]
        return np.where((target == LONG) | (target == SHORT), target, 0).astype(np.float64)


def _columns_of(strategy: Any) -> list[str]:
    return [name for request in request_texts(strategy.features) for name in columns_of(request)]
