"""Signals about the listing beside its picture: where the two contradict each other. Silent wherever that is unsure.

A wrong accusation costs an honest seller a sale, and a model sees less than a person. So a kind of goods counts as seen
only where detector and caption name it, a colour only where a caption says it of the thing that is sold, a brand only
where its name was read; and two colours contradict only if no light could turn one into the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.policy.signals.registry import SHARE, Field, Item, Kind, signal
from worker.policy.signals.subject import MOST_CHARACTERS, MOST_ITEMS, Subject
from worker.policy.signals.things import share_of_picture
from worker.policy.signals.writing import Place, places_of
from worker.policy.words.colours import MANY, colours_named, confusable, family_of
from worker.policy.words.normalise import plain_tokens
from worker.policy.words.terms import Hit, How

SURE = 0.5  # score from which a detected thing is seen; below it is still enough to be silent
LARGE = 0.1  # share of the picture from which a thing may be what is sold
PEOPLE = "people"  # kind of whom everything worn is in the picture, sold or not
ENGLISH = frozenset(("en",))
COLOUR_FIELDS = ("colour", "color", "farbe", "couleur")
BRAND_FIELDS = ("brand", "marke", "marque", "marca")
# Words between a colour and its thing that end what the colour may belong to.
_BREAKS = frozenset(
    (
        *("a", "an", "the", "of", "in", "on", "with", "and", "or", "at", "by", "to", "for", "from", "over", "under"),
        *("near", "beside", "behind", "next", "its", "his", "her", "their", "is", "are", "has", "that", "which"),
        *("wearing", "holding", "two", "three", "four", "pair", "pairs"),
    )
)
_REACH = 4  # words before a thing that may be its colour or material

CONTRADICTION = Item(
    "contradiction",
    (
        Field("about", Kind.TEXT, "", "kind, colour or brand"),
        Field("field", Kind.TEXT, "", "the seller's field: title, category, attributes.<name>"),
        Field("said", Kind.TEXT, "", "as the seller wrote it"),
        Field("said_as", Kind.TEXT, "", "the kind of goods, colour family or brand it names"),
        Field("seen", Kind.TEXT, "", "the word of detector, caption or print"),
        Field("seen_as", Kind.TEXT, "", "the kind of goods, colour family or brand it names"),
        Field("score", Kind.NUMBER, SHARE, "of the detector; 1.0 where the words come from elsewhere"),
        Field("place", Kind.NUMBERS, "px", "box or corners of what was seen; empty where unknown"),
    ),
)
BRAND = Item(
    "brand",
    (
        Field("brand", Kind.TEXT, "", "the listed name"),
        Field("text", Kind.TEXT, "", "as printed"),
        Field("how", Kind.TEXT, "", "exact, split or leet"),
        Field("quad", Kind.NUMBERS, "px", "corners x, y clockwise from the text's top left; empty where unknown"),
    ),
)


@signal(CONTRADICTION, many=True, cost=80)
def contradictions(subject: Subject) -> list[dict[str, Any]]:
    """Where the seller's title, category, colour or brand says another thing than the picture shows."""
    said = _said_kinds(subject)
    return [*_of_kind(said, subject), *_of_colour(said, subject), *_of_brand(subject)][:MOST_ITEMS]


@signal(BRAND, many=True, cost=30)
def unnamed_brands(subject: Subject) -> list[dict[str, Any]]:
    """Known brand names read in the picture that the seller names nowhere, each once."""
    read = _brands_read(subject)
    fields = subject.seller_fields.values() if read else ()
    named = {hit.term for written in fields for hit in subject.lexicon.brands.find(written)}
    return [brand for brand in read if brand["brand"] not in named]


# -- Kinds of goods --------------------------------------------------------------------------------------------------


def _of_kind(said: Mapping[str, Hit], subject: Subject) -> Iterator[dict[str, Any]]:
    kinds = {hit.list for hit in said.values()}
    if len(kinds) != 1:
        return
    seen = _seen_kinds(subject)
    if PEOPLE in seen or kinds & seen.keys():
        return
    sure = [thing for thing in seen.values() if thing is not None]
    if len(sure) != 1:
        return
    for field, hit in said.items():
        yield {
            "about": "kind",
            "field": field,
            "said": subject.seller_fields[field][hit.start : hit.end],
            "said_as": hit.list,
            **sure[0],
        }


def _said_kinds(subject: Subject) -> dict[str, Hit]:
    """The kind each of title and category names; of a category's path the last step counts. Several kinds: none."""
    found = {}
    for field in ("title", "category"):
        text = subject.seller_fields.get(field, "")
        start = max(text.rfind(">"), text.rfind("/")) + 1 if field == "category" else 0
        hits = [hit for hit in subject.lexicon.kinds.mentions(text) if hit.start >= start and hit.list != PEOPLE]
        if len({hit.list for hit in hits}) > 1:
            return {}
        if hits:
            found[field] = hits[-1]
    return found


def _seen_kinds(subject: Subject) -> dict[str, dict[str, Any] | None]:
    """Every kind in the picture, with what was seen of it where detector and caption agree on a large thing."""
    captioned = {hit.list for text in subject.captions for hit in subject.lexicon.kinds.mentions(text)}
    seen: dict[str, dict[str, Any] | None] = dict.fromkeys(sorted(captioned))
    for item in sorted(subject.seen.objects, key=lambda item: (-(item.score or 0.0), item.label, item.box)):
        kind = subject.lexicon.kinds.group_of(item.label)
        if not kind:
            continue
        seen.setdefault(kind, None)
        surely = (item.score or 0.0) >= SURE and share_of_picture(item.box, subject) >= LARGE and kind in captioned
        # What the policy has rules for is not what this signal is for.
        if surely and seen[kind] is None and not subject.lexicon.vocabulary.group_of(item.label):
            seen[kind] = {"seen": item.label, "seen_as": kind, "score": item.score, "place": list(item.box)}
    return seen


# -- Colours ---------------------------------------------------------------------------------------------------------


def _of_colour(goods: Mapping[str, Hit], subject: Subject) -> Iterator[dict[str, Any]]:
    kinds = {hit.list for hit in goods.values()}
    field, said = _said_colour(subject) if len(kinds) == 1 else ("", None)
    if said is None or said.list == MANY:
        return
    seen = [hit for text in subject.captions for hit in _colours_of(text, kinds, subject)]
    if not seen or any(confusable(said.list, colour) for colour, _ in seen):
        return
    if family_of(subject.photo.pixels.dominant_rgb) == said.list:
        return
    colour, word = seen[0]
    yield {
        "about": "colour",
        "field": field,
        "said": subject.seller_fields[field][said.start : said.end],
        "said_as": said.list,
        "seen": word,
        "seen_as": colour,
        "score": 1.0,
        "place": [],
    }


def _said_colour(subject: Subject) -> tuple[str, Hit | None]:
    """The one colour that the seller names: in an attribute for it, else in the title. Several colours: none."""
    fields = subject.seller_fields
    named = [name for name in fields if name.lower().removeprefix("attributes.") in COLOUR_FIELDS]
    for field in (*named, "title"):
        hits = colours_named(fields.get(field, ""), subject.languages)
        if hits:
            return field, hits[0] if len({hit.list for hit in hits}) == 1 else None
    return "", None


def _colours_of(caption: str, kinds: set[str], subject: Subject) -> Iterator[tuple[str, str]]:
    """Colour family and word that the caption gives to things of these kinds: "a red leather sneaker"."""
    colours = {hit.start: hit for hit in colours_named(caption, ENGLISH)}
    tokens = plain_tokens(caption)
    for thing in subject.lexicon.kinds.mentions(caption):
        if thing.list not in kinds:
            continue
        before = [token for token in tokens if token.end <= thing.start][-_REACH:]
        for place, token in reversed(list(enumerate(before))):
            if hit := colours.get(token.start):
                yield hit.list, caption[hit.start : hit.end]
            elif token.text == "and" and place and before[place - 1].start in colours:
                continue  # "black and white"
            elif token.text in _BREAKS:
                break


# -- Brands ----------------------------------------------------------------------------------------------------------


def _of_brand(subject: Subject) -> Iterator[dict[str, Any]]:
    for field, written in subject.seller_fields.items():
        if field.lower().removeprefix("attributes.") not in BRAND_FIELDS:
            continue
        said = subject.lexicon.brands.find(written)
        read = _brands_read(subject)
        if len(said) != 1 or not read or said[0].term in {brand["brand"] for brand in read}:
            continue
        yield {
            "about": "brand",
            "field": field,
            "said": written[said[0].start : said[0].end],
            "said_as": said[0].term,
            "seen": read[0]["text"],
            "seen_as": read[0]["brand"],
            "score": 1.0,
            "place": read[0]["quad"],
        }


def _brands_read(subject: Subject) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for text, quad in _printed(subject):
        for hit in subject.lexicon.brands.find(text):
            if hit.how is not How.FUZZY:
                brand = {"brand": hit.term, "text": text[hit.start : hit.end], "how": hit.how.value, "quad": quad}
                found.setdefault(hit.term, brand)
    return list(found.values())[:MOST_ITEMS]


def _printed(subject: Subject) -> Iterator[Place]:
    """What either reader read."""
    if not subject.seen.lines and subject.seen.text:
        yield subject.seen.text[:MOST_CHARACTERS], []
    yield from places_of(subject.seen.lines)
    yield from places_of(subject.seen.second_lines)
