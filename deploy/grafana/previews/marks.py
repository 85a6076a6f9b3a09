"""Elements of SVG, and the colours: a class each, so that light and dark are the picture's own matter."""

from collections.abc import Sequence
from html import escape

PALETTE = 10  # classes c0 … c9; named colours are classes of their name
CHARACTER_PX = 6.0  # of the small font, on average
BOLD_PX = 7.6  # of a title
STYLE = """<style>
svg { --paper: #f4f5f5; --panel: #ffffff; --edge: #dadce0; --ink: #24292e; --soft: #656d76; --grid: #e8e9eb; --red: #d1293b; --orange: #d9730d;
--green: #2f9e44; --blue: #1f60c4; --c0: #3f9d3a; --c1: #b98b00; --c2: #2f77d0; --c3: #d9730d; --c4: #d1293b; --c5: #8f4fd0; --c6: #0b8f8f; --c7: #a85a2a; --c8: #c2418a; --c9: #6b7280 }
@media (prefers-color-scheme: dark) {
svg { --paper: #111217; --panel: #181b1f; --edge: #2c3235; --ink: #d8d9da; --soft: #9aa2ab; --grid: #26292e; --red: #f2495c; --orange: #ff9830;
--green: #73bf69; --blue: #5794f2; --c0: #73bf69; --c1: #f2cc0c; --c2: #5794f2; --c3: #ff9830; --c4: #f2495c; --c5: #b877d9; --c6: #3bc5c5; --c7: #d99a6c; --c8: #f28ac2; --c9: #a7adb8 } }
text { font: 11px system-ui, sans-serif; fill: var(--ink) }
.title { font-weight: 600; font-size: 12.5px } .head { font-weight: 600; font-size: 17px } .soft { fill: var(--soft) } .big { font-size: 24px } .middle { font-size: 16px } .tiny { font-size: 9.5px }
.mid { text-anchor: middle } .end { text-anchor: end }
.panel { fill: var(--panel); stroke: var(--edge); rx: 3px } .paper { fill: var(--paper) }
path { fill: none; stroke-width: 1.3; stroke-linejoin: round } .grid { stroke: var(--grid) } .dash { stroke-dasharray: 5 4 }
.cell { fill: var(--orange) }
NAMED</style>"""
_NAMES = ("red", "orange", "green", "blue", *(f"c{n}" for n in range(PALETTE)))


def style() -> str:
    """Return the colours and fonts: a colour's class strokes a path and fills everything else."""
    named = "".join(
        f".{name} {{ fill: var(--{name}) }} path.{name} {{ fill: none; stroke: var(--{name}) }}\n"
        for name in _NAMES
    )
    return STYLE.replace("NAMED", named)


def text(words: str, x: float, y: float, kind: str = "") -> str:
    """Return words at a point."""
    classes = f' class="{kind}"' if kind else ""
    return f'<text{classes} x="{x:.0f}" y="{y:.0f}">{escape(words, quote=False)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str, more: str = "") -> str:
    """Return a rectangle."""
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"{more}/>'


def dot(x: float, y: float, kind: str) -> str:
    """Return a point."""
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'


def line(points: Sequence[tuple[float, float]], kind: str) -> str:
    """Return a line through points; those inside a level stretch are left out."""
    levels = [f"{y:.1f}" for _, y in points]
    kept = [
        f"{x:.0f} {level}"
        for n, ((x, _), level) in enumerate(zip(points, levels, strict=True))
        if levels[max(n - 1, 0) : n + 2] != [level] * 3
    ]
    return f'<path class="{kind}" d="M{"L".join(kept)}"/>'


def cut(words: str, width: float, character: float = CHARACTER_PX) -> str:
    """Return words that fit into a width, with … where some had to go."""
    most = max(int(width / character), 1)
    return words if len(words) <= most else words[: most - 1] + "…"
