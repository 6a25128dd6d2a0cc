"""enrich(): the seller's words stay, the machine's are added with their source."""

from __future__ import annotations

import json

from domain.enrichment import ALT_TEXT_SOFT_LIMIT, FieldValue, Source, enrich
from domain.observations import DetectedObject, ObjectsAnswer, Task, TextAnswer
from tests.factories import a_job, an_observation


def test_the_sellers_words_are_never_replaced() -> None:
    fields = enrich(a_job(title="Runner 3", category="Shoes", attributes={"size": "42"}), an_observation())
    assert fields.title == FieldValue("Runner 3", Source.SELLER)
    assert fields.category == FieldValue("Shoes", Source.SELLER)
    assert fields.attributes == {"size": FieldValue("42", Source.SELLER)}


def test_what_the_seller_left_out_comes_from_the_picture() -> None:
    fields = enrich(a_job(title=None), an_observation(objects=(("boot", 0.4), ("sneaker", 0.9))))
    assert fields.title is None
    assert fields.category == FieldValue("sneaker", Source.OBJECTS, 0.9)
    assert fields.caption == FieldValue("a red sneaker", Source.CAPTION)


def test_tags_are_unique_sure_enough_and_surest_first() -> None:
    seen = an_observation(objects=(("sock", 0.5), ("shoe", 0.6), ("shoe", 0.9), ("ghost", 0.1)))
    assert [(tag.value, tag.score) for tag in enrich(a_job(), seen).tags] == [("shoe", 0.9), ("sock", 0.5)]


def test_an_object_without_a_score_counts() -> None:
    seen = an_observation(results={Task.OD: ObjectsAnswer((DetectedObject("shoe", (0, 0, 1, 1), None),))})
    assert [tag.value for tag in enrich(a_job(), seen).tags] == ["shoe"]


def test_alt_text_names_the_words_in_the_picture() -> None:
    fields = enrich(a_job(), an_observation(caption="a red mug.", lines=("HELLO", "WORLD")))
    assert fields.alt_text == FieldValue("A red mug, with text: HELLO WORLD", Source.CAPTION)
    assert [line.value for line in fields.text] == ["HELLO", "WORLD"]


def test_long_text_stays_out_of_the_alt_text() -> None:
    fields = enrich(a_job(), an_observation(caption="a red mug", lines=("x" * ALT_TEXT_SOFT_LIMIT,)))
    assert fields.alt_text == FieldValue("A red mug", Source.CAPTION)


def test_nothing_seen_gives_no_alt_text_and_no_guess() -> None:
    seen = an_observation(results={Task.CAPTION: TextAnswer("")})
    fields = enrich(a_job(category=None), seen)
    assert (fields.alt_text, fields.category, fields.caption, fields.tags) == (None, None, None, ())


def test_markup_in_the_picture_stays_text() -> None:
    hostile = "<script>alert(1)</script> {{7*7}}"
    fields = enrich(a_job(), an_observation(lines=(hostile,)))
    assert fields.text[0].value == hostile
    assert json.loads(json.dumps(fields.as_json()))["text"][0]["value"] == hostile
