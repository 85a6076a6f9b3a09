"""
Draw the dashboards from a real run: `python deploy/grafana/preview.py --minutes 12`, the pictures of README and docs.

`make demo-live` runs for that long (venue, daemon, Prometheus), every query of every panel is asked as Grafana asks it, and what
is answered is drawn at the dashboard's own places, in `deploy/pictures`. `--prometheus http://127.0.0.1:9090` asks one that runs.
"""

import argparse
import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from previews.page import picture
from previews.places import Shown
from previews.results import EVERYTHING, Results, Span, asking, results_of

HERE = Path(__file__).parent
SCRAPE_S = 5.0  # of demo_live.py
END_S = 60.0  # for everything to end
ABOUT = "A synthetic market on the local exchange (make demo-live); its clock runs ahead of the machine's, so its ages are below zero."


@contextmanager
def demo(minutes: float) -> Iterator[dict[str, str]]:
    """Run `make demo-live` for a while; give the addresses of its page and its Prometheus by name, and end all of it."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, str(HERE.parent / "demo_live.py"), "--folder", folder]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603 # words of our own
        assert process.stdout is not None
        try:
            told = ""
            for line in process.stdout:
                told += line
                if "the first trade is over" in line:
                    break
            found = dict(re.findall(r"(page|prometheus) +(http://[\d.:]+)/", told))
            if "prometheus" not in found:
                raise SystemExit(f"no Prometheus runs (Debian package `prometheus`):\n{told}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(minutes * 60.0)
                raise SystemExit(f"the run ended by itself:\n{told}{process.stdout.read()}")
            _wait_for_position(found["prometheus"])
            yield found
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=END_S)


def _wait_for_position(address: str) -> None:
    """Wait until a position is open, so that there is one in the table; a minute at most."""
    ask = asking(address)
    for _ in range(60):
        if ask("query", query="papertape_position_quantity != 0")["result"]:
            return
        time.sleep(1.0)


def draw(address: str, folder: Path, about: str) -> None:
    """Draw each dashboard from a Prometheus: all that it has of a daemon, up to now."""
    ask, now_s = asking(address), time.time()
    up = ask("query", query="min_over_time(timestamp(up)[2h:5s])", time=now_s)["result"]
    if not up:
        raise SystemExit(f"{address}: it has scraped no daemon yet")
    span = Span(float(up[0]["value"][1]), now_s, SCRAPE_S)
    symbols = ask("label/symbol/values")
    for path in sorted((HERE / "dashboards").glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))

        def results(shown: Shown) -> Results:
            everything = {"symbol": EVERYTHING, **shown.variables}
            return results_of(shown.panel, ask, span, everything)

        text = picture(board, results, span, symbols, about)
        name = path.stem.replace("papertape", "dashboard")
        (folder / f"{name}.svg").write_text(text, encoding="utf-8")


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--prometheus", help="the address of one that runs; none: that of a run made for it")
    parser.add_argument("--out", type=Path, default=HERE.parent / "pictures")
    parser.add_argument("--about", default=ABOUT)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.prometheus:
        draw(options.prometheus, options.out, options.about)
    else:
        with demo(options.minutes) as addresses:
            draw(addresses["prometheus"], options.out, options.about)


if __name__ == "__main__":
    main()
