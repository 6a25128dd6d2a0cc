"""What people corrected. A person's value stands above every machine's, until a person changes or takes it back.

Corrections to what a photo shows (caption, text, boxes) go with the photo's hash, wherever it is used; corrections to
the product (category, attributes) go with the product. The machine's own value is kept below, under `machine`, so that
a correction can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.errors import InputRejected
from domain.unicode import has_lone_surrogate

Fields = Mapping[str, Any]
MACHINE = "machine"
MOST_TEXT = 4_000  # characters of one value
MOST_ITEMS = 200  # lines or boxes
_CORNERS = 4
_QUAD = 8


class Corrected(StrEnum):
    CAPTION = "caption"
    TEXT = "text"
    BOX = "box"
    CATEGORY = "category"
    ATTRIBUTE = "attribute"


OF_PHOTO = frozenset({Corrected.CAPTION, Corrected.TEXT, Corrected.BOX})


@dataclass(frozen=True, slots=True)
class Correction:
    """One value a person put right.

    name: of the attribute. value: text for caption, category and attribute (None takes it away); for text a list of
    {"text", "quad"?}, for box a list of {"label", "box": [x1, y1, x2, y2]} in pixels of the upright photo; both
    lists are whole: what is missing is not there.
    """

    field: Corrected
    value: Any
    name: str = ""

    @property
    def of_photo(self) -> bool:
        return self.field in OF_PHOTO

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Correction:
        """Raises InputRejected with what to send instead."""
        try:
            field = Corrected(str(data.get("field")))
        except ValueError:
            raise _bad(f"field: send one of {', '.join(Corrected)}.") from None
        name, value = data.get("name") or "", data.get("value")
        if (field is Corrected.ATTRIBUTE) != bool(name):
            raise _bad("name: an attribute needs its name, nothing else has one.")
        _check_text(name)
        if field in (Corrected.TEXT, Corrected.BOX):
            _check_list(field, value)
        elif value is not None:
            _check_text(value)
        elif field is Corrected.CAPTION:
            raise _bad("value: a caption is text.")
        return cls(field, value, name)


@dataclass(frozen=True, slots=True)
class Standing:
    """A correction in force: of the photo with this hash, or of the product (None)."""

    correction: Correction
    sha256: str | None


def correct_photo(fields: Fields, sha256: str, standing: Sequence[Standing]) -> dict[str, Any]:
    """A photo's fields with what people said of that photo; doing it again changes nothing."""
    mine = [one.correction for one in standing if one.sha256 == sha256]
    return _apply(fields, mine)


def correct_product(fields: Fields, standing: Sequence[Standing]) -> dict[str, Any]:
    """The folded fields with what people said of the product."""
    return _apply(fields, [one.correction for one in standing if one.sha256 is None])


def _apply(fields: Fields, corrections: Sequence[Correction]) -> dict[str, Any]:
    """The last word on a field counts."""
    raw = {**{name: value for name, value in fields.items() if name != MACHINE}, **fields.get(MACHINE, {})}
    out = dict(raw)
    for one in corrections:
        match one.field:
            case Corrected.CAPTION | Corrected.CATEGORY:
                out[one.field.value] = _value(one.value)
            case Corrected.TEXT:
                out["text"] = [_value(line["text"]) for line in one.value]
            case Corrected.BOX:
                out["tags"] = [_value(label) for label in dict.fromkeys(item["label"] for item in one.value)]
            case Corrected.ATTRIBUTE:
                others = {name: value for name, value in out.get("attributes", {}).items() if name != one.name}
                out["attributes"] = others if one.value is None else others | {one.name: _value(one.value)}
    changed = {name: raw.get(name) for name, value in out.items() if raw.get(name) != value}
    return out | {MACHINE: changed} if changed else out


def before(fields: Fields, correction: Correction) -> Any:
    """What stood there: for the training sample."""
    if correction.field is Corrected.ATTRIBUTE:
        return fields.get("attributes", {}).get(correction.name)
    return fields.get("tags" if correction.field is Corrected.BOX else correction.field.value)


def _value(value: str | None) -> dict[str, Any] | None:
    return None if value is None else {"value": value, "source": "reviewer", "score": None}


def _check_list(field: Corrected, value: object) -> None:
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        raise _bad(f"value: send a list of {MOST_ITEMS} at most.")
    word, place, numbers = ("text", "quad", _QUAD) if field is Corrected.TEXT else ("label", "box", _CORNERS)
    for item in value:
        if not isinstance(item, dict) or not set(item) <= {word, place} or not item.get(word):
            raise _bad(f'value: each item is {{"{word}": …, "{place}": …}}.')
        _check_text(item[word])
        if field is Corrected.BOX or place in item:
            _check_numbers(item.get(place), place, numbers)


def _check_numbers(found: object, place: str, numbers: int) -> None:
    right = isinstance(found, list) and len(found) == numbers
    if not right or not all(type(x) in (int, float) and abs(x) < 1e6 for x in found):  # type: ignore[attr-defined]
        raise _bad(f"{place}: send {numbers} numbers, in pixels.")


def _check_text(value: object) -> None:
    if not isinstance(value, str) or len(value) > MOST_TEXT or "\0" in value or has_lone_surrogate(value):
        raise _bad(f"value: send text of {MOST_TEXT} characters at most, without NUL.")


def _bad(message: str) -> InputRejected:
    return InputRejected("bad_correction", message)
