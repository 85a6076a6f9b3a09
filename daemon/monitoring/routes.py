"""
A small typed registry of routes, and the OpenAPI 3.1 document made from it.

A route says what it takes and what it answers as pydantic models; the document, the metrics' label set and the router
are made from the same list, so none of them can lag behind.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from papertape.daemon.monitoring.schemas import Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


@dataclass(slots=True, frozen=True)
class Route:
    """
    One route.

    answer      model of the answer, or None for what is not JSON
    body        model of the request body; an absent body is the model's defaults
    statuses    further statuses with the same model; refusals answer `Problem`
    parameters  by name, the values that a part of the path may have
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
    parameters: tuple[tuple[str, type[StrEnum]], ...] = ()
    access: Literal["probe", "read", "command"] = "read"


def openapi(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Problem, "serialization")]
    for route in routes:
        if route.answer is not None:
            wanted.append((route.answer, "serialization"))
        if route.body is not None:
            wanted.append((route.body, "validation"))
    names, definitions = models_json_schema(
        list(dict.fromkeys(wanted)), ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
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
    answer = (
        {"text/plain": {"schema": {"type": "string"}}}
        if route.answer is None
        else {"application/json": {"schema": names[(route.answer, "serialization")]}}
    )
    problem = {"application/json": {"schema": names[(Problem, "serialization")]}}
    responses = {
        str(status): {"description": HTTPStatus(status).phrase, "content": content}
        for statuses, content in (((200, *route.statuses), answer), (route.refusals, problem))
        for status in statuses
    }
    words = [part for part in re.split(r"\W+", route.path) if part and part not in ("api", "v1")]
    told: dict[str, Any] = {
        "operationId": "_".join([route.method.lower(), *words]),
        "summary": route.summary,
        "responses": responses,
    }
    values = dict(route.parameters)
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "enum": [value.value for value in values[name]]},
        }
        for name in _PARAMETER.findall(route.path)
    ]
    if parameters:
        told["parameters"] = parameters
    if route.body is not None:
        schema = names[(route.body, "validation")]
        told["requestBody"] = {
            "required": False,
            "content": {"application/json": {"schema": schema}},
        }
    if route.access == "command":
        told["security"] = [{"token": []}]
    return told
