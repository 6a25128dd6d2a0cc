"""The API's documentation at /docs: one page made from /openapi.json, without scripts and without other hosts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

from worker.payload import payload_schema
from worker.web.problems import SCHEMA

router = APIRouter(include_in_schema=False)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
h2 { border-bottom: 1px solid #767676; padding-bottom: .2rem; }
code, pre { font-family: ui-monospace, monospace; }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto; }
.method { font-weight: 700; display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_DESCRIPTION = (
    "Send product photos, read what Shelfguard says of them. Every error is a problem detail (RFC 9457). "
    "All calls below /v1 need a bearer token."
)
_EXAMPLE = """curl -X POST https://shelfguard.example/v1/jobs \\
  -H 'Authorization: Bearer sg_…' -H 'Idempotency-Key: order-4711-front' -H 'Content-Type: application/json' \\
  -d '{"schema": 1, "tenant": "acme", "product_id": "4711", "image_id": "front",
       "image": {"url": "https://shop.example/4711.jpg"}, "title": "Blue mug"}'"""


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the job's own layout and the problem's among its components."""
    if app.openapi_schema is None:
        document = get_openapi(title="Shelfguard", version=app.version, description=_DESCRIPTION, routes=app.routes)
        job = payload_schema()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(job.pop("$defs", {}))
        schemas |= {"JobPayload": job, "Problem": dict(SCHEMA)}
        app.openapi_schema = document
    return app.openapi_schema


@router.get("/docs")
def page(request: Request) -> HTMLResponse:
    document = request.app.openapi()
    return HTMLResponse(
        "".join(_page(document)),
        headers={
            "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'",
            "cache-control": "public, max-age=300",
        },
    )


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shelfguard API</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><main>'
    yield f"<h1>Shelfguard API {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
    yield '<p>The same for machines: <a href="/openapi.json">/openapi.json</a> (OpenAPI).</p>'
    yield f"<pre>{escape(_EXAMPLE)}</pre>"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _operation(path, method, operation)
    yield "<h2>Layouts</h2>"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>'
        yield from _fields(schema)
    yield "</main></body></html>"


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h2><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code></h2>'
    yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
    if parameters := operation.get("parameters"):
        yield "<table><tr><th>Parameter</th><th>In</th><th>Type</th></tr>"
        for item in parameters:
            yield f"<tr><td><code>{escape(item['name'])}</code></td><td>{escape(item['in'])}</td>"
            yield f"<td>{_type(item['schema'])}</td></tr>"
        yield "</table>"
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        yield f"<p>Body: {_type(body)}</p>"
        yield from _fields(body)
    answers = (f"{status} {answer['description']}" for status, answer in sorted(operation["responses"].items()))
    yield f"<p>Answers: {escape(', '.join(answers))}</p>"


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    if not schema.get("properties"):
        return
    required = schema.get("required", ())
    yield "<table><tr><th>Field</th><th>Type</th><th></th><th></th></tr>"
    for name, field in schema["properties"].items():
        yield f"<tr><td><code>{escape(name)}</code></td><td>{_type(field)}</td>"
        yield f"<td>{'required' if name in required else ''}</td><td>{escape(field.get('description', ''))}</td></tr>"
    yield "</table>"


def _type(schema: Mapping[str, Any]) -> str:
    """A type in a few words, as HTML."""
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return escape(" | ".join(map(str, schema["enum"])))
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    limit = f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""
    return escape(f"{schema.get('type', 'anything')}{limit}")
