"""The frame of every page: templates that escape, static files with a hash in the name, the policy on content."""

from __future__ import annotations

import hashlib
import mimetypes
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from worker.web.pages.navigation import navigation

router = APIRouter(include_in_schema=False)
_HERE = Path(__file__).parent
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MOST_SHOWN = 2_000  # characters of one value; a seller's words may have a hundred thousand


@cache
def static_files() -> dict[str, tuple[bytes, str]]:
    """Bytes and media type by the name with hash."""
    found = {}
    for path in sorted((_HERE / "static").iterdir()):
        if path.suffix in (".css", ".js", ".svg"):
            data = path.read_bytes()
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            found[f"{path.stem}-{hashlib.sha256(data).hexdigest()[:16]}{path.suffix}"] = (data, kind)
    return found


def static(name: str) -> str:
    """The address of a static file."""
    stem, _, suffix = name.rpartition(".")
    return next(f"/static/{known}" for known in static_files() if known.startswith(stem) and known.endswith(suffix))


def visible(text: object) -> str:
    """Somebody's words for a page: shortened, with controls and what turns the writing direction made visible."""
    shown = str(text)
    cut = shown[:MOST_SHOWN] + ("…" if len(shown) > MOST_SHOWN else "")
    return "".join(
        f"\u27e8U+{ord(letter):04X}\u27e9" if unicodedata.category(letter) in ("Cc", "Cf", "Cs") else letter
        for letter in cut
    )


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.globals["static"] = static
    made.filters["visible"] = visible
    return made


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """One page. The frame shows who is logged in, where the request's state says so."""
    person = getattr(request.state, "person", None)
    frame = {
        "person": person,
        "csrf": getattr(request.state, "csrf", ""),
        "entries": navigation(person.role) if person else [],
        "path": request.url.path,
    }
    body = _templates().get_template(template).render(frame | values)
    return HTMLResponse(body, status, headers=PAGE_HEADERS)


PAGE_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


@router.get("/static/{name}")
def serve_static(name: str) -> Response:
    """For ever the same under this name."""
    if name not in static_files():
        raise HTTPException(404)
    data, kind = static_files()[name]
    return Response(data, media_type=kind, headers={"cache-control": "public, max-age=31536000, immutable"})
