"""Several daemons in one page, in a real browser: two that run, one that ends, hangs, talks rubbish or is the daemon itself."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.daemon.monitoring.peers.test_watch import saying, speaking
from tests.daemon.monitoring.test_assets import daemon
from tests.support.accessibility import tabbed
from tests.support.browser import browser_tab, needs_browser
from tests.support.loopback import free_port
from tests.support.pages import looked_at, strangers

pytestmark = [needs_browser, pytest.mark.slow, pytest.mark.asyncio]
CARDS = "[...$('peers').children].map((card) => card.className.split(' ').at(-1)).join()"


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def told(port: int) -> dict[str, Any]:
    """Return what a daemon says of its peers, by name."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/api/v1/peers") as answer:
        assert answer.status == 200
        return {peer["name"]: peer for peer in (await answer.json())["peers"]}


async def test_each_is_shown_as_it_is_and_one_that_ends_keeps_what_it_said(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    async with (
        speaking(hang) as hanging,
        speaking(saying(b"<html>")) as odd,
        browser_tab(tmp_path / "profile") as tab,
    ):
        peers = {
            "desk": f"http://127.0.0.1:{other}",
            "hangs": hanging,
            "odd": odd,
            "me": f"http://127.0.0.1:{port}",
        }
        table = ", ".join(f"{name} = {json.dumps(url)}" for name, url in peers.items())
        # Nothing here waits for a trade: an hour in six seconds, not two of them a second.
        slowly = "live.speed=600"
        async with daemon(tmp_path / "state", port, f"daemon.peers={{{table}}}", slowly):
            async with daemon(tmp_path / "other", other, "account.quote=JPY", slowly):
                await tab.call("Network.enable")
                await tab.open(f"http://127.0.0.1:{port}/", 1280)
                await tab.until(f"{CARDS} === 'live,lost,lost,itself'", 120.0)
                said = await tab.value("$('peers').textContent")
                assert "did not answer within 3 s" in said
                assert "no status of a daemon" in said
                card = await tab.value("$('peers').firstElementChild.textContent")
                equity = (await told(port))["desk"]["status"]["account"]["equity"]
                assert equity > 0.0
                assert all(word in card for word in ("desk", "sim", "JPY", "newest candle", "heard"))
                assert re.search(r"account[\d,]+ JPY", card)  # whole yen
                assert await tabbed(tab) == []
                await looked_at(tab)
            await tab.until(f"{CARDS} === 'lost,lost,lost,itself'", 120.0)
            card = await tab.value("$('peers').firstElementChild.textContent")
            assert "Nobody answers at its address" in card
            assert "old" in card
            assert "newest candle" in card
            kept = (await told(port))["desk"]
            assert kept["status"]["account"]["equity"] > 0.0
            async with daemon(tmp_path / "other", other, "account.quote=JPY"):
                await tab.until(f"{CARDS} === 'live,lost,lost,itself'", 120.0)
            errors = list(tab.errors)
    assert errors == []
    assert strangers(tab, f"http://127.0.0.1:{port}") == []
