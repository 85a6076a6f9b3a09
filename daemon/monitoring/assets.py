"""
The page at `/` and the files that it loads: from this machine alone, with nothing inline, read once at the start.

Its charting library, the colours, and what draws and replays are those of the offline report
(`papertape.replay.report`): one text, loaded by both.

The report of a backtest is one file with its scripts inside, which the page's policy does not let run. It is shown in `/viewer`, an
empty page without an origin and without a network: the page hands the report over to it, and nothing that stands in the report
reaches the token or the daemon.
"""

import hashlib
import re
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from papertape.daemon.monitoring.routes import Route, read_query

PAGE: Final = "index.html"
VIEWER: Final = "viewer.html"
_HERE: Final = "papertape.daemon.monitoring"
_REPORT: Final = "papertape.replay.report"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
VIEWER_POLICY: Final = (
    "sandbox allow-scripts allow-downloads allow-modals; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILE_OF_PAGE: Final = re.compile(r'"(/assets/([\w.-]+))"')
_FOR_GOOD: Final = "max-age=31536000, immutable"
_MEDIA: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class AssetName(StrEnum):
    """What the page loads."""

    LIBRARY = "lightweight-charts.js"
    REPORT_STYLE = "report.css"
    STYLE = "live.css"
    ICON = "icon.svg"
    SHARED = "shared.js"
    KNOWN = "known.js"
    STRUCTURE = "structure.js"
    ORDERS = "orders.js"
    MARKS = "marks.js"
    WHY = "why.js"
    REPLAY = "replay.js"
    FEATURES = "features.js"
    BASE = "base.js"
    STREAM = "stream.js"
    SEEN = "seen.js"
    BOOK = "book.js"
    CHART = "chart.js"
    EQUITY = "equity.js"
    PICTURES = "pictures.js"
    PANELS = "panels.js"
    MODELS = "models.js"
    BREAKDOWN = "breakdown.js"
    TRADES = "trades.js"
    CONTROLS = "controls.js"
    BACKTESTS = "backtests.js"
    ASKING = "asking.js"
    COMPARISON = "comparison.js"
    PEERS = "peers.js"
    APP = "app.js"


_OF_THE_REPORT: Final = (
    AssetName.LIBRARY,
    AssetName.REPORT_STYLE,
    AssetName.SHARED,
    AssetName.KNOWN,
    AssetName.STRUCTURE,
    AssetName.ORDERS,
    AssetName.MARKS,
    AssetName.WHY,
    AssetName.REPLAY,
    AssetName.FEATURES,
    AssetName.PICTURES,
)
ENDPOINTS: Final = (("GET", "/"),)  # of metrics: the page and its files are one


class AssetQuery(BaseModel):
    """Which content of a file."""

    model_config = ConfigDict(extra="forbid")

    v: str | None = Field(
        None, description="digest of its content: where it is this one, the answer is for good"
    )


class Assets:
    """The page's files, and the routes that give them."""

    def __init__(self) -> None:
        bodies = {
            name: resources.files(_REPORT if name in _OF_THE_REPORT else _HERE)
            .joinpath("web", name)
            .read_bytes()
            for name in (PAGE, VIEWER, *AssetName)
        }
        tags = {name: _tag(body) for name, body in bodies.items()}
        # The page calls each file by what is in it: a browser that has it does not ask again.
        bodies[PAGE] = _FILE_OF_PAGE.sub(
            lambda found: f'"{found[1]}?v={tags[found[2]]}"', bodies[PAGE].decode()
        ).encode()
        self._bodies: Mapping[str, bytes] = bodies
        self._tags = {**tags, PAGE: _tag(bodies[PAGE])}

    def routes(self) -> tuple[Route, ...]:
        """Return the routes; the files hold nothing of the account, so anyone who may connect gets them."""
        return (
            Route("GET", "/", "The page.", self._get_page, media=("text/html",), refusals=(403,),
                access="probe"),
            Route("GET", "/viewer", "An empty page for a report that the page hands over.", self._get_viewer,
                media=("text/html",), refusals=(403,), access="probe", label="/"),
            Route("GET", "/assets/{name}", "A file of the page.", self._get_asset,
                parameters=(("name", AssetName),),
                media=tuple(sorted(set(_MEDIA.values()) - {_MEDIA["html"]})), refusals=(400, 403, 404),
                access="probe", query=AssetQuery, label="/"),
        )  # fmt: skip

    async def _get_page(self, request: web.Request) -> web.Response:
        return self._file(request, PAGE)

    async def _get_viewer(self, request: web.Request) -> web.Response:
        return self._file(request, VIEWER, VIEWER_POLICY)

    async def _get_asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._bodies or name in (PAGE, VIEWER):
            raise web.HTTPNotFound
        return self._file(request, name, is_for_good=read_query(request, AssetQuery).v == self._tags[name])

    def _file(
        self, request: web.Request, name: str, policy: str = POLICY, is_for_good: bool = False
    ) -> web.Response:
        body, tag = self._bodies[name], self._tags[name]
        headers = {
            # Asked again every time and sent again when it is another; by its content's name it never is.
            "Cache-Control": _FOR_GOOD if is_for_good else "no-cache",
            "ETag": f'"{tag}"',
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        media = _MEDIA[name.rpartition(".")[2]]
        return web.Response(body=body, content_type=media, charset="utf-8", headers=headers)


def _tag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
