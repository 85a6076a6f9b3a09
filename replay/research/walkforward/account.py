"""The account of a walk-forward: an ordinary replay whose parameters switch where each choice takes over."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from papertape.replay.backtesting.summary import Run
from papertape.replay.config import Config
from papertape.replay.research.sweep.axes import parameter_in, with_changes
from papertape.replay.research.sweep.parts import moment, performance_between, span
from papertape.replay.research.walkforward.windows import Window

Metrics = Mapping[str, float | None]


def account_configuration(
    config: Config, windows: Sequence[Window], chosen: Sequence[Mapping[str, Any]], at_switch: str
) -> Config:
    """
    Return the configuration of the account: the first choice's parameters, and the others' as a schedule.

    chosen  what each window changes, by key; raises ConfigError for what cannot be
    """
    (first, own), *later = map(_placed, chosen)
    entries = [
        {"start": moment(window.test_ms), "parameters": of_all, "symbols": by_symbol}
        for window, (of_all, by_symbol) in zip(windows[1:], later, strict=True)
    ]
    strategy = config.strategy
    changes: dict[str, Any] = {
        **span(windows[0].train_ms, windows[-1].end_ms),
        "strategy.start": moment(windows[0].test_ms),
        "strategy.parameters": {**strategy.parameters, **first},
        "strategy.symbols": {
            symbol: {**strategy.symbols.get(symbol, {}), **own.get(symbol, {})}
            for symbol in {**strategy.symbols, **own}
        },
        "strategy.schedule": entries,
        "strategy.at_switch": at_switch,
    }
    return with_changes(config, changes)


def _placed(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what a choice changes of the parameters of all, and of those of each symbol."""
    of_all: dict[str, Any] = {}
    by_symbol: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        found = parameter_in(key)
        assert found is not None
        symbol, name = found
        place = by_symbol.setdefault(symbol, {}) if symbol else of_all
        place[name] = value
    return of_all, by_symbol


def by_window(config: Config, run: Run, windows: Sequence[Window]) -> list[Metrics]:
    """Return the metrics of the account in each window, from the equity that it had there; none after its ruin."""
    found: list[Metrics] = []
    for window in windows:
        row = int(np.searchsorted(run.marks["time_ms"], window.test_ms, "right")) - 1
        is_alive = row < 0 or int(run.marks["equity"][row]) > 0
        measured = performance_between(config, run, window.test_ms, window.end_ms) if is_alive else None
        found.append(measured.metrics if measured is not None else {})
    return found
