"""
Logs: structlog, one line per event, JSON for machines or plain for a terminal, and the standard library's through the same door.

Event names are short, fixed and lower case (`fill`, `gap_backfilled`); values are fields with their unit in the key. Times are
UTC, ISO 8601. No secret leaves: fields whose name says that they hold one are blanked, and so is every known secret value, in
whatever field, traceback or message of a library it turns up.
"""

import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

BLANK: Final = "[redacted]"
_SECRET_KEYS: Final = (
    "token",
    "authorization",
    "password",
    "passphrase",
    "secret",
    "api_key",
    "apikey",
    "cookie",
    "signature",
)
_META: Final = ("_record", "_from_structlog")  # structlog's own, taken out before a line is written
_COUNTED: Final = {logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "critical"}

OnMessage = Callable[[str], None]


def _ignore(level: str) -> None:
    """Count nothing."""


class Redaction:
    """
    A processor that blanks secrets: by the name of a field, and by value wherever it stands.

    Short values are left: blanking "a" everywhere would tell more than it hides.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({s for s in secrets if len(s) >= 6}, key=len, reverse=True)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Return the event without secrets."""
        return {
            self.text(key): value if key in _META else self._value(key, value) for key, value in event.items()
        }

    def text(self, line: str) -> str:
        """Return a text without known secrets."""
        for secret in self._secrets:
            line = line.replace(secret, BLANK)
        return line

    def _value(self, key: str, value: Any) -> Any:
        if value is not None and any(word in key.lower() for word in _SECRET_KEYS):
            return BLANK
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(k)): self._value(str(k), v) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value("", item) for item in value]
        if isinstance(value, bool | int | float) or value is None:
            return BLANK if str(value) in self._secrets else value
        return self.text(str(value))


class _Count(logging.Handler):
    """Counts what is logged at warning or above, whoever logs it."""

    def __init__(self, on_message: OnMessage) -> None:
        super().__init__(logging.WARNING)
        self._on_message = on_message

    def emit(self, record: logging.LogRecord) -> None:
        level = max((n for n in _COUNTED if n <= record.levelno), default=logging.WARNING)
        self._on_message(_COUNTED[level])


def set_up_logging(
    style: Literal["console", "json"] = "console",
    *,
    secrets: Iterable[str] = (),
    on_message: OnMessage = _ignore,
    stream: TextIO | None = None,
    level: int = logging.INFO,
) -> None:
    """
    Send every log line of the process to one stream (default: standard error).

    secrets     values that must never appear
    on_message  called with warning, error or critical for every such record, for the metrics
    """
    stream = sys.stderr if stream is None else stream
    redaction = Redaction(secrets)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redaction,
    ]
    is_colourful = style == "console" and stream.isatty()
    rendered: Processor = (
        structlog.processors.JSONRenderer(serializer=_json)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=is_colourful, timestamp_key="time")
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, rendered],
    )
    writer = logging.StreamHandler(stream)
    writer.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [writer, _Count(on_message)]
    root.setLevel(level)
    # One line per request at info: the request metrics say it better.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _json(event: Any, **_: Any) -> str:
    """Return an event as one line; what JSON does not know is written as text."""
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
