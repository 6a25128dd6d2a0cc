"""Contradictions between listing and picture, and brands that the listing does not name: found, and mostly silent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import PIXELS, a_job, a_stored_photo, an_observation
from worker.bench.listings import some_scenes
from worker.policy.engine import PolicyEngine
from worker.policy.loading import load_policy, scene_signals
from worker.policy.words.colours import MANY, confusable, family_of

Objects = tuple[tuple[str, float], ...]
GREY = replace(PIXELS, dominant_rgb=(128, 128, 128))
PHOTO = a_stored_photo(width=64, height=48, pixels=GREY)


def said(
    starter: PolicyEngine, caption: str, objects: Objects = (), lines: tuple[str, ...] = (), **job: Any
) -> list[tuple[str, str, str, str]]:
    signals = starter.signals(a_job(**job), PHOTO, an_observation(caption, objects, lines))
    return [(one["about"], one["field"], one["said_as"], one["seen_as"]) for one in signals["contradictions"]]


BAG = ("a brown leather handbag on a table", (("handbag", 0.9),))
SHOE = ("a green sneaker on a white background", (("sneaker", 0.9),))


@pytest.mark.parametrize(
    ("seen", "job", "expected"),
    [
        (BAG, {"title": "Running shoe size 42"}, [("kind", "title", "footwear", "bags")]),
        (BAG, {"title": "Laufschuhe Gr. 42"}, [("kind", "title", "footwear", "bags")]),
        (BAG, {"title": "Reloj de pulsera"}, [("kind", "title", "watches", "bags")]),
        (BAG, {"title": None, "category": "Apparel > Shoes"}, [("kind", "category", "footwear", "bags")]),
        (BAG, {"title": "X", "category": "Bags/Sneakers"}, [("kind", "category", "footwear", "bags")]),
        (SHOE, {"title": "Sneaker, red"}, [("colour", "title", "red", "green")]),
        (SHOE, {"title": "Turnschuhe rot", "locale": "de-DE"}, [("colour", "title", "red", "green")]),
        (SHOE, {"title": "Chaussure rouge", "locale": "fr"}, [("colour", "title", "red", "green")]),
        (SHOE, {"title": "Shoe", "attributes": {"Farbe": "rosa"}}, [("colour", "attributes.Farbe", "pink", "green")]),
        (
            SHOE,
            {"title": "Green shoe", "attributes": {"color": "red"}},
            [("colour", "attributes.color", "red", "green")],
        ),
        (
            ("a black and white sneaker", (("sneaker", 0.9),)),
            {"title": "Red sneaker"},
            [("colour", "title", "red", "white")],
        ),
    ],
)
def test_plain_contradictions_are_told(
    starter: PolicyEngine, seen: tuple[str, Objects], job: dict[str, Any], expected: list[Any]
) -> None:
    assert said(starter, *seen, **job) == expected


@pytest.mark.parametrize(
    ("seen", "job"),
    [
        (BAG, {"title": "Leather handbag"}),
        (BAG, {"title": "Handtasche aus Leder"}),
        (BAG, {"title": "Shoes and matching bag"}),  # several kinds
        (BAG, {"title": "Running shoe", "category": "Bags"}),  # the seller contradicts the seller, not the picture
        (BAG, {"title": "Acme Model 5"}),  # no kind
        (BAG, {"title": "Shoe rack"}),  # another thing altogether
        ((BAG[0], ()), {"title": "Running shoe"}),  # the detector saw nothing
        (("a table", BAG[1]), {"title": "Running shoe"}),  # the caption does not agree
        ((BAG[0], (("handbag", 0.3),)), {"title": "Running shoe"}),  # a guess
        (("a handbag and a shoe", BAG[1]), {"title": "Running shoe"}),  # the shoe is there
        (("a woman with a handbag", BAG[1]), {"title": "Running shoe"}),  # people wear many things
        (SHOE, {"title": "Green sneaker"}),
        (SHOE, {"title": "Sneaker, olive"}),  # near enough
        (SHOE, {"title": "Sneaker, blue"}),  # light does that
        (SHOE, {"title": "Sneaker red and green"}),  # several colours
        (SHOE, {"title": "Sneaker, multicolour, red"}),
        (SHOE, {"title": "Red and white striped"}),  # no kind, so whose colour?
        (("a sneaker on a green background", SHOE[1]), {"title": "Red sneaker"}),  # the background's colour
        (("a red sneaker beside a green bag", SHOE[1]), {"title": "Red sneaker"}),  # the neighbour's
        (("a sneaker with a green bag", SHOE[1]), {"title": "Red sneaker"}),
        (SHOE, {"title": "Sneaker rosa", "locale": "fr-FR"}),  # no word for a colour in French
        (SHOE, {"title": "Rose gold plated sneaker"}),
    ],
)
def test_where_it_is_unsure_nothing_is_said(
    starter: PolicyEngine, seen: tuple[str, Objects], job: dict[str, Any]
) -> None:
    assert said(starter, *seen, **job) == []


def test_a_picture_in_the_sellers_colour_is_believed_before_a_caption(starter: PolicyEngine) -> None:
    red = replace(PHOTO, pixels=replace(PHOTO.pixels, dominant_rgb=(201, 28, 33)))
    green = replace(PHOTO, pixels=replace(PHOTO.pixels, dominant_rgb=(40, 140, 60)))
    counts = [
        len(starter.signals(a_job(title="Red sneaker"), photo, an_observation(*SHOE))["contradictions"])
        for photo in (red, green)
    ]
    assert counts == [0, 1]


def test_evidence_says_what_was_said_and_where_it_was_seen(starter: PolicyEngine) -> None:
    signals = starter.signals(a_job(title="Running Shoes, size 42"), PHOTO, an_observation(*BAG))
    assert signals["contradictions"] == [
        {
            "about": "kind",
            "field": "title",
            "said": "Shoes",
            "said_as": "footwear",
            "seen": "handbag",
            "seen_as": "bags",
            "score": 0.9,
            "place": [8, 8, 40, 40],
        }
    ]


@pytest.mark.parametrize(
    ("lines", "job", "unnamed"),
    [
        (("ADIDAS", "since 1949"), {"title": "Sports bag"}, ["Adidas"]),
        (("Louis Vuitton Paris",), {"title": "Handbag"}, ["Louis Vuitton"]),
        (("N1KE",), {"title": "Shoe"}, ["Nike"]),
        (("ROLEX", "Rolex"), {"title": "Watch"}, ["Rolex"]),
        (("ADIDAS",), {"title": "adidas Sports bag"}, []),
        (("ADIDAS",), {"title": "Sports bag", "attributes": {"brand": "Adidas"}}, []),
        (("an apple a day", "mind the gap", "adidasler"), {"title": "Poster"}, []),
        ((), {"title": "adidas Sports bag"}, []),
    ],
)
def test_brands_in_the_picture_that_the_listing_does_not_name(
    starter: PolicyEngine, lines: tuple[str, ...], job: dict[str, Any], unnamed: list[str]
) -> None:
    found = starter.signals(a_job(**job), PHOTO, an_observation(lines=lines))["unnamed_brands"]
    assert [one["brand"] for one in found] == unnamed
    assert all(one["quad"] for one in found)


def test_another_brand_than_the_listings_is_a_contradiction(starter: PolicyEngine) -> None:
    job = {"title": "Bag", "attributes": {"brand": "Gucci"}}
    assert said(starter, "a bag", (), ("PRADA MILANO",), **job) == [("brand", "attributes.brand", "Gucci", "Prada")]
    assert said(starter, "a bag", (), ("PRADA", "GUCCI"), **job) == []
    assert said(starter, "a bag", (), ("leather",), **job) == []
    assert said(starter, "a bag", (), ("PRADA",), title="Bag", attributes={"brand": "Hollis & Sons"}) == []


def test_a_name_of_goods_is_not_another_thing_in_another_language() -> None:
    kinds = load_policy().lexicon.kinds
    titles = ("Garden hose 20 m", "Roman blinds", "Storage baskets", "Paper notebook", "Handy guide", "Regal ornament")
    assert [title for title in titles if kinds.mentions(title)] == []
    assert [hit.list for hit in kinds.mentions("Garden shoes")] == ["footwear"]


def test_honest_listings_contradict_nothing() -> None:
    lexicon = load_policy().lexicon
    loud = [
        (scene.caption, scene.seller.title, found)
        for scene in some_scenes(400)
        if (found := scene_signals(scene, lexicon)["contradictions"])
    ]
    assert loud == []


FAMILIES = ("black", "white", "grey", "red", "pink", "orange", "yellow", "green", "blue", "purple", "brown", MANY)


@given(st.sampled_from(FAMILIES), st.sampled_from(FAMILIES))
def test_confusion_of_colours_is_mutual(one: str, other: str) -> None:
    assert confusable(one, other) is confusable(other, one)
    assert confusable(one, one)
    assert confusable(one, MANY)


@pytest.mark.parametrize(
    ("rgb", "family"),
    [((250, 250, 250), "white"), ((0, 0, 0), "black"), ((210, 20, 20), "red"), ((30, 60, 190), "blue")],
)
def test_a_pixel_has_a_colour_family(rgb: tuple[int, int, int], family: str) -> None:
    assert family_of(rgb) == family


@settings(max_examples=25, deadline=None)
@given(caption=st.text(max_size=60), title=st.text(max_size=60), label=st.text(max_size=20))
def test_no_words_break_the_comparison(starter: PolicyEngine, caption: str, title: str, label: str) -> None:
    for text in (caption, f"a red {caption} sneaker"):
        for one in said(starter, text, ((label, 0.9), ("sneaker", 0.9)), (caption,), title=f"{title} red bag"):
            assert one[0] in ("kind", "colour", "brand")
