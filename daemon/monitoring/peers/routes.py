"""The route of the other daemons."""

from typing import Final

from aiohttp import web

from papertape.daemon.monitoring.api.queries import LABEL
from papertape.daemon.monitoring.peers.answers import Peers
from papertape.daemon.monitoring.peers.watch import PeerWatch
from papertape.daemon.monitoring.routes import Route, as_json

_READS: Final = (400, 401, 403, 429, 503)


class PeerRoutes:
    """The handler; watch: None where the configuration names no other daemon."""

    def __init__(self, watch: PeerWatch | None = None) -> None:
        self._watch = watch or PeerWatch({}, {}, "")

    def routes(self) -> tuple[Route, ...]:
        """Return the route."""
        return (
            Route(
                "GET",
                "/api/v1/peers",
                "Other daemons of the configuration, and what each said last.",
                self._get_peers,
                Peers,
                refusals=_READS,
                label=LABEL,
            ),
        )

    async def _get_peers(self, request: web.Request) -> web.Response:
        return as_json(self._watch.peers())
