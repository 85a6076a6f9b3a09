"""Which series a configuration gives a run, read from their files and refused where they are of nothing that is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.events import Funding, SeriesRows
from papertape.engine.jit import Rows, join_rows
from papertape.engine.records import FUNDING_RATE, MARK_PRICE, SERIES, SERIES_NAMES
from papertape.engine.spec import EngineSpec, Market
from papertape.replay.config import Config
from papertape.replay.events.series import FundingUse, SeriesUse, funding_use, series_use
from papertape.replay.importers.series import SeriesFile, read_series


@dataclass(frozen=True, slots=True)
class RecordedSeries:
    """Everything that a run is given beside candles: settlements to pay, and what was known when."""

    funding: tuple[FundingUse, ...] = ()
    others: tuple[SeriesUse, ...] = ()

    @property
    def rows(self) -> Rows:
        """Return what was known when, rates of settlements included, for whoever reads features without an engine."""
        return _joined([use.rows for use in self.others])

    def events(self) -> list[tuple[int, Funding | SeriesRows]]:
        """Return the events of a run: settlements at their times, and first of all what an engine may know beside them."""
        settled = [event for use in self.funding for event in use.paid]
        paid = {(event.symbol, event.time_ms) for _, event in settled}
        kept = []
        for use in self.others:
            rows = use.rows
            # An engine notes what is settled by itself, but no rate older than one of which it is told that it will be missing.
            if use.file.kind == FUNDING_RATE and not np.isnan(rows["value"]).any():
                times = zip(rows["symbol"].tolist(), (rows["known_ms"] - 1).tolist(), strict=True)
                is_paid = np.array([pair in paid for pair in times], bool)
                rows = rows[~is_paid]
            kept.append(rows)
        rows = _joined(kept)
        told: list[tuple[int, Funding | SeriesRows]] = [(0, SeriesRows(rows))] if len(rows) else []
        return [*told, *settled]

    def sections(self) -> dict[str, Any]:
        """Return what result.json holds: settlements, and the files of the other series."""
        found: dict[str, Any] = {}
        if self.funding:
            found["funding"] = {use.symbol: use.section() for use in self.funding}
        for use in self._unpaid():
            found.setdefault("series", {}).setdefault(use.symbol, {})[use.name] = use.section()
        return found

    def sentences(self) -> list[str]:
        """Return where series other than funding, which says so itself, were not known."""
        return [line for use in self._unpaid() for line in use.sentences()]

    def _unpaid(self) -> list[SeriesUse]:
        return [use for use in self.others if use.file.kind != FUNDING_RATE]

    def without_marks(self, symbol: str) -> int | None:
        """Return how many base candles of a symbol have no mark price of their own, None without any marks."""
        found = [u.unmarked for u in self.others if u.symbol == symbol and u.file.kind == MARK_PRICE]
        return found[0] if found else None


NO_SERIES: Final = RecordedSeries()


def _joined(parts: Sequence[Rows]) -> Rows:
    parts = [np.ascontiguousarray(rows) for rows in parts if len(rows)]
    return join_rows(parts) if parts else np.zeros(0, SERIES)


def recorded_series(config: Config, spec: EngineSpec, cuts: Sequence[Rows]) -> RecordedSeries:
    """
    Return the series of a run over these candles, in the engine's order.

    Raises ConfigError for a series of a symbol that has none, DataError for a file that is none.
    """
    base_ms = timeframe_ms(spec.base_timeframe)
    funding, others = [], []
    by_symbol = {market.symbol: market for market in spec.markets}
    for kind, name in enumerate(SERIES_NAMES):
        for symbol, path in sorted(getattr(config.data, name).items()):
            where = f"data.{name}.{symbol}"
            if symbol not in by_symbol:
                raise ConfigError(f"{where}: no tape has that symbol{did_you_mean(symbol, by_symbol)}")
            _refuse_spot(where, kind, by_symbol[symbol])
            file = read_series(path, symbol, kind)
            _refuse_long(where, file, base_ms, by_symbol[symbol], spec.base_timeframe)
            index = spec.symbols.index(symbol)
            if kind == FUNDING_RATE:
                funding.append(funding_use(file, symbol, index, cuts[index], base_ms))
            others.append(series_use(file, symbol, index, cuts[index], base_ms))
    return RecordedSeries(tuple(funding), tuple(others))


def _refuse_spot(where: str, kind: int, market: Market) -> None:
    if kind in (FUNDING_RATE, MARK_PRICE) and not market.is_perpetual:
        raise ConfigError(
            f"{where}: a spot market has no {SERIES_NAMES[kind]}; where it is a perpetual, write "
            f'markets.{market.symbol}.kind = "perpetual"'
        )


def _refuse_long(where: str, file: SeriesFile, base_ms: int, market: Market, base_timeframe: str) -> None:
    """Raise ConfigError for marks that liquidations cannot be tested on, where there are any to test."""
    if file.kind != MARK_PRICE or not market.leverage or 0 < file.step_ms <= base_ms:
        return
    raise ConfigError(
        f"{where}: {file.name} has a value every {file.step_ms / 60_000:g} minutes, and liquidation is tested in every "
        f"candle of {base_timeframe}; give finer marks, or a tape of longer candles"
    )
