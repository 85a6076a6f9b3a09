"""`papertape tape fetch`: download history into the candle store."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from papertape.daemon.commands.options import AsJson, TapeFolder
from papertape.daemon.commands.output import console, print_json, progress_bars, say
from papertape.daemon.commands.tape_tables import checked_tape, print_checks
from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import DataError
from papertape.replay.importers.options import is_symbol
from papertape.replay.runtime.clock import WallClock
from papertape.replay.sources.delta_profiles import PROFILES
from papertape.replay.tapes.store import Store, time_ms

if TYPE_CHECKING:
    from papertape.replay.sources.download import Fetched, OnProgress


def fetch_command(
    symbol: Annotated[str, typer.Argument(help="for example BTCUSD", show_default=False)],
    start: Annotated[str, typer.Option(help="first candle, UTC: 2024-01-01 or 2024-01-01 13:00")],
    venue: Annotated[str, typer.Option(help="delta, or a ccxt id such as binance")] = "delta",
    profile: Annotated[str, typer.Option(help=f"Delta's environment: {', '.join(PROFILES)}")] = "india",
    timeframe: Annotated[str, typer.Option(help="for example 1h")] = "1h",
    end: Annotated[str | None, typer.Option(help="last candle, a bare date whole; default: now")] = None,
    fallback: Annotated[
        list[str] | None, typer.Option(help="asked when those before fail: binance, or binance:BTC/USDT")
    ] = None,
    rest_url: Annotated[
        str | None, typer.Option(help="asked in place of --venue's address, for example a local one")
    ] = None,
    store: TapeFolder = None,
    replace: Annotated[bool, typer.Option("--replace", help="fetch what is stored once more")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Download candles of a market; what is there already is kept, so a download that was cut goes on.

    Only final candles are stored. A fallback's candles become a tape of that venue, never part of another's.

    Example: papertape tape fetch BTCUSD --timeframe 1h --start 2024-01-01 --fallback binance
    """
    if not is_symbol(symbol):
        raise DataError(f"{symbol!r} is no symbol; write it like BTCUSD or BTC/USDT:USDT")
    first_ms, last_ms = _span(start, end, timeframe)
    found = Store(store)
    with progress_bars() as show:
        try:
            fetched = asyncio.run(
                fetch(
                    [(venue, symbol), *(_fallback(text, symbol) for text in fallback or [])],
                    (timeframe, first_ms, last_ms),
                    found,
                    profile,
                    rest_url,
                    replace,
                    show,
                )
            )
        except KeyboardInterrupt:
            console.print("interrupted; what came is kept, and the same command goes on from there")
            raise typer.Exit(130) from None
    _show(fetched, as_json)


def _span(start: str, end: str | None, timeframe: str) -> tuple[int, int]:
    """Return the first and the last open time that were asked for."""
    length_ms = timeframe_ms(timeframe)
    first_ms = time_ms(start)
    last_ms = time_ms(end, is_end=True) if end is not None else 1 << 52
    if last_ms < first_ms:
        raise DataError(f"--end {end} is before --start {start}")
    return -(-first_ms // length_ms) * length_ms, last_ms


def _fallback(text: str, symbol: str) -> tuple[str, str]:
    """Return venue and symbol of `binance` or `binance:BTC/USDT`."""
    venue, _, other = text.partition(":")
    return venue, other or symbol


async def fetch(
    places: list[tuple[str, str]],
    wanted: tuple[str, int, int],
    store: Store,
    profile: str,
    rest_url: str | None,
    renew: bool,
    on_progress: "OnProgress",
) -> "Fetched":
    """Fetch from the first place that has it; every name is checked before the first request."""
    # What talks to a venue takes a third of a second to import; other commands need not wait for it.
    from papertape.replay.sources.download import Wanted, fetch_first
    from papertape.replay.sources.sources import make_source

    clock = WallClock()
    sources = [
        (make_source(venue, clock, profile=profile, rest_url=None if number else rest_url), symbol)
        for number, (venue, symbol) in enumerate(places)
    ]
    return await fetch_first(sources, Wanted(*wanted), store, renew=renew, on_progress=on_progress)


def _show(fetched: "Fetched", as_json: bool) -> None:
    tape = fetched.tape
    if as_json:
        print_json(
            {
                "path": str(fetched.path),
                "new_candles": fetched.new_bars,
                "failures": list(fetched.failures),
                **tape.metadata(),
            }
        )
        return
    for failure in fetched.failures:
        say(f"! {failure}; went on to the next source")
    print_checks([checked_tape(tape)])
    say(
        f"stored {fetched.path} ({len(tape.candles):,} candles, {fetched.new_bars:,} of them new, "
        f"{fetched.source})"
    )
