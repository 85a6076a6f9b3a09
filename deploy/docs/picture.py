"""
A candle's way, as SVG: boxes and arrows, one font, colours for light and dark.

The picture brings its own background, so it is readable wherever it is shown; numbers are those of the table in
`architecture.md`.
"""

from collections.abc import Iterable
from html import escape

WIDTH, HEIGHT = 960, 508
TITLE = "A candle's way: live or recorded, it enters one engine, which decides and reports"
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t">
<title id="t">{title}</title>
<style>
svg {{ --paper: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #818b98; --live: #ddf4ff; --tape: #fff1c2; --core: #dafbe1; --out: #f3f4f6 }}
@media (prefers-color-scheme: dark) {{
svg {{ --paper: #0d1117; --ink: #f0f6fc; --soft: #a5afba; --line: #818b98; --live: #12314f; --tape: #443308; --core: #123d22; --out: #21262d }}
}}
text {{ font: 600 14px system-ui, sans-serif; fill: var(--ink); text-anchor: middle }}
.soft {{ font-weight: 400; font-size: 12px; fill: var(--soft) }}
.left {{ text-anchor: start }}
rect {{ stroke: var(--line); rx: 6px }}
.live {{ fill: var(--live) }} .tape {{ fill: var(--tape) }} .core {{ fill: var(--core) }} .out {{ fill: var(--out) }}
.room {{ fill: none; stroke-dasharray: 4 4 }}
path {{ fill: none; stroke: var(--line); stroke-width: 1.6; marker-end: url(#a) }}
.again {{ stroke-dasharray: 5 4 }}
</style>
<marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" style="fill: var(--line); stroke: none; marker-end: none"/></marker>
<rect width="{width}" height="{height}" style="fill: var(--paper); stroke: none"/>"""

Box = tuple[str, float, float, float, float, str, str]  # kind, left, top, width, height, title, what it does
Arrow = tuple[str, str]  # class, way
Text = tuple[str, float, float, str]  # class, x, y, text

BOXES: tuple[Box, ...] = (
    ("out", 20, 44, 110, 56, "exchange", "websocket, REST"),
    ("live", 166, 44, 150, 56, "1 feed", "frames, venue's clock"),
    ("live", 352, 44, 160, 56, "2 finality", "the history decides"),
    ("live", 548, 44, 150, 56, "3 merge", "whole instants"),
    ("live", 734, 44, 206, 56, "4 journal", "on the disk, then onwards"),
    ("out", 20, 146, 110, 56, "tape", "Parquet, hashed"),
    ("tape", 166, 146, 150, 56, "5 replay feed", "batches of any size"),
    ("core", 352, 146, 240, 56, "loop.run", "one step, then every sink"),
    ("core", 36, 270, 106, 64, "7 check", "or refuse"),
    ("core", 168, 270, 124, 64, "8 perceive", "features, events"),
    ("core", 318, 270, 124, 64, "9 infer", "model, carried on"),
    ("core", 468, 270, 124, 64, "10 decide", "yours or built in"),
    ("core", 618, 270, 170, 64, "11 execute", "close, enter, bracket"),
    ("core", 814, 270, 110, 64, "12 report", "copies only"),
    ("live", 734, 146, 206, 56, "6 training and gate", "in a process of its own"),
    ("live", 618, 424, 150, 56, "13 tables, views", "SQL, metrics, status"),
    ("tape", 790, 424, 150, 56, "14 result", "figures, report page"),
    ("live", 352, 424, 240, 56, "15 audit", "the journal stepped again: equal?"),
)
ARROWS: tuple[Arrow, ...] = (
    ("", "M130 72H162"),
    ("", "M316 72H348"),
    ("", "M512 72H544"),
    ("", "M698 72H730"),
    ("", "M130 174H162"),
    ("", "M316 174H348"),
    ("", "M837 146V104"),
    ("", "M734 90H716V174H596"),
    ("", "M472 202V236"),
    ("", "M142 302H164"),
    ("", "M292 302H314"),
    ("", "M442 302H464"),
    ("", "M592 302H614"),
    ("", "M788 302H810"),
    ("", "M855 334V384H693V420"),
    ("", "M865 334V420"),
    ("again", "M618 452H596"),
)
TEXTS: tuple[Text, ...] = (
    ("soft left", 20, 26, "live: blue · recorded: yellow · the same engine for both: green"),
    (
        "soft left",
        36,
        258,
        "engine.step: pure; the same bits in any batch; a decision fills from the next candle on",
    ),
    ("soft left", 36, 366, "models, commands, funding and halts are inputs, too"),
)


def picture() -> str:
    """Return the whole picture."""
    room = '<rect class="room" x="20" y="240" width="920" height="104"/>'
    return "\n".join([head(WIDTH, HEIGHT, TITLE), room, *drawn(BOXES, ARROWS, TEXTS), "</svg>", ""])


def head(width: int, height: int, title: str) -> str:
    """Return what a picture begins with: its size, its title for who cannot see it, and its colours."""
    return HEAD.format(width=width, height=height, title=escape(title, quote=False))


def drawn(boxes: Iterable[Box], arrows: Iterable[Arrow], texts: Iterable[Text]) -> list[str]:
    """Return boxes, arrows over them and words over both, one element a line."""
    parts = []
    for kind, x, y, width, height, title, about in boxes:
        middle = x + width / 2
        parts += [
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}"/>',
            f'<text x="{middle:g}" y="{y + height / 2 - 4:g}">{escape(title)}</text>',
            f'<text class="soft" x="{middle:g}" y="{y + height / 2 + 15:g}">{escape(about)}</text>',
        ]
    parts += [f'<path class="{kind}" d="{way}"/>' for kind, way in arrows]
    return parts + [
        f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>' for kind, x, y, text in texts
    ]
