"""
`make pictures`: what README and docs show of a running daemon, drawn from one run of `make demo-live`.

The page, its replay at a candle where something is held, and the three dashboards, all of them light, in `deploy/pictures`. It needs
Debian's chromium and prometheus; `python -m tests.support.live_pictures --minutes 3 --out elsewhere` is quicker, with less to show.
"""

import argparse
import asyncio
import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from tests.support.accessibility import press
from tests.support.browser import Tab, browser_tab
from tests.support.previews import GRAFANA, preview

WIDTH, HEIGHT = 1440, 1180
MARGIN = 14  # around a part of the page
MOST_BYTES = 250_000  # of one picture: a README that opens at once
# A model, trades and what the strategy saw: without them there is nothing to look at.
SHOWS = "PAGE.status?.model.version > 0 && PAGE.trades.rows.length > 0 && PAGE.candles.structure.items?.n > 0 && PAGE.equity.found?.time_ms.length > 0"
# The newest candle that decided something, as a click on it tells.
WHY = """(async () => { const [one] = (await ask("decisions", { symbol: PAGE.candles.symbol, limit: 1 })).rows;
  await why(one.symbol, PAGE.candles.rows[PAGE.candles.place(one.time_ms - PAGE.frameMs)], PAGE.candles.sizeMs, PAGE.frameMs, PAGE.status);
  document.documentElement.dataset.told = "yes"; })(), 1"""
# The newest candle of the replay at which a position was held and a model had spoken.
HELD = """(() => { for (let n = PAGE.replay.step; n > 60; n--) { const state = PAGE.candles.stateAt(n);
  if (state.position && state.prediction) { PAGE.replay.go(n); return true; } } return false; })()"""


async def photographed(page: str, folder: Path, profile: Path) -> None:
    """Draw a daemon's page as it is, and in its replay."""
    async with browser_tab(profile) as tab:
        await tab.open(page, WIDTH, HEIGHT)
        await tab.value("setTheme('light'), 1")
        await tab.until(SHOWS)
        await tab.value(WHY)
        await tab.until("document.documentElement.dataset.told")
        kept(folder / "live.png", await tab.picture({"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}))
        await tab.value("$('candles').focus(), 1")
        await press(tab, "ArrowLeft")
        await tab.until(f"PAGE.candles.book.tables !== undefined && {HELD}")
        await tab.value("scrollTo(0, 0), 1")
        kept(folder / "live-replay.png", await tab.picture(await around(tab, ".stage")))
        assert tab.errors == []


async def around(tab: Tab, selector: str) -> dict[str, Any]:
    """Return the rectangle of an element on the page, and a little around it."""
    box = await tab.value(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
    return {
        "x": max(box["x"] + await tab.value("scrollX") - MARGIN, 0),
        "y": max(box["y"] + await tab.value("scrollY") - MARGIN, 0),
        "width": box["width"] + 2 * MARGIN,
        "height": box["height"] + 2 * MARGIN,
    }


def kept(path: Path, picture: bytes) -> None:
    """Write a picture in 256 colours, a third of its size; more than these the page does not have."""
    with Image.open(io.BytesIO(picture)) as whole:
        whole.convert("RGB").quantize(256).save(path, optimize=True)
    size = path.stat().st_size
    assert size < MOST_BYTES, f"{path}: {size:,} bytes"


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.live_pictures", description=__doc__)
    parser.add_argument("--minutes", type=float, default=12.0, help="that the daemon runs before")
    parser.add_argument("--out", type=Path, default=GRAFANA.parent / "pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with (
        preview.demo(options.minutes) as addresses,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        # First what a position that is open now is part of.
        preview.draw(addresses["prometheus"], options.out, preview.ABOUT)
        asyncio.run(photographed(f"{addresses['page']}/", options.out, Path(profile)))


if __name__ == "__main__":
    main()
