"""Folding, listed terms, object names and contact details, against disguises and against innocent neighbours."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.policy.words.contacts import find_contacts
from worker.policy.words.normalise import squeeze
from worker.policy.words.phones import region_of
from worker.policy.words.terms import TermMatcher
from worker.policy.words.vocabulary import Vocabulary

TERMS = TermMatcher(
    {"counterfeit": ["replica", "fake", "counterfeit", "1:1 copy", "AAA quality", "knock-off"], "abuse": ["hate"]}
    | {"drugs": ["heroin", "cocaine", "LSD"]},
    ["fake fur", "I hate mondays"],
)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("RÉPLICA", "replica"),
        ("ｆｕｌｌ ｗｉｄｔｈ", "full width"),
        ("Rерliса", "replica"),  # Cyrillic е, р, с, а
        ("re\u200bpl\u00adica", "replica"),  # zero-width space, soft hyphen
        ("r\u0301eplica", "replica"),  # combining accent
        ("🅵🅰🅺🅴", "fake"),
        ("𝓯𝓪𝓴𝓮", "fake"),
        ("٣٤", "34"),
        ("Straße", "strasse"),
        ("  a,  b!\n", "a b"),
        ("", ""),
    ],
)
def test_folding_undoes_disguise(written: str, plain: str) -> None:
    assert squeeze(written) == plain


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert squeeze(squeeze(text)) == squeeze(text)


@pytest.mark.parametrize(
    ("written", "term"),
    [
        ("REPLICA", "replica"),
        ("two replicas!", "replica"),
        ("R E P L I C A", "replica"),
        ("r.e.p.l.i.c.a", "replica"),
        ("repl-ica", "replica"),
        ("rep lica", "replica"),
        ("r3pl1c@", "replica"),
        ("R3PL!CA", "replica"),
        ("Rерliса", "replica"),
        ("ｒｅｐｌｉｃａ", "replica"),
        ("re\u200bplica", "replica"),
        ("counter feit", "counterfeit"),
        ("f4ke", "fake"),
        ("f a k e", "fake"),
        ("$50 fake", "fake"),
        ("fake!!", "fake"),
        ("1:1 COPY", "1:1 copy"),
        ("1 : 1 copy", "1:1 copy"),
        ("AAA-Quality", "AAA quality"),
        ("aaaquality", "AAA quality"),
        ("knock offs", "knock-off"),
        ("knockoff", "knock-off"),
        ("H-A-T-E", "hate"),
        ("H3R01N", "heroin"),
        ("c0c41n3", "cocaine"),
    ],
)
def test_terms_are_found_in_disguise(written: str, term: str) -> None:
    assert [hit.term for hit in TERMS.find(written)] == [term]


@pytest.mark.parametrize(
    "written",
    [
        "replicate your style",
        "faker",
        "fa ke",  # a short word split by a space is more often two words
        "whatever",
        "coat with fake fur",
        "I hate Mondays mug",
        "15D nylon",  # leet for LSD by coincidence
        "L5D",
        "1 5 D",
        "t-shirt, sizes S M L XL",
        "chateau",
        "1:1 scale model",
        "",
        "!!! $$$ 111",
    ],
)
def test_innocent_words_are_left_alone(written: str) -> None:
    assert TERMS.find(written) == []


def test_a_hit_says_where_it_was_written() -> None:
    written = "buy a R E P L I C A here"
    (hit,) = TERMS.find(written)
    assert written[hit.start : hit.end] == "R E P L I C A"
    assert hit.list == "counterfeit"


def test_an_allowed_phrase_does_not_cover_the_next_hit() -> None:
    assert [hit.term for hit in TERMS.find("fake fur, replica")] == ["replica"]


@given(st.text(max_size=200))
def test_matching_never_fails_and_points_into_the_text(text: str) -> None:
    for hit in TERMS.find(text):
        assert 0 <= hit.start < hit.end <= len(text)
    for contact in find_contacts(text):
        assert 0 <= contact.start < contact.end <= len(text)
        assert text[contact.start : contact.end] == contact.text


@pytest.mark.parametrize(
    ("label", "group"),
    [
        ("Gun", "weapons"),
        ("black handguns", "weapons"),
        ("knives", "weapons"),
        ("toy gun", "toys"),
        ("hot glue gun", ""),
        ("gunpowder green tea", ""),
        ("", ""),
    ],
)
def test_labels_have_the_group_of_their_longest_name(label: str, group: str) -> None:
    names = Vocabulary({"weapons": ["gun", "handgun", "knife"], "toys": ["toy gun"]}, ["glue gun"])
    assert names.group_of(label) == group


CONTACTS = [
    ("CALL +49 30 1234567", "phone", "+49301234567"),
    ("+1 (555) 010-4477", "phone", "+15550104477"),
    ("+4-9-3-0-1-2-3-4-5-6-7", "phone", "+49301234567"),
    ("0049 30 12345678", "phone", "+493012345678"),
    ("Tel.030 1234 5678", "phone", "03012345678"),
    ("WhatsApp: 0171-1234567", "phone", "01711234567"),
    ("0 1 7 1 1 2 3 4 5 6 7", "phone", "01711234567"),
    ("O17l 1234567", "phone", "01711234567"),
    ("０１７１ １２３４５６７", "phone", "01711234567"),
    ("call 555-0134", "phone", "5550134"),
    ("(555) 123-4567", "phone", "5551234567"),
    ("555.123.4567", "phone", "5551234567"),
    ("zero one seven one five five five one two three", "phone", "0171555123"),
    ("www.shop.com", "url", "www.shop.com"),
    ("SHOP.COM", "url", "shop.com"),
    ("shop . com", "url", "shop.com"),
    ("w w w . shop . com", "url", "www.shop.com"),
    ("ｗｗｗ.ѕhор.com", "url", "www.shop.com"),
    ("best-deals(dot)com", "url", "best-deals.com"),
    ("https://evil.example/x?a=1", "url", "https://evil.example/x?a=1"),
    ("hxxps://evil.io/a", "url", "hxxps://evil.io/a"),
    ("t.me/seller", "url", "t.me/seller"),
    ("sale@shop.de", "email", "sale@shop.de"),
    ("sale (at) shop (dot) de", "email", "sale@shop.de"),
    ("sale @ shop . com", "email", "sale@shop.com"),
    ("mail sale at shop dot com", "email", "sale@shop.com"),
    ("@best_seller", "handle", "best_seller"),
    ("insta: best.seller", "handle", "best.seller"),
]


@pytest.mark.parametrize(("written", "kind", "value"), CONTACTS)
def test_contact_details_are_found_in_disguise(written: str, kind: str, value: str) -> None:
    assert [(contact.kind, contact.value) for contact in find_contacts(written)] == [(kind, value)]


INNOCENT = [
    "19.99",
    "$1,299.00",
    "1.299.000",
    "500 ml",
    "0.5 1.0 1.5 2.0",
    "4006381333931",  # EAN-13
    "4 006381 333931",
    "96385074",  # EAN-8
    "EAN 4006381333931",
    "ISBN 978-3-16-148410-0",
    "SKU 123-456-7890",
    "Model 0171 1234567",
    "LOT 20251122",
    "2026-11-22",
    "22.11.2026",
    "2024-2026",
    "36 37 38 39 40 41",
    "1 2 3 4 5 6 7 8 9",
    "size 38/40",
    "100 x 200 x 300",
    "1920x1080",
    "10000 mAh 22.5W",
    "RTX 4090 24GB",
    "50% OFF",
    "2 @ 9.99",
    "fun @ home",
    "Wash at 30.in cold water",
    "100% cotton.Do not bleach",
    "soft touch. shop now",
    "No.1 in the U.S.A",
    "v2.0.1",
    "Made in Italy",
]


@pytest.mark.parametrize("written", INNOCENT)
def test_innocent_digits_and_dots_are_no_contacts(written: str) -> None:
    assert find_contacts(written) == []


def test_the_sellers_country_completes_a_national_number() -> None:
    (contact,) = find_contacts("06 12 34 56 78", region="FR")
    assert contact.value == "+33612345678"


@pytest.mark.parametrize(
    ("locale", "region"),
    [("de-DE", "DE"), ("fr_ch", "CH"), ("zh-Hant-TW", "TW"), ("de", None), (None, None), ("?", None)],
)
def test_region_of_a_locale(locale: str | None, region: str | None) -> None:
    assert region_of(locale) == region


@pytest.mark.parametrize(
    "piece", ["a", "a.", "1 ", "@", "(at) ", "a-", "w w w ", "+", "1", "one ", "o1", "tel ", "0 1", "!|"]
)
def test_hostile_repetition_costs_linear_time(piece: str) -> None:
    """20,000 characters are the most that is searched; the slowest pattern takes about 0.1 s on a busy core."""
    text = (piece * 20_000)[:20_000]
    before = time.process_time()
    find_contacts(text)
    TERMS.find(text)
    assert time.process_time() - before < 2.0
