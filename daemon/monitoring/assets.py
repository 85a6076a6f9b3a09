"""
The page at `/` and the files that it loads: from this machine alone, with nothing inline, read once at the start.

Its charting library, the colours, and what draws and replays are those of the offline report
(`papertape.replay.report`): one text, loaded by both.

The report of a backtest is one file with its scripts inside, which the page's policy does not let run. It is shown in `/viewer`, an
empty page without an origin and without a network: the page hands the report over to it, and nothing that stands in the report
reaches the token or the daemon.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from typing import Final

from aiohttp import web

from papertape.daemon.monitoring.routes import Route

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
_MEDIA: Final = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


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


class Assets:
    """The page's files, and the routes that give them."""

    def __init__(self) -> None:
        self._bodies: Mapping[str, bytes] = {
            name: resources.files(_REPORT if name in _OF_THE_REPORT else _HERE)
            .joinpath("web", name)
            .read_bytes()
            for name in (PAGE, VIEWER, *AssetName)
        }

    def routes(self) -> tuple[Route, ...]:
        """Return the routes; the files hold nothing of the account, so anyone who may connect gets them."""
        return (
            Route(
                "GET",
                "/",
                "The page.",
                self._get_page,
                media=("text/html",),
                refusals=(403,),
                access="probe",
            ),
            Route(
                "GET",
                "/viewer",
                "An empty page for a report that the page hands over.",
                self._get_viewer,
                media=("text/html",),
                refusals=(403,),
                access="probe",
                label="/",
            ),
            Route(
                "GET",
                "/assets/{name}",
                "A file of the page.",
                self._get_asset,
                parameters=(("name", AssetName),),
                media=tuple(sorted(set(_MEDIA.values()) - {_MEDIA["html"]})),
                refusals=(403, 404),
                access="probe",
                label="/",
            ),
        )

    async def _get_page(self, request: web.Request) -> web.Response:
        return self._file(request, PAGE)

    async def _get_viewer(self, request: web.Request) -> web.Response:
        return self._file(request, VIEWER, VIEWER_POLICY)

    async def _get_asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._bodies or name in (PAGE, VIEWER):
            raise web.HTTPNotFound
        return self._file(request, name)

    def _file(self, request: web.Request, name: str, policy: str = POLICY) -> web.Response:
        body = self._bodies[name]
        tag = hashlib.sha256(body).hexdigest()[:16]
        headers = {
            "Cache-Control": "no-cache",  # asked again every time, sent again when it is another
            "ETag": f'"{tag}"',
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        media = _MEDIA[name.rpartition(".")[2]]
        return web.Response(body=body, content_type=media, charset="utf-8", headers=headers)
