"""How values look in a notebook: a card, and a page that stands in the cell. Everything from outside is escaped."""

import html
from pathlib import PosixPath
from typing import Final

# A page that is larger slows the notebook down and is told where it is instead.
_INLINE_BYTES_MOST: Final = 16 << 20
_HEIGHT_PX: Final = 720


def card(title: str, line: str, body: str) -> str:
    """
    Return a value as a card.

    title, line  plain text; body: HTML
    """
    return (
        '<div style="border:1px solid #8884;border-radius:6px;padding:.6em 1em;max-width:60em">'
        f"<b>{html.escape(title)}</b><br><span>{html.escape(line)}</span>{body}</div>"
    )


class Page(PosixPath):
    """The path of a report, which in a notebook is the report itself."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        size = self.stat().st_size
        where = html.escape(str(self))
        if size > _INLINE_BYTES_MOST:
            return (
                f"<p>The report has {size >> 20} MB and does not stand here; open <code>{where}</code>.</p>"
            )
        page = html.escape(self.read_text(encoding="utf-8"), quote=True)
        return (
            f'<iframe srcdoc="{page}" style="width:100%;height:{_HEIGHT_PX}px;border:0" '
            'sandbox="allow-scripts allow-popups allow-downloads"></iframe>'
        )
