"""
How our HTTP servers listen: a port that cannot be had is one sentence, a request that is no HTTP is one debug line.

aiohttp logs what it cannot parse as an error with a traceback, and anybody who reaches the port can send it.
"""

import logging
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from papertape.engine.errors import ConfigError

_LOGGER: Final = "papertape.http"


class _Malformed(logging.Filter):
    """Turns a record about a malformed request into one line at debug."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            fault = " ".join(str(error.message).split())[:200]
            record.msg, record.args = "malformed request: %s: %s", (*(record.args or ("",)), fault)
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
            record.exc_info = record.exc_text = None
        return record.levelno >= logging.getLogger(_LOGGER).getEffectiveLevel()


_MALFORMED: Final = _Malformed()


def http_log() -> logging.Logger:
    """Return the logger to give to `AppRunner`."""
    logger = logging.getLogger(_LOGGER)
    logger.addFilter(_MALFORMED)  # once: the same filter is not added twice
    return logger


async def listen(runner: web.AppRunner, host: str, port: int, setting: str) -> int:
    """
    Listen, and return the port: of those that are free when `port` is 0.

    setting  what chooses the port, for the sentence

    Raises ConfigError when the port cannot be had.
    """
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
    except OSError as error:
        # asyncio packs the reason into a longer text: ('127.0.0.1', 9464): address already in use
        reason = (error.strerror or str(error)).rpartition(": ")[2].lower()
        raise ConfigError(
            f"{setting} {port}: {host} cannot listen there: {reason}; "
            "stop what uses the port or choose another (0: any)"
        ) from error
    return int(runner.addresses[0][1])
