"""
The pictures of a replay's report in the README: how the report of `papertape demo` begins, and its replay at a candle that opened nothing.

Light, in `deploy/pictures`. It needs Debian's chromium; `python -m tests.support.report_pictures` runs the demo first, `--report FILE`
takes a report that is there.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.browser import browser_tab
from tests.support.live_pictures import MARGIN, around, kept
from tests.support.research_pictures import PICTURES

WIDTH, HEIGHT = 1180, 1640
# The first candle after the middle of the run at which nothing was held and the confidence was a little below its threshold.
NEARLY = """(() => { const view = CHARTS[0], needed = SUMMARY.parameters.confidence_threshold; REPLAY.begin();
  for (let n = view.whole.length >> 1; n < view.whole.length; n++) { const { position, answer } = view.stateAt(n), short = needed - answer?.confidence;
    if (!position && short > 0 && short < 0.03) { REPLAY.go(n); return true; } } return false; })()"""


async def photographed(report: Path, folder: Path, profile: Path) -> None:
    """Draw the upper part of a report, and its replay."""
    async with browser_tab(profile) as tab:
        await tab.open(report, WIDTH, HEIGHT, "?theme=light")
        kept(folder / "report.png", await tab.picture({"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}))
        assert await tab.value(NEARLY)
        top, bottom = await around(tab, "#replay"), await around(tab, "#why")
        y = top["y"] + MARGIN - 4  # what stands above is no part of the replay
        clip = {"x": 0, "y": y, "width": WIDTH, "height": bottom["y"] + bottom["height"] - y}
        kept(folder / "replay.png", await tab.picture(clip))
        assert tab.errors == []


def main() -> None:
    """Run the demo and draw its report."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.report_pictures", description=__doc__)
    parser.add_argument("--report", type=Path, help="of a demo that was run before")
    parser.add_argument("--out", type=Path, default=PICTURES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        work = Path(name)  # a browser that was ended may still write its profile
        report = options.report or work / "demo" / "report.html"
        if options.report is None:
            call = [sys.executable, "-m", "papertape.daemon.cli", "demo", "--out", str(report.parent)]
            subprocess.run(
                call, env={**os.environ, "PAPERTAPE_TRIALS": str(work / "trials.sqlite3")}, check=True
            )
        asyncio.run(photographed(report.resolve(), options.out, work / "profile"))


if __name__ == "__main__":
    main()
