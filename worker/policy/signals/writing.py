"""Signals about words: in the picture and in what the seller wrote. All of it is hostile data, never an instruction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from domain.observations import Quad, TextLine
from worker.policy.signals.inspected import is_retail, quad_of
from worker.policy.signals.registry import SHARE, Field, Item, Kind, signal
from worker.policy.signals.subject import MOST_CHARACTERS, MOST_ITEMS, Subject
from worker.policy.words.contacts import find_contacts
from worker.policy.words.normalise import squeeze

DIFFERENT = 2  # letters or digits of which print has at least so many
Place = tuple[str, list[float]]  # a text and its corners; none where they are unknown

_QUAD = Field("quad", Kind.NUMBERS, "px", "corners x, y clockwise from the text's top left; empty where unknown")
READER = Field("reader", Kind.TEXT, "", "who read it: florence, rapidocr, both joined by +, or barcode")
_FIELD = Field("field", Kind.TEXT, "", "the seller's field: title, description, category, condition, attributes.<name>")
_TERM = (
    Field("term", Kind.TEXT, "", "the listed term"),
    Field("list", Kind.TEXT, "", "the list it is on"),
    Field("language", Kind.TEXT, "", "of the list, ISO 639; empty where it is of any language"),
    Field("text", Kind.TEXT, "", "as written"),
    Field("how", Kind.TEXT, "", "exact, split, leet or fuzzy"),
    Field("distance", Kind.COUNT, "letters", "misread or mistyped; 0 unless fuzzy"),
)
_CONTACT = (
    Field("contact", Kind.TEXT, "", "phone, url, email or handle"),
    Field("value", Kind.TEXT, "", "normalised"),
    Field("text", Kind.TEXT, "", "as written"),
)
LINE = Item(
    "text",
    (
        Field("text", Kind.TEXT, "", "as read"),
        Field("normalised", Kind.TEXT, "", "plain lower-case words"),
        _QUAD,
        Field("score", Kind.NUMBER, SHARE, "probability; 1.0 where the task gives none"),
        Field("share", Kind.NUMBER, SHARE, "of the picture's area"),
        READER,
    ),
)
TERM = Item("term", (*_TERM, _QUAD, READER))
CONTACT = Item("contact", (*_CONTACT, _QUAD, READER))
SELLER = Item(
    "seller",
    tuple(
        Field(name, Kind.TEXT, "", "as the seller wrote it, or empty")
        for name in ("title", "description", "category", "condition")
    ),
)
SELLER_TERM = Item("seller_term", (*_TERM, _FIELD))
SELLER_CONTACT = Item("seller_contact", (*_CONTACT, _FIELD))


@signal(LINE, many=True, cost=15)
def text(subject: Subject) -> list[dict[str, Any]]:
    """Lines of text in the picture, in reading order."""
    return lines_read(subject.seen.lines, subject.seen.text_reader, subject)


@signal(Kind.NUMBER, unit=SHARE, cost=4)
def text_share(subject: Subject) -> float:
    """Share of the picture's area under all lines of text (overlaps counted twice, at most 1).

    Lines of one letter do not count. Of two readers, what the one says that saw more.
    """
    return max(_share_of(lines, subject) for lines in (subject.seen.lines, subject.seen.second_lines))


def _share_of(lines: Sequence[TextLine], subject: Subject) -> float:
    return round(min(1.0, sum((_share(line, subject) for line in lines if is_print(line.text)), 0.0)), 6)


def is_print(read: str) -> bool:
    """Whether what was read can be counted as text: readers see an 0, an O or an A in round and pointed things."""
    return len({char for char in read.casefold() if char.isalnum()}) >= DIFFERENT


@signal(TERM, many=True, cost=60)
def text_terms(subject: Subject) -> list[dict[str, Any]]:
    """Terms of the policy's word lists in every language found in the picture, disguises undone."""
    return terms_read(_written_in_picture(subject), subject.seen.text_reader, subject)


@signal(CONTACT, many=True, cost=90)
def contacts(subject: Subject) -> list[dict[str, Any]]:
    """Telephone numbers, web and e-mail addresses and social names in the picture, QR codes included."""
    read = contacts_read(_written_in_picture(subject), subject.seen.text_reader, subject)
    return [*read, *contacts_read(_encoded_in_picture(subject), "barcode", subject)][:MOST_ITEMS]


@signal(SELLER, cost=2)
def seller(subject: Subject) -> dict[str, str]:
    """The seller's own words."""
    return {field.name: subject.seller_fields.get(field.name, "") for field in SELLER.fields}


@signal(SELLER_TERM, many=True, cost=100)
def seller_terms(subject: Subject) -> list[dict[str, Any]]:
    """Terms found in the seller's words: of the lists in the seller's language, in English and of any language."""
    return [
        hit | {"field": name}
        for name, written in subject.seller_fields.items()
        for hit in _terms(written, subject, subject.languages)
    ][:MOST_ITEMS]


@signal(SELLER_CONTACT, many=True, cost=90)
def seller_contacts(subject: Subject) -> list[dict[str, Any]]:
    """Contact details in the seller's words."""
    return [
        hit | {"field": name} for name, written in subject.seller_fields.items() for hit in _contacts(written, subject)
    ][:MOST_ITEMS]


def lines_read(lines: Sequence[TextLine], reader: str, subject: Subject) -> list[dict[str, Any]]:
    """Items of kind LINE."""
    return [
        {
            "text": line.text,
            "normalised": squeeze(line.text),
            "quad": list(line.quad),
            "score": 1.0 if line.score is None else line.score,
            "share": _share(line, subject),
            "reader": reader,
        }
        for line in lines[:MOST_ITEMS]
    ]


def terms_read(places: Iterable[Place], reader: str, subject: Subject) -> list[dict[str, Any]]:
    """Items of kind TERM."""
    return [hit | {"quad": quad, "reader": reader} for written, quad in places for hit in _terms(written, subject)][
        :MOST_ITEMS
    ]


def contacts_read(places: Iterable[Place], reader: str, subject: Subject) -> list[dict[str, Any]]:
    """Items of kind CONTACT."""
    return [hit | {"quad": quad, "reader": reader} for written, quad in places for hit in _contacts(written, subject)][
        :MOST_ITEMS
    ]


def places_of(lines: Sequence[TextLine]) -> Iterator[Place]:
    """Each line's text with its corners."""
    for line in lines:
        yield line.text[:MOST_CHARACTERS], list(line.quad)


def _written_in_picture(subject: Subject) -> Iterator[Place]:
    """Each text with its corners; the plain OCR answer, which has no places, only where no lines were read."""
    if not subject.seen.lines and subject.seen.text:
        yield subject.seen.text[:MOST_CHARACTERS], []
    yield from places_of(subject.seen.lines)


def _encoded_in_picture(subject: Subject) -> Iterator[Place]:
    """What codes other than article numbers say."""
    found = subject.photo.inspection
    for code in found.barcodes if found else ():
        if not is_retail(code):
            yield code.text, quad_of(code, subject)


def _terms(written: str, subject: Subject, languages: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
    for hit in subject.lexicon.terms.find(written, languages):
        yield {
            "term": hit.term,
            "list": hit.list,
            "language": hit.language,
            "text": written[hit.start : hit.end],
            "how": hit.how.value,
            "distance": hit.distance,
        }


def _contacts(written: str, subject: Subject) -> Iterator[dict[str, Any]]:
    for hit in find_contacts(written, subject.region):
        yield {"contact": hit.kind, "value": hit.value, "text": hit.text}


def _share(line: TextLine, subject: Subject) -> float:
    return round(min(1.0, quad_area(line.quad) / subject.area), 6)


def quad_area(quad: Quad) -> float:
    """Shoelace formula."""
    xs, ys = quad[0::2], quad[1::2]
    return abs(sum(xs[i] * ys[(i + 1) % 4] - xs[(i + 1) % 4] * ys[i] for i in range(4))) / 2
