"""One self-contained HTML page: opens from disk, loads nothing, needs no build step."""

import html
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pandas as pd

from papertape.engine.candles import timeframe_ms
from papertape.engine.jit import Rows
from papertape.engine.performance.curve import Marks
from papertape.replay.atomic import write_whole
from papertape.replay.report_data import equity_curve, pack_candles, trade_columns
from papertape.replay.report_returns import returns_of
from papertape.replay.report_structure import pack_structure

_SCRIPTS: Final = (
    "data.js",
    "charts.js",
    "structure.js",
    "candles.js",
    "sections.js",
    "models.js",
    "returns.js",
    "trades.js",
)


def render_report(
    summary: Mapping[str, Any],
    trades: pd.DataFrame,
    equity: pd.DataFrame | Marks,
    candles: Mapping[str, Rows],
    events: Rows | None = None,
) -> str:
    """
    Return the page of a result as HTML text.

    summary  the content of result.json; missing parts are left out of the page
    trades   one row per trade, as in trades.parquet
    equity   the account at the close of every base candle: as in equity.parquet, or its marks
    candles  by symbol, CANDLE records of the strategy's timeframe
    events   EVENT records of market structure, drawn on the candles
    """
    held = (summary.get("metrics") or {}).get("buy_and_hold_return")
    data = {
        "summary": _shown(summary),
        "trades": trade_columns(trades),
        "equity": equity_curve(equity, candles, summary.get("capital"), held),
        "returns": returns_of(equity, summary.get("capital")),
        "candles": {symbol: pack_candles(rows) for symbol, rows in candles.items() if len(rows)},
        "structure": _structure(summary, events),
    }
    symbols = ", ".join(str(symbol) for symbol in summary.get("symbols", ()))
    parts = {
        "title": html.escape(f"{summary.get('strategy', 'backtest')} {symbols} · Papertape"),
        "css": _asset("report.css"),
        "charts_library": _asset("lightweight-charts.js"),
        "scripts": "\n".join(_asset(name) for name in _SCRIPTS),
        "data": _json_for_script(data),
    }
    page = _asset("report.html")
    for name, text in parts.items():
        before, _, after = page.partition("{{" + name + "}}")
        page = before + text + after
    return page


def _shown(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the summary without the records of models, of which the page shows next to nothing."""
    model = summary.get("model") or {}
    if not model.get("attempts"):
        return summary
    rows = [a["record"].get("metrics", {}).get("rows_train") for a in model["attempts"]]
    attempts = [
        {**attempt, "record": None, "rows_train": n}
        for attempt, n in zip(model["attempts"], rows, strict=True)
    ]
    return {**summary, "model": {**model, "attempts": attempts, "lineage": None}}


def _structure(summary: Mapping[str, Any], events: Rows | None) -> dict[str, Any]:
    """Return the market structure of every symbol that has some."""
    if events is None or not len(events):
        return {}
    length_ms = timeframe_ms(str(summary["timeframe"]))
    packed = {
        symbol: pack_structure(events[events["symbol"] == index], length_ms)
        for index, symbol in enumerate(summary["symbols"])
    }
    return {symbol: columns for symbol, columns in packed.items() if columns is not None}


def _asset(name: str) -> str:
    return resources.files("papertape.replay").joinpath("web", name).read_text(encoding="utf-8")


def _json_for_script(data: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    trades: pd.DataFrame,
    equity: pd.DataFrame | Marks,
    candles: Mapping[str, Rows],
    events: Rows | None = None,
) -> None:
    """Write the page of a result under a temporary name and rename it when it is complete."""
    text = render_report(summary, trades, equity, candles, events)
    write_whole(path, lambda file: file.write(text.encode("utf-8")))
