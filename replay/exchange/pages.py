"""Cursor pagination as the venue does it: opaque texts, falling ids."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

_PAGE: Final = 100
_PAGE_MAX: Final = 1000
_PREFIX: Final = "g3"


class BadRequest(Exception):
    """A parameter that the venue refuses."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def page_of(query: Mapping[str, str], ids: list[int]) -> tuple[list[int], dict[str, Any]]:
    """Return one page of falling ids and its `meta`, or raise BadRequest."""
    text = query.get("page_size", str(_PAGE))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _PAGE_MAX):
        raise BadRequest("page_size", "page_size is invalid")
    size = int(text)
    if query.get("before"):
        edge = _cursor(query["before"], "before")
        page = [id_ for id_ in ids if id_ > edge][-size:]
    else:
        edge = _cursor(query["after"], "after") if query.get("after") else max(ids, default=0) + 1
        page = [id_ for id_ in ids if id_ < edge][:size]
    meta = {
        "after": _opaque(page[-1]) if page and page[-1] != ids[-1] else None,
        "before": _opaque(page[0]) if page and page[0] != ids[0] else None,
        "limit": size,
        "total_count": len(ids),
    }
    return page, meta


def _opaque(id_: int) -> str:
    return _PREFIX + base64.urlsafe_b64encode(f"id:{id_}".encode()).decode()


def _cursor(text: str, param: str) -> int:
    try:
        packed = base64.urlsafe_b64decode(text.removeprefix(_PREFIX)).decode()
        return int(packed.removeprefix("id:"))
    except (binascii.Error, ValueError) as error:
        raise BadRequest(param, f"{param} is invalid") from error
