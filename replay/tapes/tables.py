"""
Records as tables: names for numbers, quote for money units, UTC times for milliseconds.

A result is held and written as columns; a table of pandas is made of them when somebody asks for it, because pandas
takes half a second and 40 MB that a command has no use for.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from papertape.engine.broker.grid import on_grid
from papertape.engine.broker.working.orders import CAUSE_NAMES, STATUS_NAMES, WORKING
from papertape.engine.jit import Rows
from papertape.engine.performance.curve import Marks, units_of
from papertape.engine.performance.statement import ACCOUNTS, FUNDED, PAID_IN
from papertape.engine.records import REASON_NAMES, REFUSED_HELD, REFUSED_NAMES

if TYPE_CHECKING:
    import pandas as pd

Table = dict[str, npt.NDArray[Any]]  # columns by name; times are datetime64[ms] in UTC

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


def statement_columns(postings: Rows, symbols: Sequence[str], units_per_quote: float) -> Table:
    """Return POSTING records as columns: one row per amount, in quote, a debit above zero."""
    what = {**REASON_NAMES, PAID_IN: "paid in", FUNDED: "funding"}
    names = [*symbols, ""]  # of no symbol: the last
    return {
        "time": _times(postings["time_ms"]),
        "transaction": postings["sequence"],
        "what": np.array([what[code] for code in postings["reason"].tolist()], str),
        "symbol": np.array(names)[postings["symbol"]],
        "trade": postings["trade"],
        "account": np.array(ACCOUNTS)[postings["account"]],
        "amount": postings["amount"] / units_per_quote,
        "balance": postings["balance"] / units_per_quote,
    }


def at_minute(time_ms: int) -> str:
    """Return a time as `2021-05-19 13:05`."""
    return str(np.datetime64(time_ms, "ms")).replace("T", " ")[:16]


def utc(milliseconds: Any) -> "pd.DatetimeIndex":
    """Return times in ms as UTC times."""
    import pandas as pd

    values = np.asarray(milliseconds, dtype="datetime64[ms]")
    return pd.DatetimeIndex(values).tz_localize("UTC")


def frame(columns: Table) -> "pd.DataFrame":
    """Return columns as a DataFrame."""
    import pandas as pd

    shown = {n: utc(c) if c.dtype.kind == "M" else c for n, c in columns.items()}
    return pd.DataFrame(shown)


def _times(milliseconds: Any) -> npt.NDArray[np.datetime64]:
    return np.ascontiguousarray(milliseconds).view("datetime64[ms]")


def _text(words: Sequence[str]) -> npt.NDArray[np.str_]:
    return np.array(words, np.str_)


def _named(codes: Any, names: Mapping[int, str]) -> npt.NDArray[np.str_]:
    found, places = np.unique(codes, return_inverse=True)
    return _text([names.get(code, str(code)) for code in found.tolist()])[places]


def _or_nan(prices: Any) -> Any:
    """Return prices with NaN where 0 means "none"."""
    return np.where(prices > 0.0, prices, np.nan)


def trade_columns(trades: Rows, symbols: Sequence[str], regimes: Sequence[str], markets: Rows) -> Table:
    """
    Return one row per trade, in quote and UTC, prices and quantities as their market's grid has them.

    regimes  labels, one per trade; markets: MARKET, one per symbol
    """
    trades, units = trades_on_grid(trades, markets), markets["units_per_quote"][0]
    pnl = trades["pnl"] / units
    risk = trades["risk"] / units
    columns: Table = {
        "number": trades["number"],
        "symbol": _text(symbols)[trades["symbol"]],
        "side": np.where(trades["side"] > 0, "long", "short"),
        "decided_time": _times(trades["decided_ms"]),
        "entry_time": _times(trades["entry_ms"]),
        "exit_time": _times(trades["exit_ms"]),
        "exit_reason": _named(trades["exit_reason"], REASON_NAMES),
        "stop_price": _or_nan(trades["stop_price"]),
        "target_price": _or_nan(trades["target_price"]),
        "is_ambiguous": trades["is_ambiguous"] != 0,
        "pnl_optimistic": trades["pnl_optimistic"] / units,
        "return_r": np.divide(pnl, risk, out=np.full(len(pnl), np.nan), where=risk > 0.0),
        "regime": _text(regimes),
    }
    columns |= {name: trades[name] / units for name in _MONEY}
    columns |= {name: trades[name] for name in _PLAIN}
    return {name: np.ascontiguousarray(values) for name, values in columns.items()}


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


def equity_columns(marks: Marks) -> Table:
    """Return the account at the close of every base candle, in quote and UTC."""
    units = units_of(marks)
    return {
        "time": _times(marks["time_ms"]),
        "equity": marks["equity"] / units,
        "cash": marks["cash"] / units,
        "exposure": marks["exposure"] / units,
        "open_positions": np.asarray(marks["open_positions"], np.int64),
    }


def record_table(records: Rows, time: str) -> "pd.DataFrame":
    """Return records as a table of their fields, with the time in ms of field `time` as UTC in front."""
    import pandas as pd

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


def order_counts(orders: Rows) -> dict[str, int]:
    """Return how many working orders were placed, filled, cancelled, …, with the cause where there is one."""
    names: dict[str, int] = {}
    for row in orders[orders["status"] != WORKING]:
        cause = int(row["cause"])
        what = STATUS_NAMES[int(row["status"])]
        if cause:
            what += f": {CAUSE_NAMES.get(cause) or REFUSED_NAMES[cause]}"
        names[what] = names.get(what, 0) + 1
    return names


def candle_frame(candles: Rows) -> "pd.DataFrame":
    """Return candles as a table indexed by open time, for users' own functions."""
    import pandas as pd

    columns = {name: candles[name] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(columns, index=utc(candles["open_ms"]))
