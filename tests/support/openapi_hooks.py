"""What schemathesis cannot read in the OpenAPI document, put right in every request that it makes (its own hooks)."""

from typing import Any

import schemathesis

MOST_CURSOR = 200  # characters, as the document has it
MOST_LINE = 2_000  # of a query; aiohttp refuses a longer request line before a handler has it


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Put a span in order, and leave out a cursor that no page ever gave."""
    query = case.query
    first, last = str(query.get("from_ms")), str(query.get("to_ms"))
    if first.isdecimal() and last.isdecimal() and int(last) <= int(first):
        query["from_ms"], query["to_ms"] = max(int(last) - 1, 0), max(int(first), 1)
    cursor = query.get("cursor")
    if isinstance(cursor, str) and len(cursor) <= MOST_CURSOR:
        del query["cursor"]


@schemathesis.hook
def filter_query(context: schemathesis.HookContext, query: dict[str, Any] | None) -> bool:
    """Return whether a request line has room for the query."""
    return len(repr(query)) <= MOST_LINE
