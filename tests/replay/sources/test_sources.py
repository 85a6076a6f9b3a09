"""Sources behind their one interface: names, units, and one venue standing in for another."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from papertape.engine.candles import HOUR_MS
from papertape.engine.jit import join_rows
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.download import Wanted, fetch_first
from papertape.replay.sources.sources import CcxtSource, DeltaSource
from papertape.replay.tapes.store import Store
from tests.support.binance_server import BinanceServer
from tests.support.delta_server import DeltaServer
from tests.support.loopback import in_virtual_time, serving

NOW_MS = 1_795_428_931_000  # 2026-11-23 10:15:31 UTC


def delta(clock: Clock, product: dict[str, Any]) -> Any:
    venue = DeltaServer(clock, 0)

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == f"/v2/products/{product['symbol']}":
            return venue.answer(product)
        if request.path.startswith("/v2/products"):
            return web.json_response({"success": False, "error": "unavailable_contract"}, status=400)
        return await venue.handle(request)

    return handle


@pytest.mark.parametrize(
    ("notional_type", "kind", "volume"),
    # 5 contracts of 0.25: base units as they are; of an inverse contract quote units, at a close of 100
    [("vanilla", "linear", 1.25), ("inverse", "inverse", 0.0125)],
)
def test_volume_of_delta_is_in_base_units(notional_type: str, kind: str, volume: float) -> None:
    product = {"symbol": "XUSD", "contract_value": "0.25", "notional_type": notional_type}

    async def main() -> tuple[Any, Any]:
        clock = Clock(NOW_MS)
        async with serving(delta(clock, product)) as url, DeltaSource(clock, rest_url=url) as source:
            listing = await source.find("XUSD")
            pages = [page async for page in source.candle_pages(listing, "1h", NOW_MS - 5 * HOUR_MS, NOW_MS)]
            return listing, join_rows(pages)

    listing, rows = in_virtual_time(main())

    assert (listing.kind, listing.venue) == (kind, "delta-india")
    assert rows["volume"].tolist() == [volume] * 4


def test_a_mark_price_series_is_a_tape_that_says_what_it_is() -> None:
    async def main() -> Any:
        clock = Clock(NOW_MS)
        handle = delta(clock, {"symbol": "BTCUSD"})
        async with serving(handle) as url, DeltaSource(clock, "global", rest_url=url) as source:
            return await source.find("MARK:BTCUSD")

    listing = in_virtual_time(main())

    assert (listing.wanted, listing.symbol, listing.venue) == ("MARK:BTCUSD", "MARK:BTCUSD", "delta-global")
    assert "no volume" in listing.notes[0]


def test_a_venue_of_the_library_stands_in_and_the_tape_says_for_what(tmp_path: Path) -> None:
    async def main() -> Any:
        clock = Clock(NOW_MS)
        handle = delta(clock, {"symbol": "ETHUSD"})  # BTCUSD is refused there
        binance = BinanceServer(clock, ["BTCUSDT"])
        async with serving(handle) as one, serving(binance.handle) as other:
            sources = [
                (DeltaSource(clock, rest_url=one), "BTCUSD"),
                (CcxtSource(clock, "binance", base_url=other), "BTCUSD"),
            ]
            wanted = Wanted("1h", NOW_MS // HOUR_MS * HOUR_MS - 9 * HOUR_MS, NOW_MS)
            return await fetch_first(sources, wanted, Store(tmp_path))

    fetched = in_virtual_time(main())

    assert fetched.tape.name == "binance-spot_BTCUSDT_1h"
    assert len(fetched.tape.candles) == 9
    assert fetched.tape.notes == ("BTCUSD is not listed on binance: BTCUSDT in its place",)
    assert "unavailable_contract" in fetched.failures[0]
