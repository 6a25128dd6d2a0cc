"""The job JSON as shops send it, by HTTP, by Celery or by the command line: read strictly, refused with a remedy.

What an address leads to (scheme, host, bucket) is judged at intake, in one place and with a recorded rejection; here
only its form as text is checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails

from domain.errors import InputRejected
from domain.jobs import SCHEMA_VERSION, ImageJob, ImageSource, Priority
from domain.moderation import CHANNELS

MALFORMED = "malformed_job"
UNSUPPORTED = "unsupported_schema"

MAX_UPLOAD_BYTES = 20_000_000  # bytes of a photo sent inside the job; larger ones come by url or s3
MAX_ID = 200  # characters
MAX_KEY = 255  # characters of an idempotency key
MAX_ADDRESS = 4_096  # characters; presigned addresses with session tokens reach 2,000
MAX_TITLE = 1_000  # characters; the longest channel limit is 200
MAX_DESCRIPTION = 50_000  # characters; channels other than eBay stop at 10,000
MAX_CATEGORY = 1_000  # characters; a full path of a marketplace's tree
MAX_WORD = 100  # characters of condition, locale and attribute names
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE = 2_000  # characters of one value
MAX_VERSION = 2**62  # leaves room in a signed 64-bit column for the versions that follow
_MAX_FIELDS = 64  # beyond this a job is refused unread, so that junk cannot cost a report on each of its fields
_PROBLEMS_SHOWN = 3

_HINTS: Mapping[str, str] = {
    "schema": f"send {SCHEMA_VERSION}",
    "tenant": "send 1 to 63 lower-case letters, digits, '-' or '_', starting with a letter or digit",
    "product_id": f"send 1 to {MAX_ID} printable characters without '.' or '..' as a path step",
    "image_id": f"send 1 to {MAX_ID} printable characters without '.' or '..' as a path step",
    "image": 'send an object with exactly one of "url", "s3" or "bytes_b64"',
    "image.url": f"send one http(s) address of at most {MAX_ADDRESS} characters",
    "image.s3": f"send one s3://bucket/key address of at most {MAX_ADDRESS} characters",
    "image.bytes_b64": f"send the photo's bytes as standard base64 with padding, {MAX_UPLOAD_BYTES} bytes at most",
    "title": f"send text of at most {MAX_TITLE} characters",
    "description": f"send text of at most {MAX_DESCRIPTION} characters",
    "category": f"send text of at most {MAX_CATEGORY} characters",
    "attributes": f"send at most {MAX_ATTRIBUTES} names of up to {MAX_WORD} characters, "
    f"each with a text of up to {MAX_ATTRIBUTE} characters",
    "condition": f"send text of at most {MAX_WORD} characters",
    "locale": "send a language tag such as de or en-GB",
    "channels": f"send a list with each channel once, out of {', '.join(CHANNELS)}",
    "priority": f"send {', '.join(Priority)}, or leave it out",
    "idempotency_key": f"send 1 to {MAX_KEY} printable characters, or leave it out",
    "source_version": f"send a whole number from 0 to {MAX_VERSION}, or leave it out",
}


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("it contains a NUL character")
    return value


def _identifier(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("it has control, invisible or surrounding white-space characters")
    return value


def _id(value: str) -> str:
    """Ids become parts of object keys and addresses, where '..' would climb."""
    if any(step in (".", "..") for step in value.replace("\\", "/").split("/")):
        raise ValueError("it has '.' or '..' as a path step")
    return _identifier(value)


def _decode(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("it is not text")
    if len(value) > 4 * (MAX_UPLOAD_BYTES + 2) // 3:
        raise ValueError("it is too large; put the photo at an address instead")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("it is not base64") from error


def _channel(value: str) -> str:
    if value not in CHANNELS:
        raise ValueError("it is not a channel")
    return value


def _each_once(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError("a channel is there twice")
    return values


def _capped(most: int) -> StringConstraints:
    return StringConstraints(max_length=most)


Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID), AfterValidator(_id)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY), AfterValidator(_identifier)]
Address = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ADDRESS), AfterValidator(_text)]
Word = Annotated[str, _capped(MAX_WORD), AfterValidator(_text)]
AttributeName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_WORD), AfterValidator(_identifier)]
Tenant = Annotated[str, StringConstraints(pattern=r"\A[a-z0-9][a-z0-9_-]{0,62}\z")]
Upload = Annotated[bytes, BeforeValidator(_decode), WithJsonSchema({"type": "string", "contentEncoding": "base64"})]

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=False)


class ImageField(BaseModel):
    """Where the photo is: exactly one of the three."""

    model_config = _STRICT

    url: Address | None = Field(None, description="http(s) address of the photo")
    s3: Address | None = Field(None, description="s3://bucket/key of the photo")
    bytes_b64: Upload | None = Field(None, description="the photo itself, standard base64")

    @model_validator(mode="after")
    def _exactly_one(self) -> ImageField:
        given = [value for value in (self.url, self.s3, self.bytes_b64) if value is not None]
        if len(given) != 1:
            raise ValueError(f"{len(given)} places of the photo are given")
        return self


class JobPayload(BaseModel):
    """One photo of one product, with what the seller said about it."""

    model_config = _STRICT

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = Field(
        alias="schema", description="version of this layout"
    )
    tenant: Tenant = Field(description="the shop")
    product_id: Id = Field(description="the shop's own id of the product")
    image_id: Id = Field(description="the shop's own id of the photo within the product")
    image: ImageField
    title: Annotated[str, _capped(MAX_TITLE), AfterValidator(_text)] | None = None
    description: Annotated[str, _capped(MAX_DESCRIPTION), AfterValidator(_text)] | None = None
    category: Annotated[str, _capped(MAX_CATEGORY), AfterValidator(_text)] | None = None
    attributes: Annotated[
        dict[AttributeName, Annotated[str, _capped(MAX_ATTRIBUTE), AfterValidator(_text)]],
        Field(max_length=MAX_ATTRIBUTES),
    ] = Field(default_factory=dict)
    condition: Word | None = None
    locale: Word | None = None
    channels: Annotated[
        list[Annotated[str, AfterValidator(_channel), WithJsonSchema({"type": "string", "enum": list(CHANNELS)})]],
        Field(min_length=1, max_length=len(CHANNELS)),
        AfterValidator(_each_once),
    ] = Field(default_factory=lambda: ["own_shop"])
    priority: Literal["high", "normal", "bulk"] = "normal"
    idempotency_key: Key | None = None
    source_version: Annotated[int, Field(ge=0, le=MAX_VERSION)] | None = None

    def image_bytes(self) -> bytes | None:
        """The photo's bytes when they came inside the job."""
        return self.image.bytes_b64

    def digest(self) -> str:
        """sha256 (hexadecimal) of what was asked for: the same for a resend, whatever its key or spelling."""
        body = self.model_dump(by_alias=True, exclude_none=True, exclude={"idempotency_key", "image"})
        photo = self.image_bytes()
        body["image"] = (
            {"sha256": hashlib.sha256(photo).hexdigest()}
            if photo is not None
            else self.image.model_dump(exclude_none=True)
        )
        canonical = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_job(self, source: ImageSource, idempotency_key: str | None) -> ImageJob:
        return ImageJob(
            tenant=self.tenant,
            product_id=self.product_id,
            image_id=self.image_id,
            image=source,
            title=self.title,
            description=self.description,
            category=self.category,
            attributes=self.attributes,
            condition=self.condition,
            locale=self.locale,
            channels=tuple(self.channels),
            priority=Priority(self.priority),
            idempotency_key=idempotency_key,
            source_version=self.source_version,
        )


def read_payload(data: object) -> JobPayload:
    """Check parsed JSON. null means absent.

    Raises InputRejected: `malformed_job` with "<field>: <what is wrong>; <what to send>", or `unsupported_schema` for
    a layout of a later release.
    """
    if not isinstance(data, dict):
        raise InputRejected(MALFORMED, "job: it is not an object; send one JSON object for each photo.")
    if len(data) > _MAX_FIELDS:
        raise InputRejected(MALFORMED, f"job: it has {len(data)} fields; send only those of the documented layout.")
    version = data.get("schema")
    if type(version) is int and version > SCHEMA_VERSION:
        raise InputRejected(
            UNSUPPORTED,
            f"schema: version {min(version, 10**9)} is newer than this release reads; "
            f"send {SCHEMA_VERSION}, or upgrade Shelfguard and send again.",
        )
    for name, most in (("attributes", MAX_ATTRIBUTES), ("channels", len(CHANNELS)), ("image", _MAX_FIELDS)):
        if isinstance(value := data.get(name), (dict, list)) and len(value) > most:
            raise InputRejected(MALFORMED, f"{name}: it has {len(value)} entries; {_HINTS[name]}.")
    given = {name: value for name, value in data.items() if value is not None}
    try:
        return JobPayload.model_validate(given)
    except ValidationError as error:
        raise InputRejected(MALFORMED, _explain(error)) from None
    except UnicodeError:
        # A lone surrogate in a field's name stops the report of that very field.
        raise InputRejected(MALFORMED, "job: a field's name is not valid Unicode; send UTF-8 text.") from None


def check_key(value: str) -> str:
    """An idempotency key that came beside the body, in a header or as a task id. Raises InputRejected."""
    try:
        sound = 1 <= len(value) <= MAX_KEY and _identifier(value) == value
    except ValueError:
        sound = False
    if not sound:
        raise InputRejected(MALFORMED, f"idempotency_key: it is not a usable key; {_HINTS['idempotency_key']}.")
    return value


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    lines = [_line(problem) for problem in problems[:_PROBLEMS_SHOWN]]
    if len(problems) > _PROBLEMS_SHOWN:
        lines.append(f"and {len(problems) - _PROBLEMS_SHOWN} more")
    return "; ".join(lines) + "."


def _line(problem: ErrorDetails) -> str:
    path = [str(step) for step in problem["loc"] if step != "[key]"]
    field = ".".join(_printable(step) for step in path) or "job"
    if problem["type"] == "extra_forbidden":
        return f"{field}: there is no such field; leave it out"
    hint = _HINTS.get(".".join(path[:2])) or _HINTS.get(path[0] if path else "", "see the documented layout")
    return f"{field}: {_what(problem)}; {hint}"


def _what(problem: ErrorDetails) -> str:
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    known = {"missing": "it is missing", "string_unicode": "it is not valid Unicode (a lone surrogate)"}
    return known.get(problem["type"]) or problem["msg"][0].lower() + problem["msg"][1:]


def _printable(step: str) -> str:
    """A sender's own field name, safe to log and to show."""
    return step if step.isprintable() and len(step) <= 60 else ascii(step[:60])


def payload_schema() -> dict[str, Any]:
    """JSON Schema of the job, for the API's documentation."""
    return JobPayload.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
