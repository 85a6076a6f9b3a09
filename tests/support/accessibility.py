"""
What axe-core and a keyboard say of a page that is open in a browser.

`axe.min.js` is axe-core 4.12.1 as it is released (Deque Systems, Mozilla Public License 2.0, its notice in the file); tests put
it into a page through the browser's own protocol, nothing of the product loads it.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.support.browser import Tab

PATIENCE_S = 240.0  # it looks at every element's colours, and machines are busy
AXE = Path(__file__).with_name("axe.min.js")
_FOUND = """axe.run(document, { resultTypes: ["violations"] }).then((found) => JSON.stringify(found.violations.map((each) =>
  ({ id: each.id, impact: each.impact, nodes: each.nodes.map((node) => `${node.target}: ${node.failureSummary}`) }))))"""
# What can be reached by pressing Tab; of the chart's own parts none.
REACHABLE = """[...document.querySelectorAll("a[href], button, select, input, summary, [tabindex='0']")].filter((node) =>
  !node.disabled && node.tabIndex >= 0 && node.checkVisibility({ visibilityProperty: true }))"""
_WHERE = f"""(() => {{ const node = document.activeElement, seen = {REACHABLE};
  return JSON.stringify([seen.indexOf(node), node.tagName + " " + node.id, getComputedStyle(node).outlineStyle]); }})()"""


async def violations(tab: Tab) -> list[dict[str, Any]]:
    """Return every rule of axe-core that the page breaks, with the elements that do."""
    tab.patience_s = PATIENCE_S
    await tab.call("Runtime.evaluate", expression=AXE.read_text(encoding="utf-8"))
    found = await tab.call("Runtime.evaluate", expression=_FOUND, awaitPromise=True, returnByValue=True)
    assert "exceptionDetails" not in found, found
    return list(json.loads(found["result"]["value"]))


async def press(tab: Tab, key: str, modifiers: int = 0) -> None:
    """Press a key as a person does."""
    codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowRight": 39}
    text = {"Enter": "\r", " ": " "}.get(key, "")
    for kind in ("keyDown", "keyUp"):
        await tab.call(
            "Input.dispatchKeyEvent",
            type=kind,
            key=key,
            code=key,
            windowsVirtualKeyCode=codes[key],
            modifiers=modifiers,
            **({"text": text} if text and kind == "keyDown" else {}),
        )


async def tabbed(tab: Tab) -> list[str]:
    """Press Tab from the page's top to its end, each stop visibly in focus; return what cannot be reached that way."""
    await tab.value("document.body.tabIndex = -1, document.body.focus(), scrollTo(0, 0), 1")
    names = json.loads(
        await tab.value(
            f"JSON.stringify({REACHABLE}.map((n) => n.tagName + ' ' + (n.id || n.textContent.slice(0, 20))))"
        )
    )
    reached: set[int] = set()
    for _ in range(2 * len(names)):
        await press(tab, "Tab")
        place, name, outline = json.loads(await tab.value(_WHERE))
        if place < 0 or place in reached:
            break
        assert outline != "none", name
        reached.add(place)
        await asyncio.sleep(0)
    return [name for place, name in enumerate(names) if place not in reached]
