"""Reading request bodies: capped while they arrive, and JSON in its strict form only."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from domain.errors import InputRejected

Model = TypeVar("Model", bound=BaseModel)
SMALL_BODY = 65_536  # bytes; for everything but jobs


class NotJson(InputRejected):
    """The body is not one JSON value in UTF-8."""

    def __init__(self, why: str) -> None:
        super().__init__("not_json", f"The body is not usable JSON: {why}. Send one JSON object in UTF-8.")


async def read_body(request: Request, cap: int) -> bytes:
    """The whole body. Raises HTTPException: 413 above `cap` bytes, announced or not; 415 for a compressed one."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "Send the body without Content-Encoding.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > cap:
        raise _too_large(cap)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > cap:
            raise _too_large(cap)
    return bytes(body)


def parse_json(body: bytes) -> Any:
    """One JSON value. Raises NotJson for NaN, infinities, keys that come twice, endless nesting, other encodings."""
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
    except UnicodeDecodeError:
        raise NotJson("it is not UTF-8") from None
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError:
        raise NotJson("a number has too many digits") from None


def read_model(model: type[Model], data: object) -> Model:
    """Raises InputRejected with the fields that are wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)[:3]
        lines = [f"{'.'.join(str(step) for step in item['loc'])[:60] or 'body'}: {item['msg']}" for item in problems]
        raise InputRejected("malformed_request", "; ".join(lines) + ". See /docs for the layout.") from None


def _too_large(cap: int) -> HTTPException:
    # Closing spares us the rest of the body.
    return HTTPException(413, f"The body is larger than {cap} bytes.", headers={"connection": "close"})


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJson("a key comes twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not a JSON number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotJson("a number is too large")
    return value
