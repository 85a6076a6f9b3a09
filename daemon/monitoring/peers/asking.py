"""
One question to another daemon, and what its answer is worth.

Whoever answers at an address may be anybody: an answer ends at 256 kB and at some seconds, nothing is followed elsewhere, and what
does not read as a status is told as that. No token and nothing of the answer's text goes into a message.
"""

from http import HTTPStatus
from typing import Final, NamedTuple

import aiohttp
from pydantic import ValidationError

from papertape.daemon.monitoring.peers.answers import MOST_ROWS, PeerStatus

ANSWER_S: Final = 3.0
ANSWER_BYTES: Final = 256_000
RUN_HEADER: Final = "Papertape-Run"  # one word for each start of a daemon
_PATH: Final = "/api/v1/status"


class Unusable(Exception):
    """There is no answer, or none that can be used; its text is one sentence."""


class PeerAnswer(NamedTuple):
    """
    What a daemon said.

    run             of its process; empty: it did not say
    more_positions  that are not in its status here
    """

    status: PeerStatus
    run: str
    more_positions: int


async def ask_status(session: aiohttp.ClientSession, url: str, token: str | None) -> PeerAnswer:
    """Return what a daemon says of itself, or raise Unusable."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        async with session.get(f"{url}{_PATH}", headers=headers, allow_redirects=False) as answer:
            run = answer.headers.get(RUN_HEADER, "")
            if answer.status != HTTPStatus.OK:
                raise Unusable(_refusal(answer.status, token is not None))
            body = await _read(answer)
    except TimeoutError:
        raise Unusable(f"it did not answer within {ANSWER_S:g} s") from None
    except aiohttp.ClientConnectorError:
        raise Unusable("nobody answers at its address") from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise Unusable("what answers there does not speak HTTP as a daemon does") from None
    try:
        status = PeerStatus.model_validate_json(body)
    except ValidationError:
        raise Unusable("its answer is no status of a daemon") from None
    return PeerAnswer(status.cut(), run, max(0, len(status.positions) - MOST_ROWS))


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Return a body, or raise Unusable for one that is too long."""
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > ANSWER_BYTES:
            raise Unusable(f"its answer is longer than {ANSWER_BYTES // 1000} kB")
    return bytes(body)


def _refusal(status: int, has_token: bool) -> str:
    """Return a sentence on an answer that is not the status."""
    if status == HTTPStatus.UNAUTHORIZED:
        return "it refuses the token" if has_token else "it needs a token, and none is named for it"
    if status == HTTPStatus.FORBIDDEN:
        return "it does not answer by this name; add it to its daemon.hosts"
    return f"it answers with status {status}"
