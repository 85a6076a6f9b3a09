"""The newest candles of a venue, into the store, for those who train on what is new."""

import asyncio
from typing import Final

import typer

from papertape.daemon.commands.output import console
from papertape.daemon.commands.tape_fetch import fetch
from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import DataError
from papertape.replay.importers.options import is_symbol
from papertape.replay.learning.learning_pass import Progress
from papertape.replay.runtime.clock import WallClock
from papertape.replay.tapes.store import Store

_DAY_MS: Final = 86_400_000
_LATEST_MS: Final = 1 << 52


def fetch_newest(
    venue: str,
    symbol: str,
    timeframe: str,
    days: float,
    store: str | None,
    rest_url: str | None,
    on_progress: Progress,
) -> str:
    """Fetch the candles of the last days and return the tape's file; what is stored already is kept."""
    if not is_symbol(symbol):
        raise DataError(f"{symbol!r} is no symbol; write it like BTCUSD or BTC/USDT:USDT")

    async def newest() -> str:
        length_ms = timeframe_ms(timeframe)
        first_ms = (WallClock().now_ms() - round(days * _DAY_MS)) // length_ms * length_ms
        wanted = (timeframe, first_ms, _LATEST_MS)
        place = [(venue, symbol)]
        found = await fetch(place, wanted, Store(store), "india", rest_url, False, on_progress)
        return str(found.path)

    try:
        return asyncio.run(newest())
    except KeyboardInterrupt:
        console.print("interrupted; what came is kept, and the same command goes on from there")
        raise typer.Exit(130) from None
