"""Signals from intake's inspection, where the product is, marks and placeholders; and what was never measured."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.inspection import Barcode, Foreground, Frame
from domain.moderation import RULE_ERROR, Verdict
from domain.observations import (
    DetectedObject,
    LinesAnswer,
    Mask,
    MasksAnswer,
    ObjectsAnswer,
    Observation,
    Quad,
    Question,
    Reading,
    Task,
    TextLine,
)
from domain.photos import StoredPhoto
from tests.factories import INSPECTION, PIXELS, a_job, a_stored_photo, an_observation
from tests.worker.policy.conftest import HEAD, WritePolicy
from worker.policy.engine import PolicyEngine
from worker.policy.signals import Subject, compute
from worker.policy.words.lexicon import Lexicon

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
CENTRE: Quad = (0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.4, 0.6)
UNMEASURED = (
    *("background", "frame", "exposure", "panels", "colours", "codes", "provenance", "product"),
    *("bank_matches", "near_duplicates", "hash_usable"),
)


def signals(seen: Observation | None = None, photo: StoredPhoto | None = None, **inspection: Any) -> dict[str, Any]:
    found = dataclasses.replace(INSPECTION, **inspection)
    taken = photo or a_stored_photo(width=1000, height=1000, inspection=found)
    return compute(Subject(a_job(), taken, seen or look(), Lexicon.of({})))


def look(
    *lines: tuple[str, Quad], objects: tuple[tuple[str, tuple[float, float, float, float]], ...] = (), **changes: Any
) -> Observation:
    return an_observation(
        width=1000,
        height=1000,
        results={
            Task.OD: ObjectsAnswer(tuple(DetectedObject(label, box, 0.9) for label, box in objects)),
            Task.OCR_WITH_REGION: LinesAnswer(tuple(TextLine(text, quad, 0.9) for text, quad in lines)),
        },
        **changes,
    )


def strip(top: float, left: float = 100, right: float = 500, height: float = 50) -> Quad:
    return (left, top, right, top, right, top + height, left, top + height)


# -- Not measured ------------------------------------------------------------------------------------------------------

RULE = """
  - id: picture.{name}
    version: 1
    policy_code: IMAGE-BACKGROUND
    severity: 4
    action: reject
    mode: live
    message: Use a photo on a white background.
    when: {when}
    causes: "[image]"
    tests:
      - given: {{inspection: {{background: {{whiteness: 0.5}}}}}}
        expect: match
      - given: {{caption: a shoe}}
        expect: no_match
"""


def test_a_photo_from_before_inspections_loads_and_says_that_nothing_was_measured() -> None:
    stored = a_stored_photo().as_json()
    del stored["inspection"]
    old = StoredPhoto.from_json(stored)
    found = signals(photo=old)
    assert found["inspected"] is False
    assert {name for name, value in found.items() if value is None} == set(UNMEASURED)
    assert StoredPhoto.from_json(old.as_json()) == old


def test_a_rule_that_reads_what_was_not_measured_sends_the_photo_to_a_person(write: WritePolicy) -> None:
    strict, guarded = "background.whiteness < 0.9", "inspected && background.whiteness < 0.9"
    path = write(HEAD + RULE.format(name="strict", when=strict) + RULE.format(name="guarded", when=guarded))
    engine = PolicyEngine.load(path)
    old, new = a_stored_photo(inspection=None), a_stored_photo()
    decision = engine.decide(a_job(), old, an_observation(), NOON)
    assert [(finding.rule, finding.policy_code) for finding in decision.findings] == [("picture.strict", RULE_ERROR)]
    assert decision.verdict is Verdict.REVIEW
    assert "not measured" in decision.findings[0].evidence[0]["error"]
    assert engine.again(decision.receipt).as_json() == decision.as_json()
    assert engine.decide(a_job(), new, an_observation(), NOON).verdict is Verdict.APPROVE


# -- As measured -------------------------------------------------------------------------------------------------------


def test_the_inspection_is_shown_as_it_was_measured() -> None:
    found = signals(frame=Frame(4, 0.05, (0, 0, 200)), digital_source_type="trainedAlgorithmicMedia", panels=3)
    assert found["background"] == {
        "share": 0.6,
        "plain": 1.0,
        "whiteness": 0.98,
        "off_white": 3.0,
        "rgb": [254.0, 254.0, 254.0],
    }
    assert found["frame"] == {"sides": 4, "thickness": 0.05, "rgb": [0.0, 0.0, 200.0], "white": False}
    assert found["provenance"] == {"digital_source_type": "trainedAlgorithmicMedia", "ai_generated": True}
    assert (found["panels"], found["colours"], found["inspected"]) == (3, 30, True)


@pytest.mark.parametrize(("code", "ai"), [("digitalCapture", False), ("", False), ("compositeSynthetic", True)])
def test_only_some_source_types_mean_ai(code: str, ai: bool) -> None:
    assert signals(digital_source_type=code)["provenance"]["ai_generated"] is ai


def test_a_frame_as_light_as_paper_says_so() -> None:
    assert signals(frame=Frame(4, 0.05, (255, 254, 250)))["frame"]["white"] is True
    assert signals()["frame"]["white"] is False


def test_contact_details_in_codes_are_contacts_and_article_numbers_are_not() -> None:
    found = signals(
        barcodes=(
            Barcode("QR Code", "https://cheap-bags.shop/x", CENTRE),
            Barcode("QR Code", "tel:+49301234567", CENTRE),
            Barcode("QR Code", "just some words", CENTRE),
            Barcode("EAN-13", "4006381333931", CENTRE),
        )
    )
    assert [(hit["contact"], hit["value"], hit["reader"]) for hit in found["contacts"]] == [
        ("url", "https://cheap-bags.shop/x", "barcode"),
        ("phone", "+49301234567", "barcode"),
    ]
    assert found["contacts"][0]["quad"] == [400.0, 400.0, 600.0, 400.0, 600.0, 600.0, 400.0, 600.0]
    assert [code["retail"] for code in found["codes"]] == [False, False, False, True]


# -- Where the product is ----------------------------------------------------------------------------------------------


def test_the_product_is_measured_in_pixels_on_plain_ground_and_by_boxes_elsewhere() -> None:
    seen = look(objects=(("shoe", (0, 200, 500, 600)), ("lace", (400, 300, 600, 500))))
    foreground = Foreground(share=0.3, box=(0.2, 0.2, 0.8, 0.8), extent=0.6, edges=0)
    busy = dataclasses.replace(INSPECTION.background, plain=0.2)
    assert signals(seen, foreground=foreground)["product"] == {
        "share": 0.3,
        "extent": 0.6,
        "edges": 0,
        "source": "pixels",
    }
    assert signals(seen, background=busy)["product"] == {
        "share": 0.22,  # 500 x 400 and 200 x 200, which share 100 x 200
        "extent": 0.6,
        "edges": 1,
        "source": "objects",
    }
    assert signals(look(), background=busy)["product"]["source"] == ""


def test_text_on_the_product_is_told_from_text_beside_it() -> None:
    on, beside, half = strip(300), strip(700), strip(300, left=400, right=800)
    seen = look(("Acme", on), ("SALE", beside), ("half", half), objects=(("shirt", (0, 200, 600, 600)),))
    placed = signals(seen)["placed_text"]
    assert [line["inside"] for line in placed] == [1.0, 0.0, 0.5]
    assert {line["source"] for line in placed} == {"objects"}
    assert signals(seen)["text_share_outside"] == pytest.approx(0.02 + 0.01)


def test_a_mask_says_better_than_a_box_where_the_product_is() -> None:
    triangle = Mask("shirt", ((0.0, 0.0, 1000.0, 0.0, 0.0, 1000.0),))
    question = Question(Task.REFERRING_EXPRESSION_SEGMENTATION, "shirt")
    seen = look(
        ("in", strip(100)),
        ("out", strip(900, left=500, right=900)),
        objects=(("shirt", (0, 0, 1000, 1000)),),
        asked=((question, MasksAnswer((triangle,))),),
    )
    placed = signals(seen)["placed_text"]
    assert [(line["inside"], line["source"]) for line in placed] == [(1.0, "mask"), (0.0, "mask")]


def test_without_objects_the_foreground_on_plain_ground_has_to_do() -> None:
    foreground = Foreground(share=0.3, box=(0.0, 0.2, 0.6, 0.6), extent=0.6, edges=1)
    seen = look(("Acme", strip(300)), ("SALE", strip(700)))
    assert [line["source"] for line in signals(seen, foreground=foreground)["placed_text"]] == ["pixels", "pixels"]
    assert [line["inside"] for line in signals(seen, foreground=foreground)["placed_text"]] == [1.0, 0.0]


def test_where_nothing_says_where_the_product_is_all_text_is_outside() -> None:
    busy = dataclasses.replace(INSPECTION.background, plain=0.2)
    assert signals(look(("SALE", strip(300))), background=busy)["text_share_outside"] == pytest.approx(0.02)


def test_a_single_letter_seen_in_a_round_thing_is_no_text() -> None:
    busy = dataclasses.replace(INSPECTION.background, plain=0.2)
    seen = look(("0", strip(300)), ("OO", strip(500)), ("-50 %", strip(700)))
    found = signals(seen, background=busy)
    assert [line["text"] for line in found["placed_text"]] == ["-50 %"]
    assert found["text_share_outside"] == found["text_share"] == pytest.approx(0.02)
    assert [line["text"] for line in found["text"]] == ["0", "OO", "-50 %"], "rules may still ask for every line"


# -- Marks and placeholders --------------------------------------------------------------------------------------------


def turned(degrees: float, length: float, height: float = 60) -> Quad:
    x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    left, top = 500 - x * length / 2, 500 - y * length / 2
    return (
        *(left, top, left + x * length, top + y * length),
        *(left + x * length - y * height, top + y * length + x * height, left - y * height, top + x * height),
    )


@pytest.mark.parametrize(
    ("lines", "signs"),
    [
        ((("© Jane Doe 2024", strip(100)),), ["words"]),
        ((("SHUTTERSTOCK", strip(100)),), ["words"]),
        ((("my shop", strip(100)), ("MY SHOP", strip(300)), ("My Shop!", strip(600))), ["repeated"] * 3),
        ((("BOUTIQUE LUMA", turned(35, 600)),), ["slanted"]),
        ((("BOUTIQUE LUMA", turned(-40, 600)),), ["slanted"]),
        ((("BOUTIQUE LUMA", turned(90, 600)),), []),
        ((("BOUTIQUE LUMA", turned(4, 600)),), []),
        ((("Acme", turned(35, 120)),), []),
        ((("42", strip(100)), ("42", strip(300)), ("42", strip(600))), []),
        ((("Acme", strip(100)), ("Acme", strip(300))), []),
    ],
)
def test_marks_like_a_watermark(lines: tuple[tuple[str, Quad], ...], signs: list[str]) -> None:
    assert [mark["sign"] for mark in signals(look(*lines))["watermarks"]] == signs


def second(*lines: tuple[str, Quad]) -> Observation:
    """Read by a second reader alone of two: the model read nothing."""
    reading = Reading("rapidocr", tuple(TextLine(text, quad, 0.9) for text, quad in lines))
    return dataclasses.replace(look(), second_reading=reading)


def test_a_mark_that_only_the_second_reader_read_is_a_mark_and_says_so() -> None:
    (mark,) = signals(second(("© Jane Doe 2024", strip(100))))["watermarks"]
    assert (mark["sign"], mark["reader"]) == ("words", "rapidocr")
    assert signals(second(("NO IMAGE AVAILABLE", strip(100))))["placeholder"]


def test_one_line_read_twice_and_written_twice_is_no_repetition() -> None:
    lines = (("Acme", strip(100)), ("Acme", strip(300)))
    both = dataclasses.replace(look(*lines), second_reading=second(*lines).second_reading)
    assert signals(both)["watermarks"] == []


def test_text_beside_the_product_counts_whichever_reader_read_it() -> None:
    found = signals(second(("SALE", strip(300))), background=dataclasses.replace(INSPECTION.background, plain=0.2))
    assert found["text_share"] == found["text_share_outside"] == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("NO IMAGE AVAILABLE", True),
        ("Bild nicht verfügbar", True),
        ("Photo à venir", True),
        ("Imagen no disponible", True),
        ("casino images", False),
        ("100 % cotton", False),
    ],
)
def test_a_placeholder_says_that_it_is_one(text: str, found: bool) -> None:
    assert bool(signals(look((text, strip(400))))["placeholder"]) is found


def test_a_picture_of_nothing_is_a_placeholder() -> None:
    blank = a_stored_photo(pixels=dataclasses.replace(PIXELS, contrast=0.002))
    assert signals(photo=blank)["placeholder"] == [{"sign": "blank", "text": ""}]
