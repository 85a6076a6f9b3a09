"""
Build what is generated here: `python deploy/docs/build.py`. A test builds it again and compares.

    configuration.md   from the configuration's models
    metrics.md         from the catalogue of metrics
    openapi.json       from the daemon's routes
    candle.svg         a candle's way, from `picture.py`
    engine.svg …       the three rooms, from `rooms.py`
"""

import json
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

from picture import picture
from rooms import ROOMS, room_picture

from papertape.daemon.metrics import Metrics, Scope
from papertape.daemon.metrics.catalogue import markdown
from papertape.daemon.monitoring.api.account import ApiAccount
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.routes import openapi
from papertape.daemon.monitoring.server import Server, Views
from papertape.replay.config import Config

HERE = Path(__file__).parent
MADE = "<!-- made by `python deploy/docs/build.py`; do not edit -->"
CONFIGURATION = f"""# Configuration

{MADE}

One TOML file serves `papertape replay FILE` and `papertape run FILE`; `--set section.key=value` changes one key.
A symbol with a dot in it stands in quotes, in a file as in `--set 'markets."BRK.B".tick_size=0.01'`, `--set 'data.funding."BTC.P"=funding.csv'` and `--grid`.
Every key may be left out. An unknown one is refused with the nearest valid name, and all faults are told at once.
`papertape config init` writes a file with every key as a comment, `papertape config check FILE` checks one.
"""
METRICS = f"""# Metrics

{MADE}

What `/metrics` of a running daemon says. Every series is there from the start at 0, except those of something measured:
they are absent until it was measured. The dashboard and the alerts in `deploy/` use these names.
"""
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
TYPES = {
    "integer": "whole number",
    "boolean": "true or false",
    "string": "text",
    "object": "table",
    "date-time": "day or time",
}


def configuration() -> str:
    """Return every section as a table of its keys."""
    schema = Config.model_json_schema()
    parts = [CONFIGURATION]
    for name, section in schema["properties"].items():
        inner = section.get("additionalProperties", section)
        title = name if inner is section else f"{name}.SYMBOL"
        part = schema["$defs"][inner["$ref"].rpartition("/")[2]]
        about = part["description"].splitlines()[0]
        if title == "markets.SYMBOL":
            parts.append(f"## [{title}]\n\nThe keys of `[market]`, for one symbol.\n")
            continue
        lines = ["| Key | Type | Default | Bounds | Meaning |", "|---|---|---|---|---|"]
        lines += [_row(key, field) for key, field in part["properties"].items()]
        parts.append(f"## [{title}]\n\n{about}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _row(key: str, field: dict[str, Any]) -> str:
    """Return one key as a row; what may be null has its type in an alternative."""
    kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
    assert len(kinds) == 1, key
    kind = kinds[0]
    bounds = ", ".join(f"{sign} {_number(kind[name])}" for name, sign in BOUNDS.items() if name in kind)
    cells = (f"`{key}`", _type(kind), _default(field.get("default")), bounds, field["description"])
    assert not any("|" in cell for cell in cells), key
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    """Return a bound without a fraction that it does not have."""
    return f"{int(value):,}" if value == int(value) else str(value)


def _type(kind: dict[str, Any]) -> str:
    """Return a type in words; a short closed set is written out."""
    if "$ref" in kind:
        return "table"
    if "enum" in kind:
        return ", ".join(f"`{word}`" for word in kind["enum"])
    if "$ref" in kind:
        return "table"
    if kind["type"] == "array":
        return f"list of {_type(kind['items'])}"
    name = kind.get("format", kind["type"])
    return TYPES.get(name, name)


def _default(value: Any) -> str:
    """Return a default as TOML writes it; a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def metrics() -> str:
    """Return the catalogue, one table per area."""
    return f"{METRICS}\n{markdown().rstrip()}\n"


def api() -> str:
    """Return the OpenAPI document of the daemon's HTTP server, which depends on no account."""
    nothing: Any = None
    views = Views(nothing, nothing, nothing, Api(ApiAccount(Path(), "", "", 1, 1, 0.0, ()), nothing))
    # Of this tree: what is installed may be an older one.
    version = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]["version"]
    server = Server(Metrics(Scope((), "1m", "1m", "")), views, version=version)
    document = openapi(server.routes(), version)
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


FILES = {
    "configuration.md": configuration,
    "metrics.md": metrics,
    "openapi.json": api,
    "candle.svg": picture,
    **{f"{name}.svg": partial(room_picture, name) for name in ROOMS},
}

if __name__ == "__main__":
    for name, made in FILES.items():
        (HERE / name).write_text(made(), encoding="utf-8")
