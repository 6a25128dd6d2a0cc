"""Signals: plain JSON values from the job, the photo and the observation."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.calibration import VERIFIED, Calibration, Curve
from domain.observations import (
    DetectedObject,
    LinesAnswer,
    ObjectsAnswer,
    Observation,
    Question,
    Reading,
    Task,
    TextAnswer,
    TextLine,
)
from tests.factories import a_job, a_stored_photo, an_observation
from worker.policy.signals import Item, Kind, Signal, Subject, compute, registered
from worker.policy.signals.subject import MOST_ITEMS
from worker.policy.words.lexicon import Lexicon

LEXICON = Lexicon.of(
    {"weapons": ["knife", "gun"], "toys": ["toy gun"]}, ["fork and knife"], {"counterfeit": ["replica"]}, ["no replica"]
)
PYTHON = {Kind.TEXT: str, Kind.NUMBER: float, Kind.COUNT: int, Kind.FLAG: bool, Kind.NUMBERS: list, Kind.TEXTS: list}


def signals(seen: Observation | None = None, **job: Any) -> dict[str, Any]:
    return compute(Subject(a_job(**job), a_stored_photo(), seen or an_observation(), LEXICON))


def test_objects_have_group_and_share_and_relevant_ones_come_first() -> None:
    seen = an_observation(objects=(("shoe", 0.99), ("Gun", 0.6)))
    first, second = signals(seen)["objects"]
    assert (first["label"], first["group"], second["group"]) == ("Gun", "weapons", "")
    assert first["share_of_picture"] == round(32 * 32 / (64 * 48), 6)


def test_a_crowd_of_harmless_objects_cannot_hide_one() -> None:
    found = signals(an_observation(objects=(("shoe", 0.99),) * 500 + (("gun", 0.51),)))["objects"]
    assert len(found) == MOST_ITEMS
    assert found[0]["label"] == "gun"


def test_an_object_without_a_score_counts_as_certain() -> None:
    seen = an_observation(results={Task.OD: ObjectsAnswer((DetectedObject("gun", (0, 0, 9, 9), None),))})
    assert signals(seen)["objects"][0]["score"] == 1.0


def test_objects_asked_for_by_name_count_by_their_second_reading() -> None:
    def found(*verified: float) -> ObjectsAnswer:
        return ObjectsAnswer(tuple(DetectedObject("a blade", (0, 0, 9, 9), 0.99, share) for share in verified))

    question = Question(Task.OPEN_VOCABULARY_DETECTION, "knife")
    known = Calibration("v1", {VERIFIED: Curve(((0.0, 0.0), (0.2, 0.8), (1.0, 1.0)))}, verified_min=0.1)
    seen = an_observation(asked=((question, found(0.2, 0.05)),), calibration=known).calibrated()
    first, second = signals(seen)["objects"]
    assert (first["label"], first["group"], first["score"]) == ("knife", "weapons", 0.8)
    assert second["label"] == "sneaker"


def test_every_caption_is_searched_for_names() -> None:
    seen = an_observation(
        results={
            Task.CAPTION: TextAnswer("a toy gun"),
            Task.DETAILED_CAPTION: TextAnswer("Knives lie beside a fork and knife on a wooden table"),
        }
    )
    found = signals(seen)
    assert {(item["label"], item["group"]) for item in found["caption_objects"]} == {
        ("toy gun", "toys"),
        ("knife", "weapons"),
    }
    assert found["caption"].startswith("Knives")


def test_words_in_the_picture_have_their_place() -> None:
    found = signals(an_observation(lines=("RÉPLICA!", "call 555-0134")))
    assert [line["normalised"] for line in found["text"]] == ["replica", "call 555 0134"]
    (term,), (contact,) = found["text_terms"], found["contacts"]
    assert term == {
        "term": "replica",
        "list": "counterfeit",
        "language": "",
        "text": "RÉPLICA",
        "how": "exact",
        "distance": 0,
        "quad": found["text"][0]["quad"],
        "reader": "florence",
    }
    assert (contact["contact"], contact["value"]) == ("phone", "5550134")
    assert found["text_share"] == round(2 * 36 * 8 / (64 * 48), 6)


def test_text_without_places_is_searched_too() -> None:
    found = signals(an_observation(results={Task.OCR: TextAnswer("a REPLICA")}))
    assert found["text"] == []
    assert [(term["term"], term["text"], term["quad"]) for term in found["text_terms"]] == [("replica", "REPLICA", [])]


def test_the_sellers_words_are_searched_by_field() -> None:
    found = signals(title="Replica bag", attributes={"note": "write to me@shop.de"}, description="no replica")
    assert [(hit["field"], hit["term"]) for hit in found["seller_terms"]] == [("title", "replica")]
    assert [(hit["field"], hit["value"]) for hit in found["seller_contacts"]] == [("attributes.note", "me@shop.de")]
    assert found["seller"] == {"title": "Replica bag", "description": "no replica", "category": "", "condition": ""}


def test_an_empty_look_is_one_that_describes_nothing() -> None:
    assert signals(an_observation(results={}))["empty_look"] is True
    assert (
        signals(an_observation(results={Task.CAPTION: TextAnswer(""), Task.OD: ObjectsAnswer()}))["empty_look"] is True
    )
    assert signals(an_observation(results={Task.CAPTION: TextAnswer("a shoe")}))["empty_look"] is False


def test_image_and_pixels_are_as_measured() -> None:
    found = signals()
    assert found["image"] == {
        "width": 64,
        "height": 48,
        "shorter_side": 48,
        "longer_side": 64,
        "megapixels": 0.003072,
        "aspect": 1.333333,
        "format": "JPEG",
    }
    assert found["pixels"] == {"sharpness": 120.0, "brightness": 0.6, "contrast": 0.2, "white_border": 0.9}


boxes = st.tuples(*[st.floats(0, 64)] * 4)
observations = st.builds(
    lambda caption, objects, lines: an_observation(
        results={
            Task.CAPTION: TextAnswer(caption),
            Task.OD: ObjectsAnswer(tuple(DetectedObject(*item) for item in objects)),
            Task.OCR_WITH_REGION: LinesAnswer(tuple(TextLine(text, (0, 0, 9, 0, 9, 9, 0, 9)) for text in lines)),
        }
    ),
    st.text(max_size=60),
    st.lists(st.tuples(st.text(max_size=12), boxes, st.none() | st.floats(0, 1)), max_size=4),
    st.lists(st.text(max_size=40), max_size=3),
)


def fits(one: Signal, value: Any) -> bool:
    if one.many:
        return isinstance(value, list) and all(_item_fits(one.type, item) for item in value)
    return _item_fits(one.type, value)


def _item_fits(type: Kind | Item, value: Any) -> bool:
    if isinstance(type, Item):
        return list(value) == [field.name for field in type.fields] and all(
            isinstance(value[field.name], PYTHON[field.kind]) for field in type.fields
        )
    return isinstance(value, PYTHON[type])


@given(observations)
def test_signals_have_their_registered_types_and_survive_json(seen: Observation) -> None:
    found = signals(seen)
    assert json.loads(json.dumps(found)) == found
    assert list(found) == list(registered())
    for name, one in registered().items():
        assert fits(one, found[name]), name


HERE, THERE = (4, 4, 40, 4, 40, 12, 4, 12), (4, 30, 40, 30, 40, 38, 4, 38)


def two_readings(second: Reading) -> dict[str, Any]:
    model = LinesAnswer((TextLine("RÉPLICA!", HERE, 0.7), TextLine("call 555-0134", THERE, 0.8)))
    return signals(an_observation(results={Task.OCR_WITH_REGION: model}, second_reading=second))


def test_a_second_reader_speaks_in_signals_of_its_own() -> None:
    second = Reading("rapidocr", (TextLine("REPLICAS", HERE, 0.9), TextLine("call 555-0184", THERE, 0.6)))
    found = two_readings(second)
    assert [line["text"] for line in found["text"]] == ["RÉPLICA!", "call 555-0134"]
    assert [line["text"] for line in found["second_text"]] == ["REPLICAS", "call 555-0184"]
    assert [hit["value"] for hit in found["contacts"]] == ["5550134"]
    assert [hit["value"] for hit in found["second_contacts"]] == ["5550184"]
    assert [hit["text"] for hit in found["second_text_terms"]] == ["REPLICAS"]
    for name, reader in (("text", "florence"), ("second_text", "rapidocr"), ("second_contacts", "rapidocr")):
        assert {item["reader"] for item in found[name]} == {reader}


def test_what_both_read_alike_names_both_and_has_the_lower_score() -> None:
    second = Reading("rapidocr", (TextLine("call 5550134", THERE, 0.6), TextLine("réplica", THERE, 0.9)))
    (agreed,) = two_readings(second)["agreed_text"]
    assert (agreed["text"], agreed["score"], agreed["reader"]) == ("call 555-0134", 0.6, "florence+rapidocr")


def test_a_reader_alone_has_no_second_opinion() -> None:
    alone = Reading("rapidocr", (TextLine("REPLICA", HERE, 0.9),))
    found = signals(an_observation(results={Task.CAPTION: TextAnswer("a bag")}, second_reading=alone))
    assert [(hit["term"], hit["reader"]) for hit in found["text_terms"]] == [("replica", "rapidocr")]
    assert found["second_text"] == found["second_text_terms"] == found["agreed_text"] == []
    assert signals(an_observation(lines=("REPLICA",)))["second_text"] == []


def test_text_that_went_unread_is_a_signal() -> None:
    assert two_readings(Reading("rapidocr", (), "too much"))["text_incomplete"] is True
    assert two_readings(Reading("rapidocr"))["text_incomplete"] is False
    assert signals()["text_incomplete"] is False


def test_a_look_at_which_only_the_second_reader_saw_something_is_not_empty() -> None:
    nothing = {Task.OCR_WITH_REGION: LinesAnswer()}
    second = Reading("rapidocr", (TextLine("SALE", HERE, 0.9),))
    assert signals(an_observation(results=nothing))["empty_look"] is True
    assert signals(an_observation(results=nothing, second_reading=second))["empty_look"] is False
