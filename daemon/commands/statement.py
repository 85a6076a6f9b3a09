"""`papertape statement`: every amount of a result or of a running account in double entry."""

from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from rich.table import Table as TerminalTable

from papertape.daemon.chapters.figures import figures_of, told
from papertape.daemon.commands.options import AsJson, ResultOrState
from papertape.daemon.commands.output import console, print_json, say
from papertape.daemon.journal import NAME as JOURNAL
from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import identity_of, journal_statement
from papertape.engine.broker.ledger import shown_decimals
from papertape.engine.broker.risk.changes import told as told_changes
from papertape.engine.performance.statement import ACCOUNTS, Booked
from papertape.engine.performance.trading import total_units
from papertape.replay.backtesting.verify import result_statement
from papertape.replay.runtime.files import write_whole
from papertape.replay.tapes.arrow import arrow_table
from papertape.replay.tapes.quality import counted
from papertape.replay.tapes.tables import at_minute, frame, statement_columns

if TYPE_CHECKING:
    from papertape.replay.tapes.tables import Table

_DIFFERS: Final = 1


def statement_command(
    source: ResultOrState,
    csv: Annotated[Path | None, typer.Option(help="write every posting there")] = None,
    parquet: Annotated[Path | None, typer.Option(help="likewise")] = None,
    as_json: AsJson = False,
) -> None:
    """
    Show every amount in double entry by account, also of a daemon that runs, and say whether it balances.

    Every transaction adds up to zero, and after each the cash is what the ledger had. The last is compared with the account's
    equity curve; exit code 1 when its cash is another.

    Example: papertape statement results/latest --csv statement.csv
    """
    if (source / JOURNAL).is_file():
        with Journal.read(source) as journal:
            unreported = journal.unreported  # first: a daemon that runs goes on meanwhile
            booked, chapters = journal_statement(journal), figures_of(journal)
            currency = identity_of(journal).config.account.quote
    else:
        booked, chapters, unreported = result_statement(source), [], 0  # it has no inputs
        currency = ""
    _write(booked, csv, parquet)
    sums = _accounts(booked)
    difference = None if booked.curve_cash is None else booked.curve_cash - booked.cash
    if as_json:
        found = _plain(booked, sums, difference)
        print_json({**found, "chapters": chapters, "inputs_missing": unreported})
    else:
        _print(booked, sums, difference)
        for chapter in chapters if len(chapters) > 1 else ():
            say(told(chapter, shown_decimals(booked.decimals, currency)))
        if unreported is None:
            say(
                "whether accepted inputs are missing is not known: an earlier version wrote this journal; the next start of a daemon steps them"
            )
        elif unreported:
            say(
                f"not in it yet: {counted(unreported, 'accepted input')}, which a daemon steps now or at its next start"
            )
    if difference:
        raise typer.Exit(_DIFFERS)


def _write(booked: Booked, csv: Path | None, parquet: Path | None) -> None:
    """Write every posting: as text with all decimals, or as floats with whole units beside them."""
    columns = statement_columns(booked.postings, booked.symbols, booked.units_per_quote)
    units = {name: booked.postings[name] for name in ("amount", "balance")}
    if csv is not None:
        exact = {
            name: np.array([_counted(each, booked.decimals) for each in column.tolist()])
            for name, column in units.items()
        }
        write_whole(csv, partial(_write_csv, columns | exact))
    if parquet is not None:
        exact = {f"{name}_units": column for name, column in units.items()}
        write_whole(parquet, partial(_write_parquet, columns | exact))


def _accounts(booked: Booked) -> dict[str, dict[str, int]]:
    """Return debits, credits and balance of every account that was used, money units."""
    found = {}
    for number, name in enumerate(ACCOUNTS):
        amounts = booked.postings["amount"][booked.postings["account"] == number]
        if len(amounts):
            found[name] = {
                "debits": total_units(np.maximum(amounts, 0)),
                "credits": total_units(np.minimum(amounts, 0)),
                "balance": total_units(amounts),
            }
    return found


def _plain(booked: Booked, accounts: dict[str, dict[str, int]], difference: int | None) -> dict[str, Any]:
    unit = booked.units_per_quote
    return {
        "accounts": {n: {column: v / unit for column, v in each.items()} for n, each in accounts.items()},
        "postings": len(booked.postings),
        "transactions": booked.transactions,
        "cash": booked.cash / unit,
        "market_changes": [one._asdict() for one in told_changes(booked.changes_since, booked.symbols)],
        "compared_with": booked.curve,
        "difference": None if difference is None else difference / unit,
    }


def _print(booked: Booked, accounts: dict[str, dict[str, int]], difference: int | None) -> None:
    table, decimals = TerminalTable("account", box=None), booked.decimals
    for column in ("debits", "credits", "balance"):
        table.add_column(column, justify="right")
    for name, sums in accounts.items():
        table.add_row(name, *(_counted(units, decimals, ",") for units in sums.values()))
    console.print(table)
    say(
        f"balances: {len(booked.postings):,} amounts of {booked.transactions:,} transactions, each of which adds up to 0 and "
        "leaves the cash that the ledger had"
    )
    for one in told_changes(booked.changes_since, booked.symbols):
        stamp = at_minute(one.time_ms)
        say(f"{one.symbol}: another market from {stamp} on: {one.what}")
    cash = _counted(booked.cash, decimals, ",")
    if difference is None:
        say(f"cash {cash}: the equity curve does not reach that far yet")
    elif difference:
        say(f"DIFFERS: cash {cash}, and {booked.curve} says {_counted(difference, decimals, '+,')} beside it")
    else:
        say(f"cash {cash} is that of {booked.curve}")


def _counted(units: int, decimals: int, style: str = "") -> str:
    """Return money units in quote with every decimal that is counted: beyond 2^53 of them a float would round."""
    return f"{Decimal(units).scaleb(-decimals):{style}f}"


def _write_csv(columns: "Table", file: Any) -> None:
    frame(columns).to_csv(file, index=False, date_format="%Y-%m-%dT%H:%M:%SZ")


def _write_parquet(columns: "Table", file: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(arrow_table(columns), file, compression="zstd")
