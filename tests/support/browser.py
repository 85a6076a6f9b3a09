"""A real browser, where the machine has one."""

import asyncio
import base64
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium") or ""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine to open the page with")

# What is wider than its place and cannot be seen without pushing it about.
CUT = """[...document.querySelectorAll("main *")].filter((n) => n.clientWidth > 0 && n.scrollWidth > n.clientWidth + 1
  && getComputedStyle(n).overflowX !== "visible").map((n) => `${n.tagName} ${n.id} ${n.className}`)"""


def open_in_browser(page: Path, profile: Path, query: str = "") -> str:
    """Return the page's DOM after its scripts have run."""
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={profile}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            f"{page.as_uri()}{query}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


class Tab:
    """One page of a running browser, spoken to in its own protocol (Chrome DevTools) over the loopback."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.patience_s = 60.0  # for one answer
        self.errors: list[str] = []
        self.requests: list[str] = []  # once the domain Network is enabled

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer to one request; what the page throws or logs as an error is kept on the way."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            said = await self._socket.receive_json(timeout=self.patience_s)
            if said.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(said["params"]["exceptionDetails"]))
            if said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.errors.append(str(said["params"]["entry"]))
            if said.get("method") == "Network.requestWillBeSent":
                self.requests.append(str(said["params"]["request"]["url"]))
            if said.get("method") == "Network.webSocketCreated":
                self.requests.append(str(said["params"]["url"]))
            if said.get("id") == self._number:
                assert "error" not in said, said
                return dict(said["result"])

    async def value(self, expression: str) -> Any:
        """Return what an expression is worth on the page."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def open(self, page: Path | str, width: int, height: int = 1000, query: str = "") -> None:
        """Open a page, of a file or an address, at a width, and wait until its scripts say that it is drawn."""
        url = page if isinstance(page, str) else page.as_uri()
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        await self.call("Page.navigate", url=f"{url}{query}")
        for _ in range(600):
            drawn = "document.documentElement?.dataset.ready ?? document.documentElement?.dataset.errors"
            if await self.value(drawn):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{page} was not drawn within a minute")

    async def until(self, expression: str, seconds: float = 60.0) -> Any:
        """Wait until an expression is true on the page, and return what it is worth."""
        for _ in range(int(seconds * 10)):
            if found := await self.value(expression):
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"{expression} was not true within {seconds:g} s")

    async def picture(self, clip: Mapping[str, float] | None = None) -> bytes:
        """Return the whole page, or a rectangle of it (x, y, width, height), as PNG."""
        part = {} if clip is None else {"clip": {**clip, "scale": 1}}
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True, **part)
        return base64.b64decode(shot["data"])

    async def printed(self) -> bytes:
        """Return the page as it is printed, PDF."""
        done = await self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(done["data"])


@asynccontextmanager
async def browser_tab(profile: Path) -> AsyncIterator[Tab]:
    """Run a browser with an empty profile and give one of its pages."""
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *FLAGS,
        "--hide-scrollbars",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = await _port(profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            pages = await (await session.get(f"http://127.0.0.1:{port}/json/list")).json()
            url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            async with session.ws_connect(url, max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                yield tab
    finally:
        browser.kill()
        await browser.wait()


@asynccontextmanager
async def opened_page(profile: Path, path: str) -> AsyncIterator[Tab]:
    """Give the page that another one has opened, by the path of its address, once it is there."""
    port = await _port(profile / "DevToolsActivePort")
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            pages = await (await session.get(f"http://127.0.0.1:{port}/json/list")).json()
            found = [page for page in pages if path in page["url"] and page["type"] == "page"]
            if found:
                break
            await asyncio.sleep(0.1)
        assert found, f"no page opened {path} within a minute"
        async with session.ws_connect(found[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            tab = Tab(socket)
            for domain in ("Runtime", "Log", "Network"):
                await tab.call(f"{domain}.enable")
            yield tab


async def _port(path: Path) -> int:
    """Return where the browser listens, which it writes down once it does."""
    for _ in range(300):
        if lines := _lines(path):
            return int(lines[0])
        await asyncio.sleep(0.1)
    raise AssertionError("the browser did not start within half a minute")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
