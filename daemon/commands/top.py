"""`papertape top`: a running daemon in a terminal, drawn again and again."""

import os
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from papertape.daemon.client import Client
from papertape.daemon.commands.daemon_client import base_url
from papertape.daemon.commands.options import DaemonFile, DaemonUrl
from papertape.daemon.commands.output import console
from papertape.daemon.commands.terminal import printable
from papertape.daemon.monitoring.access import load_token
from papertape.daemon.monitoring.schemas import Status
from papertape.engine.errors import DataError
from papertape.replay.config import load_config
from papertape.replay.tapes.timestamps import utc_text

_TAPE: Final = 12  # newest rows of what happened


def top_command(
    config: DaemonFile = None,
    url: DaemonUrl = None,
    every: Annotated[float, typer.Option(min=0.2, help="seconds between two looks")] = 1.0,
    is_once: Annotated[bool, typer.Option("--once", help="look once and end")] = False,
) -> None:
    """
    Show a running daemon in the terminal: account, positions, orders, feed, model, and what happened; Ctrl-C ends it.

    It only reads: the token is needed where the daemon listens to other machines. While the daemon is away it says so
    and goes on when it is back.

    Example: papertape top --every 2
    """
    settings = load_config(config).daemon
    token = load_token(settings.token_file, os.environ)
    with Client(base_url(settings, url), token) as client:
        if is_once:
            console.print(_look(client))
            return
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            while True:
                live.update(_shown(client), refresh=True)
                time.sleep(every)


def _shown(client: Client) -> Group | Text:
    """Return one look, or why there is none at the moment."""
    try:
        return _look(client)
    except DataError as error:
        return Text(f"{printable(str(error))}\nlooking again", style="yellow")


def _look(client: Client) -> Group:
    rows = [
        (each["time_ms"] if kind == "decisions" else each["candle_ms"], kind, each)
        for kind in ("decisions", "fills")
        for each in client.rows(kind, limit=_TAPE)
    ]
    return screen(client.status(), sorted(rows, key=lambda row: -row[0])[:_TAPE])


def screen(status: Status, tape: Sequence[tuple[int, str, dict[str, Any]]]) -> Group:
    """Return what is drawn; tape: time in ms, `decisions` or `fills`, and the row as the API has it."""
    account = status.account
    head = _facts([
        ("venue", f"{status.venue}, up {status.uptime_s / 3600.0:.1f} h, paper", ""),
        ("equity", f"{account.equity:,.{account.money_places}f} {account.currency}", ""),
        ("realised", f"{account.realised_pnl:+,.{account.money_places}f}", _tone(account.realised_pnl)),
        ("below its peak", f"{100.0 * account.drawdown_ratio:.2f} %", ""),
        ("entries", f"halted: {', '.join(status.halted)}" if status.halted else "open", "red" if status.halted else "green"),
        *((f"feed {feed.name}", "connected" if feed.is_connected else "down", "green" if feed.is_connected else "red") for feed in status.feeds),
        ("newest input", f"{status.last_input.sequence:,}, {utc_text(status.last_input.time_ms)}" if status.last_input else "none yet", ""),
        ("model", f"version {status.model.version} {status.model.kind}, drift {status.model.drift or 'not looked at'}" if status.model.version else "none", ""),
        ("replay agrees", {"match": "yes", "diverged": "NO"}.get(status.parity.outcome or "", "not looked at yet"), "red" if status.parity.outcome == "diverged" else ""),
    ])  # fmt: skip
    return Group(head, Text(), _positions(status), Text(), _orders(status), Text(), _tape(tape))


def _facts(rows: Sequence[tuple[str, str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value, style in rows:
        table.add_row(Text(name, style="dim"), Text(printable(value), style=style))
    return table


def _positions(status: Status) -> Table | Text:
    if not status.positions:
        return Text("flat", style="dim")
    table = _table("position", "size", "entry", "last", "result", "stop", "target")
    for each in status.positions:
        numbers = (
            each.quantity,
            each.entry_price,
            each.last_price,
            each.unrealised_pnl,
            each.stop_price,
            each.target_price,
        )
        cells = [Text("–" if value is None else f"{value:,.10g}") for value in numbers]
        result = f"{each.unrealised_pnl:+,.{status.account.money_places}f}"
        cells[3] = Text(result, style=_tone(each.unrealised_pnl))
        table.add_row(Text(printable(each.symbol)), *cells)
    return table


def _orders(status: Status) -> Table | Text:
    if not status.orders:
        return Text("nothing rests", style="dim")
    table = _table("order", "side", "kind", "size", "at", "tag")
    for each in status.orders:
        at = each.trigger_price if each.trigger_price is not None else each.limit_price
        words = (
            each.symbol,
            each.side,
            each.kind,
            f"{each.quantity:,.10g}",
            "–" if at is None else f"{at:,.10g}",
            each.tag,
        )
        table.add_row(*(Text(printable(word)) for word in words))
    return table


def _tape(tape: Sequence[tuple[int, str, dict[str, Any]]]) -> Table | Text:
    if not tape:
        return Text("nothing has happened yet", style="dim")
    table = _table("when", "what")
    for time_ms, kind, row in tape:
        if kind == "fills":
            said = f"{row['side']} {row['quantity']:,.10g} {row['symbol']} at {row['price']:,.10g}: {row['reason']}"
        else:
            said = f"{row['symbol']}: {row['target']}" + (
                f" refused, {row['refused']}" if row["refused"] else ""
            )
        style = "yellow" if kind == "decisions" and row["refused"] else ""
        table.add_row(Text(utc_text(time_ms), style="dim"), Text(printable(said), style=style))
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, name in enumerate(names):
        is_text = place == 0 or name in ("what", "side", "kind", "tag")
        table.add_column(name, justify="left" if is_text else "right")
    return table


def _tone(value: float) -> str:
    return "green" if value > 0.0 else "red" if value < 0.0 else ""
