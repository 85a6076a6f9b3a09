"""
Rules of the user's own: equity falls, a feature crosses a value, price enters a known order block.

A rule is told when it comes true, and again only after it was not; what was true before a restart is not told again. An order
block is known from the close that made it on, and it is entered when a later candle reaches its near edge.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.features import columns_of
from papertape.engine.features.matrix import MODEL_PROBABILITY
from papertape.engine.features.smc.events import ORDER_BLOCK_TOUCHED
from papertape.engine.jit import FloatArray, Rows
from papertape.engine.strategies import make_strategy
from papertape.replay.config import Config
from papertape.replay.config.live import NotificationRule
from papertape.replay.learning.settings import features_of

if TYPE_CHECKING:
    from papertape.daemon.notifications.memory import ToldMemory
    from papertape.engine.core import Engine
    from papertape.engine.report import Report

_TRUE: Final = "true"
_STRUCTURE: Final = "smc_"  # what columns of market structure begin with


class RuleWatch:
    """
    The user's rules over one engine.

    peak    highest equity before, in quote
    places  decimals that amounts are shown with

    Raises ConfigError for a feature that the engine does not compute and a symbol that it does not follow.
    """

    def __init__(
        self,
        rules: Sequence[NotificationRule],
        engine: "Engine",
        memory: "ToldMemory",
        peak: float,
        places: int = 2,
    ) -> None:
        self._rules, self._symbols, self._memory, self._peak = rules, engine.symbols, memory, peak
        self._places = places
        columns = tuple(engine.frames.columns)
        refuse_unknown(rules, columns, engine.symbols)
        self._columns = {name: row for row, name in enumerate(columns)}
        self._units_per_quote = engine.spec.units_per_quote
        self._values: dict[str, list[FloatArray]] = {}  # of the newest closes, by symbol

    def watch(self, symbol: int, matrix: FloatArray, bars: Rows) -> None:
        """Keep one symbol's features at closes of a step; a candle that nobody gave closes nothing."""
        is_there = bars["flag_bits"] & FLAG_ABSENT == 0
        values = matrix[:, : len(bars)][:, is_there].copy()
        self._values.setdefault(self._symbols[symbol], []).append(values)

    def sentences(self, report: "Report", *, is_told: bool) -> Iterator[str]:
        """Yield what has come true in a step; is_told: otherwise it is only remembered, while history comes in."""
        values, self._values = self._values, {}
        for rule in self._rules:
            for name, is_true, sentence in self._changes(rule, report, values):
                if self._memory.set(name, _TRUE if is_true else "") and is_true and is_told:
                    yield sentence
        if is_told:
            yield from self._entered(report)

    def _changes(
        self, rule: NotificationRule, report: "Report", values: dict[str, list[FloatArray]]
    ) -> Iterator[tuple[str, bool, str]]:
        """Yield each rule's mark, whether it is true at a close, and its sentence, in the order of closes."""
        if rule.by is not None:
            yield from self._falls(rule.by, report)
        elif rule.feature is not None and rule.value is not None:
            sign = 1.0 if rule.when == "feature_rises_above" else -1.0
            word = "above" if sign > 0.0 else "below"
            row = self._columns[rule.feature]
            for symbol, parts in values.items():
                if rule.symbol not in (None, symbol):
                    continue
                for value in np.concatenate([part[row] for part in parts]).tolist():
                    if math.isnan(value):
                        continue
                    is_true = sign * (value - rule.value) > 0.0
                    sentence = f"{symbol}: {rule.feature} is {word} {rule.value:g}, at {value:.6g}"
                    yield f"{rule.when} {rule.feature} {rule.value:g} {symbol}", is_true, sentence

    def _falls(self, by: float, report: "Report") -> Iterator[tuple[str, bool, str]]:
        """Equity against its highest: true until there is a new highest."""
        name = f"equity_falls {by:g}"
        for mark in report.marks:
            equity = int(mark["equity"]) / self._units_per_quote
            if equity > self._peak:
                self._peak = equity
                yield name, False, ""
            elif equity <= self._peak * (1.0 - by):
                share = 1.0 - equity / self._peak
                now, highest = (f"{worth:,.{self._places}f}" for worth in (equity, self._peak))
                yield name, True, f"equity {now} is {share:.2%} below its highest, {highest}"

    def _entered(self, report: "Report") -> Iterator[str]:
        wanted = [rule.symbol for rule in self._rules if rule.when == "enters_order_block"]
        if not wanted:
            return
        for event in report.events[report.events["kind"] == ORDER_BLOCK_TOUCHED]:
            symbol = self._symbols[int(event["symbol"])]
            if None in wanted or symbol in wanted:
                side = "bullish" if event["side"] > 0 else "bearish"
                yield f"{symbol}: price enters a {side} order block, {event['bottom']:.6g} to {event['top']:.6g}"


def refuse_unknown(rules: Sequence[NotificationRule], columns: Sequence[str], symbols: Sequence[str]) -> None:
    """Raise ConfigError for what no rule can read; without columns or symbols any is taken."""
    lines = []
    for number, rule in enumerate(rules):
        where = f"notifications.rules.{number}"
        if rule.feature is not None and columns and rule.feature not in columns:
            lines.append(
                f"{where}.feature: {rule.feature!r} is not computed{did_you_mean(rule.feature, columns)}; "
                "signals.extra_features computes more"
            )
        has_structure = any(column.startswith(_STRUCTURE) for column in columns)
        if rule.when == "enters_order_block" and columns and not has_structure:
            lines.append(
                f"{where}.when: enters_order_block needs market structure, which is not computed: "
                "signals.use_smc switches it on, or signals.extra_features with smc"
            )
        if rule.symbol is not None and symbols and rule.symbol not in symbols:
            lines.append(
                f"{where}.symbol: {rule.symbol!r} is not followed{did_you_mean(rule.symbol, symbols)}"
            )
    if lines:
        raise ConfigError("\n".join(lines))


def check_rules(config: Config) -> None:
    """Raise ConfigError for a rule that this account cannot hold; what a user's own code computes is known at the start."""
    rules = config.notifications.rules
    columns: tuple[str, ...] = ()
    if ":" in config.strategy.name or config.signals.own_features:
        rules = tuple(rule for rule in rules if rule.feature is None)
    else:
        chosen = config.strategy
        made = [
            make_strategy(chosen.name, chosen.parameters_in(entry, symbol))
            for entry in (None, *chosen.schedule)
            for symbol in ("", *chosen.symbols_in(entry))
        ]
        models = features_of(config, config.data.timeframe or config.live.timeframe)
        requests = (*(name for one in made for name in one.features), *config.signals.extra_features, *models)
        columns = tuple(column for one in requests for column in columns_of(one))
        columns = (*columns, MODEL_PROBABILITY)
    refuse_unknown(rules, columns, config.live.symbols)
