"""Records as tables: names for numbers, quote for money units, UTC times for milliseconds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from papertape.engine.candles import CANDLE
from papertape.engine.grid import on_grid
from papertape.engine.jit import Rows
from papertape.engine.performance.curve import Marks
from papertape.engine.records import REASON_NAMES, REFUSED_HELD, REFUSED_NAMES, UNITS_PER_QUOTE

_MONEY = ("pnl", "fees", "slippage", "spread", "funding", "risk", "equity_before", "notional")
_PLAIN = (
    "entry_price",
    "exit_price",
    "quantity",
    "bars",
    "mae_price",
    "mfe_price",
    "confidence",
    "score_model",
    "score_smc",
    "score_technical",
    "model_version",
)
_PRICES = ("entry_price", "exit_price", "stop_price", "target_price")
_EXCURSIONS = ("mae_price", "mfe_price")


def utc(milliseconds: Any) -> pd.DatetimeIndex:
    """Return times in ms as UTC times."""
    values = np.asarray(milliseconds, dtype="datetime64[ms]")
    return pd.DatetimeIndex(values).tz_localize("UTC")


def _named(codes: Any, names: Mapping[int, str]) -> list[str]:
    return [names.get(int(code), str(int(code))) for code in codes]


def _or_nan(prices: Any) -> Any:
    """Return prices with NaN where 0 means "none"."""
    return np.where(prices > 0.0, prices, np.nan)


def trade_table(
    trades: Rows, symbols: Sequence[str], regimes: Sequence[str], markets: Rows
) -> pd.DataFrame:
    """
    Return one row per trade, in quote and UTC, prices and quantities as their market's grid has them.

    regimes  labels, one per trade; markets: MARKET, one per symbol
    """
    trades = trades_on_grid(trades, markets)
    pnl = trades["pnl"] / UNITS_PER_QUOTE
    risk = trades["risk"] / UNITS_PER_QUOTE
    columns: dict[str, Any] = {
        "number": trades["number"],
        "symbol": [symbols[int(index)] for index in trades["symbol"]],
        "side": np.where(trades["side"] > 0, "long", "short"),
        "decided_time": utc(trades["decided_ms"]),
        "entry_time": utc(trades["entry_ms"]),
        "exit_time": utc(trades["exit_ms"]),
        "exit_reason": _named(trades["exit_reason"], REASON_NAMES),
        "stop_price": _or_nan(trades["stop_price"]),
        "target_price": _or_nan(trades["target_price"]),
        "is_ambiguous": trades["is_ambiguous"] != 0,
        "pnl_optimistic": trades["pnl_optimistic"] / UNITS_PER_QUOTE,
        "return_r": np.divide(pnl, risk, out=np.full(len(pnl), np.nan), where=risk > 0.0),
        "regime": list(regimes),
    }
    columns |= {name: trades[name] / UNITS_PER_QUOTE for name in _MONEY}
    columns |= {name: trades[name] for name in _PLAIN}
    return pd.DataFrame(columns)


def trades_on_grid(trades: Rows, markets: Rows) -> Rows:
    """Return TRADE records without the float noise of prices and quantities."""
    clean = trades.copy()
    for index, market in enumerate(markets):
        chosen = trades["symbol"] == index
        rows = trades[chosen]
        for name in _PRICES:
            clean[name][chosen] = on_grid(rows[name], market.tick_size)
        for name in _EXCURSIONS:
            clean[name][chosen] = on_grid(rows[name], market.tick_size, rows["entry_price"])
        clean["quantity"][chosen] = on_grid(rows["quantity"], market.lot_size)
    return clean


def fills_on_grid(fills: Rows, markets: Mapping[int, tuple[float, float]]) -> Rows:
    """Return FILL records without the float noise of prices and quantities; markets: (tick, lot) by symbol."""
    clean = fills.copy()
    for index, (tick_size, lot_size) in markets.items():
        chosen = fills["symbol"] == index
        clean["price"][chosen] = on_grid(fills["price"][chosen], tick_size)
        for name in ("quantity", "position"):
            clean[name][chosen] = on_grid(fills[name][chosen], lot_size)
    return clean


def equity_table(marks: Marks) -> pd.DataFrame:
    """Return the account at the close of every base candle, in quote and UTC."""
    return pd.DataFrame(
        {
            "time": utc(marks["time_ms"]),
            "equity": marks["equity"] / UNITS_PER_QUOTE,
            "cash": marks["cash"] / UNITS_PER_QUOTE,
            "exposure": marks["exposure"] / UNITS_PER_QUOTE,
            "open_positions": np.asarray(marks["open_positions"], np.int64),
        },
        copy=False,
    )


def record_table(records: Rows, time: str) -> pd.DataFrame:
    """Return records as a table of their fields, with the time in ms of field `time` as UTC in front."""
    assert records.dtype.names is not None
    columns = {name: np.ascontiguousarray(records[name]) for name in records.dtype.names}
    return pd.DataFrame({"time": utc(columns.pop(time)), **columns})


def refusal_counts(decisions: Rows, unheeded: int = 0) -> dict[str, int]:
    """
    Return how often decisions were refused, by reason.

    unheeded  how many closes asked for the side that was held or ordered, with another stop, target or size
    """
    codes, counts = np.unique(decisions["refused"][decisions["refused"] != 0], return_counts=True)
    found = {REFUSED_NAMES[int(code)]: int(n) for code, n in zip(codes, counts, strict=True)}
    return {**found, REFUSED_NAMES[REFUSED_HELD]: unheeded} if unheeded else found


def candle_frame(candles: Rows) -> pd.DataFrame:
    """Return candles as a table indexed by open time, for users' own functions."""
    columns = {name: candles[name] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(columns, index=utc(candles["open_ms"]))


def as_candles(frame: pd.DataFrame) -> Rows:
    """Return a table of open, high, low, close, volume indexed by open time as CANDLE records."""
    candles = np.zeros(len(frame), CANDLE)
    index = pd.DatetimeIndex(frame.index)
    candles["open_ms"] = index.as_unit("ms").asi8
    for name in ("open", "high", "low", "close", "volume"):
        candles[name] = frame[name].to_numpy()
    return candles
