"""What tests of pages in a browser do again and again: look at every size and colour, fill in a form, see who was asked."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support.accessibility import violations
from tests.support.browser import CUT, Tab

OPENAPI = Path(__file__).resolve().parents[2] / "deploy" / "docs" / "openapi.json"
LOOKS = (("light", 1280), ("dark", 390))
# As a person does: what listens hears of it.
_FILL = """Object.entries({}).forEach(([id, value]) => {{ $(id).value = value;
  for (const name of ["input", "change"]) $(id).dispatchEvent(new Event(name)); }})"""


async def resized(tab: Tab, width: int, height: int = 900) -> None:
    """Give the window a size."""
    await tab.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
    )


async def looked_at(tab: Tab, about: str = "", looks: Sequence[tuple[str, int]] = LOOKS) -> None:
    """Look at the page as it is, light and dark, wide and narrow: axe-core finds nothing, and nothing is wider than the window."""
    for theme, width in looks:
        await tab.value(f"setTheme({theme!r}), 1")
        await resized(tab, width)
        assert await violations(tab) == [], (about, theme, width)
        wide = "document.documentElement.scrollWidth"
        assert await tab.value(f"{wide} <= innerWidth"), (about, theme, width)


async def opened_narrow_and_wide(tab: Tab, page: Path) -> None:
    """Open a file light and dark, wide and narrow: no text is cut off, axe-core finds nothing, and nothing is wider than the window."""
    for theme, width in (("light", 1200), ("dark", 390)):
        await tab.open(page, width, query=f"?theme={theme}")
        assert await tab.value(CUT) == []
        assert await violations(tab) == []
        assert await tab.value("document.documentElement.scrollWidth") <= width


def filled(fields: Mapping[str, str]) -> str:
    """Return what fills in fields, by their ids."""
    return f"{_FILL.format(json.dumps(dict(fields)))}, 1"


def undocumented(urls: Sequence[str]) -> set[str]:
    """Return what of the requests to a daemon the committed document does not list, path and names of parameters."""
    document = json.loads(OPENAPI.read_text(encoding="utf-8"))
    known = {
        re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)): {
            each["name"]
            for operation in operations.values()
            for each in operation.get("parameters", ())
            if each["in"] == "query"
        }
        for path, operations in document["paths"].items()
    }
    return {
        url
        for url in urls
        if urlsplit(url).scheme != "data"
        and not any(
            re.fullmatch(path, urlsplit(url).path) and set(parse_qs(urlsplit(url).query)) <= names
            for path, names in known.items()
        )
    }


def strangers(tab: Tab, url: str) -> list[str]:
    """Return what the page asked of others than the server at a URL."""
    local = url.rstrip("/") + "/"
    return [
        each for each in tab.requests if not each.startswith((local, local.replace("http", "ws"), "data:"))
    ]
