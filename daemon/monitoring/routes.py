"""
A small typed registry of routes, and the OpenAPI 3.1 document made from it.

A route says what it takes and what it answers as pydantic models; the document, the metrics' label set and the router
are made from the same list, so none of them can lag behind.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from papertape.daemon.monitoring.schemas import KEY_HEADER, Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LONGEST_KEY: Final = 128
READ_S: Final = 5.0
PROBLEM_MEDIA: Final = "application/problem+json"
_KINDS: Final = {"application/json": "object"}  # of answers without a model; others are text
_PARAMETER: Final = re.compile(r"\{(\w+)\}")

_KEY: Final = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")
_KEY_PARAMETER: Final = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "description": "asked again with the same key and body, the answer is the same and nothing is done twice",
    "schema": {"type": "string", "pattern": f"^{_KEY.pattern}$"},
}

M = TypeVar("M", bound=BaseModel)


class Refused(Exception):
    """A request that is not served, with its status and one sentence for whoever asked."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers


@dataclass(slots=True, frozen=True)
class Route:
    """
    One route.

    answer      model of the answer, or None for what is not JSON
    body        model of the request body; an absent body is the model's defaults
    query       model of what may stand behind the question mark
    takes_key   asked again with the same `Idempotency-Key`, it answers the same and does nothing
    media       of an answer without a model, one or several
    label       what metrics call it; empty: its path
    is_stream   it stays open: no time limit, no clock that stands still meanwhile, and no request once it is open
    statuses    further statuses with the same model; refusals answer `Problem`
    parameters  by name, the values that a part of the path may have; int: any number above 0
    access      probe: always open; read: open on loopback; command: needs the token everywhere
    """

    method: str
    path: str
    summary: str
    handler: Handler
    answer: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    statuses: tuple[int, ...] = ()
    refusals: tuple[int, ...] = ()
    parameters: tuple[tuple[str, type[StrEnum] | type[int]], ...] = ()
    access: Literal["probe", "read", "command"] = "read"
    query: type[BaseModel] | None = None
    media: tuple[str, ...] = ("text/plain",)
    label: str = ""
    takes_key: bool = False
    is_stream: bool = False

    @property
    def endpoint(self) -> tuple[str, str]:
        """Return the labels that metrics count it under."""
        return self.method, self.label or self.path


def read_key(request: web.Request) -> str | None:
    """
    Return the `Idempotency-Key` of a request, None where it has none, or raise Refused for one that cannot be kept.

    Source: IETF draft-ietf-httpapi-idempotency-key-header; what stands there is compared as it is.
    """
    given = request.headers.getall(KEY_HEADER, [])
    if not given:
        return None
    key = given[0]
    if len(given) > 1:
        raise Refused(400, f"{KEY_HEADER}: it is given more than once")
    if not _KEY.fullmatch(key):
        raise Refused(
            400, f"{KEY_HEADER}: it has 1 to {LONGEST_KEY} characters of printable ASCII, no spaces"
        )
    return key


async def read_body(request: web.Request) -> bytes:
    """Return the body of a request, or raise Refused where it does not come or cannot be decoded."""
    try:
        async with asyncio.timeout(READ_S):
            return await request.read()
    except TimeoutError:
        raise Refused(408, f"the body did not arrive within {READ_S:g} s") from None
    except web.RequestPayloadError:
        raise Refused(400, "the body is not encoded as its headers say") from None


def read_query(request: web.Request, model: type[M]) -> M:
    """Return what stands behind the question mark, or raise Refused with the first thing that is wrong with it."""
    names = list(request.query)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Refused(400, f"{twice[0]}: it is given more than once")
    return read_model(lambda: model.model_validate(dict(request.query)), "query")


def read_model(read: Callable[[], M], whole: str) -> M:
    """Return what `read` makes of a request, or raise Refused with the first field that is wrong and the reason."""
    try:
        return read()
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or whole
        raise Refused(400, f"{where}: {fault['msg'][0].lower()}{fault['msg'][1:]}") from error


def as_json(answer: BaseModel, status: int = 200, **headers: str) -> web.Response:
    """Return a model as JSON."""
    return json_bytes(answer.model_dump_json().encode(), status, **headers)


def json_bytes(body: bytes, status: int = 200, **headers: str) -> web.Response:
    """Return JSON; nothing may keep it for later."""
    return web.Response(
        body=body,
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **headers},
    )


def openapi(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Problem, "serialization")]
    for route in routes:
        if route.answer is not None:
            wanted.append((route.answer, "serialization"))
        wanted += [(model, "validation") for model in (route.body, route.query) if model is not None]
    names, definitions = models_json_schema(
        list(dict.fromkeys(wanted)), ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
    # What stands behind a question mark is told as parameters.
    for model in {route.query for route in routes if route.query is not None}:
        definitions["$defs"].pop(model.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Papertape",
            "version": version,
            "description": "Local API of the paper-trading daemon.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, names: dict[Any, Any]) -> dict[str, Any]:
    """Return the description of one method of one path."""
    words = [part for part in re.split(r"\W+", route.path) if part and part != "api"]
    told: dict[str, Any] = {
        "operationId": "_".join([route.method.lower(), *words]),
        "summary": route.summary,
        "responses": _responses(route, names),
    }
    if parameters := _parameters(route):
        told["parameters"] = parameters
    if route.body is not None:
        schema = names[(route.body, "validation")]
        told["requestBody"] = {"required": False, "content": {"application/json": {"schema": schema}}}
    if route.access == "command":
        told["security"] = [{"token": []}]
    return told


def _responses(route: Route, names: dict[Any, Any]) -> dict[str, Any]:
    answer = (
        {media: {"schema": {"type": _KINDS.get(media, "string")}} for media in route.media}
        if route.answer is None
        else {"application/json": {"schema": names[(route.answer, "serialization")]}}
    )
    problem = {PROBLEM_MEDIA: {"schema": names[(Problem, "serialization")]}}
    switched = {"101": {"description": HTTPStatus(101).phrase}} if route.is_stream else {}
    answered = () if route.is_stream else (200, *route.statuses)
    return switched | {
        str(status): {"description": HTTPStatus(status).phrase, "content": content}
        for statuses, content in ((answered, answer), (route.refusals, problem))
        for status in statuses
    }


def _parameters(route: Route) -> list[dict[str, Any]]:
    values = dict(route.parameters)
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(values[name])}
        for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        parameters += _query_parameters(route.query)
    return [*parameters, _KEY_PARAMETER] if route.takes_key else parameters


def _path_schema(kind: type[StrEnum] | type[int]) -> dict[str, Any]:
    """Return what a part of a path may be."""
    if issubclass(kind, StrEnum):
        return {"type": "string", "enum": [value.value for value in kind]}
    return {"type": "integer", "minimum": 1}


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the fields of a query as parameters; what may be left out has no null on the wire."""
    schema = model.model_json_schema()
    found = []
    for name, field in schema["properties"].items():
        kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
        assert len(kinds) == 1, name
        kept = {key: value for key, value in kinds[0].items() if key not in ("title", "description")}
        is_required = name in schema.get("required", ())
        described = {"description": field["description"]} if "description" in field else {}
        found.append({"name": name, "in": "query", "required": is_required, "schema": kept, **described})
    return found
