"""One self-contained HTML page: opens from disk, loads nothing, needs no build step."""

import html
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pandas as pd

from engine.jit import Rows
from replay.atomic import write_whole
from replay.report_data import equity_curve, pack_candles, trade_columns

_SCRIPTS: Final = ("data.js", "structure.js", "charts.js", "sections.js", "trades.js")


def render_report(
    summary: Mapping[str, Any],
    trades: pd.DataFrame,
    equity: pd.DataFrame,
    candles: Mapping[str, Rows],
) -> str:
    """
    Return the page of a result as HTML text.

    summary  the content of result.json; missing parts are left out of the page
    trades   one row per trade, as in trades.parquet; equity: as in equity.parquet
    candles  by symbol, CANDLE records of the strategy's timeframe
    """
    data = {
        "summary": summary,
        "trades": trade_columns(trades),
        "equity": equity_curve(equity, candles, summary.get("capital")),
        "candles": {symbol: pack_candles(rows) for symbol, rows in candles.items() if len(rows)},
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


def _asset(name: str) -> str:
    return resources.files("replay").joinpath("web", name).read_text(encoding="utf-8")


def _json_for_script(data: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    trades: pd.DataFrame,
    equity: pd.DataFrame,
    candles: Mapping[str, Rows],
) -> None:
    """Write the page of a result under a temporary name and rename it when it is complete."""
    text = render_report(summary, trades, equity, candles)
    write_whole(path, lambda file: file.write(text.encode("utf-8")))
