"""
`make research-pictures`: what README and docs show of the research's pages, each drawn from the command that `research.md` has for it.

Light, in `deploy/pictures`, with a trial ledger that begins empty, so that the trials before are those of the commands themselves.
It needs Debian's chromium; `python -m tests.support.research_pictures search` draws one of them.
"""

import argparse
import asyncio
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.browser import browser_tab
from tests.support.live_pictures import kept

ROOT = Path(__file__).resolve().parents[2]
DOCS, PICTURES = ROOT / "deploy" / "docs" / "research.md", ROOT / "deploy" / "pictures"
# Of each picture the folder that its command writes to, and how much of the page is shown; in the order of the commands.
PAGES = {
    "surface": ("results/first", 1000, 1284),
    "walkforward": ("results/quarters", 1120, 1664),
    "search": ("results/further", 1000, 1262),
}


def command_for(folder: str) -> list[str]:
    """Return the arguments of the command in the docs that writes to a folder."""
    (line,) = re.findall(rf"^\$ papertape (.* --out {folder})$", DOCS.read_text("utf-8"), re.M)
    return shlex.split(line)


async def photographed(page: Path, picture: Path, width: int, height: int, profile: Path) -> None:
    """Draw the upper part of a page."""
    async with browser_tab(profile) as tab:
        await tab.open(page, width, height)
        kept(picture, await tab.picture({"x": 0, "y": 0, "width": width, "height": height}))
        assert tab.errors == []


def main() -> None:
    """Run the commands and draw their pages."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.research_pictures", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(PAGES), metavar="|".join(PAGES))
    parser.add_argument("--out", type=Path, default=PICTURES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        work = Path(name)  # a browser that was ended may still write its profile
        environment = {**os.environ, "PAPERTAPE_TRIALS": str(work / "trials.sqlite3")}
        for picture in options.names:
            folder, width, height = PAGES[picture]
            call = [sys.executable, "-m", "papertape.daemon.cli", *command_for(folder)]
            subprocess.run(call, cwd=work, env=environment, check=True)
            profile, page = work / picture, work / folder / "report.html"
            asyncio.run(photographed(page, options.out / f"{picture}.png", width, height, profile))


if __name__ == "__main__":
    main()
