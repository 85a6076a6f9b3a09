"""What may be asked of the routes that read, and what makes one of them."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from papertape.daemon.monitoring.api.answers import MOST_ROWS
from papertape.daemon.monitoring.routes import Handler, Refused, Route
from papertape.daemon.monitoring.windows.candles import MOST_CANDLES

LABEL: Final = (
    "/api/v1/{what}"  # one series of metrics for all that read: what differs is in the log of a proxy
)
_REFUSALS: Final = (400, 401, 403, 409, 429, 503)


class SpanQuery(BaseModel):
    """A span of time."""

    model_config = ConfigDict(extra="forbid")

    from_ms: int | None = Field(None, ge=0, le=2**53, description="of this time or later")
    to_ms: int | None = Field(None, ge=0, le=2**53, description="before this time")


class CandleQuery(SpanQuery):
    """A window of one symbol."""

    symbol: str = Field(max_length=64)
    limit: Annotated[int, Field(ge=1, le=MOST_CANDLES)] = 500


class LineQuery(SpanQuery):
    """Lines of features in a window of one symbol."""

    symbol: str = Field(max_length=64)
    size_ms: int | None = Field(
        None, ge=1, le=2**53, description="of a stretch at least, as a window of candles has it"
    )


class StructureQuery(SpanQuery):
    """Market structure in a window of one symbol."""

    symbol: str = Field(max_length=64)


class CloseQuery(BaseModel):
    """A close of the strategy's timeframe."""

    model_config = ConfigDict(extra="forbid")

    symbol: str = Field(max_length=64)
    time_ms: int = Field(ge=0, le=2**53, description="when the candle closed")


class StatementQuery(BaseModel):
    """How much of the statement, and behind which place."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 100
    cursor: int | None = Field(
        None, ge=1, le=2**53, description="`next` of the page before; rows go on behind it"
    )


def reads(
    what: str, summary: str, handler: Handler, answer: type[BaseModel], query: type[BaseModel] | None = None
) -> Route:
    """Return a route that answers with a model, and what it refuses."""
    refusals = _REFUSALS if query is None or "symbol" not in query.model_fields else (*_REFUSALS, 404)
    return Route(
        "GET",
        f"/api/v1/{what}",
        summary,
        handler,
        answer,
        refusals=tuple(sorted(refusals)),
        query=query,
        label=LABEL,
    )


def check_span(asked: SpanQuery) -> None:
    """Raise Refused for a span that ends before it begins."""
    if asked.from_ms is not None and asked.to_ms is not None and asked.from_ms >= asked.to_ms:
        raise Refused(400, f"from_ms: {asked.from_ms} is not before to_ms, {asked.to_ms}")
