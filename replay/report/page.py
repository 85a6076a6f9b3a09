"""One self-contained HTML page: opens from disk, loads nothing, needs no build step."""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from papertape.engine.broker.ledger import shown_decimals, unit_decimals
from papertape.engine.candles import timeframe_ms
from papertape.engine.jit import Rows
from papertape.engine.performance.curve import Marks, units_of
from papertape.replay.report.account_events import pack_account_events
from papertape.replay.report.data import MOST_CANDLES, equity_curve, pack_candles, pack_trades
from papertape.replay.report.features import FeatureLines
from papertape.replay.report.orders import pack_orders
from papertape.replay.report.returns import returns_of
from papertape.replay.report.steps import StepLines, pack_account, pack_closes
from papertape.replay.report.structure import pack_structure
from papertape.replay.runtime.files import write_whole
from papertape.replay.tapes.tables import Table

# What stands in which place of the page, beside title and data.
_ASSETS: Final = {
    "css": ("report.css",),
    "charts_library": ("lightweight-charts.js",),
    "scripts": ("shared.js", "elements.js", "pictures.js", "data.js", "known.js", "tables.js", "charts.js",
        "structure.js", "orders.js", "features.js", "marks.js", "candles.js", "why.js", "replay.js",
        "sections.js", "account.js", "models.js", "returns.js", "trades.js"),
}  # fmt: skip


class Drawing(NamedTuple):
    """
    What is drawn on the candles; what is None is not.

    events    EVENT records of market structure
    fills     FILL records; orders: ORDER_EVENT records
    features  what the strategy named, as the run computed it
    decisions DECISION records; limits: LIMIT_EVENT records; payments: PAYMENT records
    lines     what was said at each close
    """

    events: Rows | None = None
    fills: Rows | None = None
    orders: Rows | None = None
    features: FeatureLines | None = None
    decisions: Rows | None = None
    lines: StepLines | None = None
    limits: Rows | None = None
    payments: Rows | None = None


NOTHING_DRAWN: Final = Drawing()


def report_parts(
    summary: Mapping[str, Any],
    trades: Table,
    marks: Marks,
    candles: Mapping[str, Rows],
    drawing: Drawing = NOTHING_DRAWN,
) -> Iterator[str]:
    """
    Yield the page of a result as HTML text, piece by piece: of a million candles the whole page takes 10 MB.

    summary  the content of result.json; missing parts are left out of the page
    trades   one row per trade, as in trades.parquet; none of them: no columns either
    marks    the account at the close of every base candle
    candles  by symbol, CANDLE records of the strategy's timeframe
    drawing  what is drawn on them beside trades
    """
    symbols = ", ".join(str(symbol) for symbol in summary.get("symbols", ()))
    title = f"{summary.get('strategy', 'backtest')} {symbols} · Papertape"
    yield from assembled("report.html", _ASSETS, title, _data(summary, trades, marks, candles, drawing))


def _data(
    summary: Mapping[str, Any], trades: Table, marks: Marks, candles: Mapping[str, Rows], drawing: Drawing
) -> Iterator[tuple[str, Any]]:
    """Yield what the page draws, part by part."""
    capital, symbols = summary.get("capital"), summary.get("symbols", ())
    held = (summary.get("metrics") or {}).get("buy_and_hold_return")
    yield "summary", _shown(summary)
    yield "money_places", money_places(summary)
    yield "trades", pack_trades(trades)
    yield "equity", equity_curve(marks, candles, capital, held)
    yield "returns", returns_of(marks, capital)
    most = MOST_CANDLES // max(len(candles), 1)
    shown = {name: rows for name, rows in candles.items() if len(rows)}
    yield "candles", {name: pack_candles(rows, most) for name, rows in shown.items()}
    yield "structure", _structure(summary, drawing.events)
    decisions, orders = drawing.decisions, drawing.orders
    if drawing.fills is not None and orders is not None:
        account = (summary.get("config") or {}).get("account", {})
        yield "orders", pack_orders(orders, drawing.fills, symbols, account.get("latency_bars", 0))
    if drawing.features is not None:
        yield "features", drawing.features.pack(symbols, candles)
    if not (decisions is None or orders is None or drawing.limits is None or drawing.payments is None):
        records = decisions, orders, drawing.limits, drawing.payments
        yield "account_events", pack_account_events(trades, symbols, *records, units_of(marks))
    if "timeframe" in summary:
        length_ms = timeframe_ms(str(summary["timeframe"]))
        yield "length", length_ms // 1000
        yield "account", pack_account(marks, candles, length_ms)
        yield "closes", pack_closes(drawing.lines, decisions, orders, symbols, length_ms)


def assembled(
    page: str, assets: Mapping[str, Sequence[str]], title: str, data: Iterable[tuple[str, Any]]
) -> Iterator[str]:
    """
    Yield a page as HTML text, piece by piece.

    page    the file that the rest is put into
    assets  by the name of a place in it, the files that stand there
    data    by name, what its scripts draw
    """
    # Every second piece is the name of what stands there.
    for place, text in enumerate(re.split(r"\{\{(\w+)\}\}", _asset(page))):
        if place % 2 == 0:
            yield text
        elif text == "title":
            yield html.escape(title)
        elif text == "data":
            yield from _json_for_script(data)
        else:
            yield "\n".join(_asset(name) for name in assets[text])


def write_research(path: Path, name: str, title: str, data: Iterable[tuple[str, Any]]) -> None:
    """Write a page of the research whole or not at all; name: of its sections, and of the script that draws them."""
    assets = {
        "css": ("report.css",),
        "sections": (f"{name}.html",),
        "scripts": ("shared.js", "elements.js", "pictures.js", "research.js", f"{name}.js"),
    }

    def write(file: BinaryIO) -> None:
        for part in assembled("research.html", assets, f"{title} · Papertape", data):
            file.write(part.encode("utf-8"))

    write_whole(path, write)


def money_places(summary: Mapping[str, Any]) -> int | None:
    """Return with how many decimals amounts of a result are shown, None where it does not say of what."""
    account = (summary.get("config") or {}).get("account") or {}
    if not account:
        return None
    decimals = unit_decimals(account["capital"], account["quote"], account.get("money_decimals"))
    return shown_decimals(decimals, account["quote"])


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
    return resources.files(__package__).joinpath("web", name).read_text(encoding="utf-8")


def _json_for_script(items: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Yield an object as JSON that cannot end the script element it stands in, a value of it at a time."""
    before = "{"
    for name, value in items:
        yield f"{before}{_json(name)}:"
        if isinstance(value, Mapping):
            yield from _json_for_script(value.items())
        else:
            yield _json(value)
        before = ","
    yield "{}" if before == "{" else "}"


def _json(value: Any) -> str:
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    trades: Table,
    marks: Marks,
    candles: Mapping[str, Rows],
    drawing: Drawing = NOTHING_DRAWN,
) -> None:
    """Write the page of a result under a temporary name and rename it when it is complete."""

    def write(file: BinaryIO) -> None:
        for part in report_parts(summary, trades, marks, candles, drawing):
            file.write(part.encode("utf-8"))

    write_whole(path, write)
