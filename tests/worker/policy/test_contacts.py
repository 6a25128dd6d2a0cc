"""Contact details against 2,500 generated texts: recall and precision by kind and disguise, printed as a table."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.policy.contact_cases import KINDS, contact_cases
from worker.policy.words.contacts import find_contacts

CASES = contact_cases(500)


@pytest.fixture(scope="module")
def answers() -> list[set[str]]:
    return [{contact.kind for contact in find_contacts(case.text)} for case in CASES]


def test_recall_and_precision_by_kind(answers: list[set[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """A text counts for a kind when that kind was found in it; anything found in innocent print is a false alarm."""
    recall, precision = {}, {}
    for kind in filter(None, KINDS):
        asked = [found for case, found in zip(CASES, answers, strict=True) if case.kind == kind]
        right = sum(kind in found for found in asked)
        claimed = sum(kind in found for found in answers)
        recall[kind], precision[kind] = right / len(asked), right / claimed
    families = Counter((case.kind, case.family) for case in CASES)
    missed = Counter(
        (c.kind, c.family) for c, found in zip(CASES, answers, strict=True) if c.kind and c.kind not in found
    )
    alarms = Counter(c.family for c, found in zip(CASES, answers, strict=True) if not c.kind and found)
    innocent = sum(count for (kind, _), count in families.items() if not kind)
    with capsys.disabled():
        print("\nkind      recall  precision")
        for kind in recall:
            print(f"{kind:8} {recall[kind]:7.1%} {precision[kind]:10.1%}")
        print(f"false alarms in innocent print: {sum(alarms.values())} of {innocent} {dict(alarms)}")
        for (kind, family), count in sorted(missed.items()):
            print(f"missed: {kind} {family}: {count} of {families[kind, family]}")
    for kind in recall:
        assert recall[kind] >= 0.95, kind
        assert precision[kind] >= 0.95, kind
    assert sum(alarms.values()) <= 0.01 * innocent


@pytest.mark.parametrize(
    ("written", "kind", "value"),
    [
        ("joe arroba gmail punto com", "email", "joe@gmail.com"),
        ("joe AT gmail DOT com", "email", "joe@gmail.com"),
        ("joe@gmail,com", "email", "joe@gmail.com"),
        ("0️⃣1️⃣7️⃣1️⃣1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣7️⃣", "phone", "01711234567"),
        ("call ❺❺❺-❶❷❸❹", "phone", "5551234"),
        ("null eins sieben eins fünf fünf fünf zwo drei", "phone", "017155523"),
        ("zéro six un deux trois quatre cinq six sept huit", "phone", "0612345678"),
        ("zero 1 seven 1 one two three four five", "phone", "017112345"),
        ("linktr.ee/best", "url", "linktr.ee/best"),
        ("www shop com", "url", "www.shop.com"),
        ("WeChat ID: abc12345", "handle", "abc12345"),
        ("IG nice_bags", "handle", "nice_bags"),
        ("discord: joe#1234", "handle", "joe#1234"),
        ("wa.me/491711234567", "url", "wa.me/491711234567"),
    ],
)
def test_more_disguises_are_undone(written: str, kind: str, value: str) -> None:
    assert [(contact.kind, contact.value) for contact in find_contacts(written)] == [(kind, value)]


@pytest.mark.parametrize(
    "written",
    [
        "one two three four five six seven eight",
        "0123456789",
        "9 8 7 6 5 4 3 2 1",
        "instagram filter",
        "line 2",
        "signal red",
        "point de croix",
        "Treffpunkt der Stadt",
        "IG Metall",
        "facebook 2024",
        "wa 12",
    ],
)
def test_words_and_rows_of_numbers_are_no_contacts(written: str) -> None:
    assert find_contacts(written) == []


pieces = st.sampled_from(
    [
        "a",
        "1",
        ".",
        "@",
        " ",
        "-",
        "at ",
        " dot ",
        "ig ",
        "insta:",
        "www ",
        "w w w . ",
        "://",
        "one ",
        "un ",
        "0",
        "(",
        "_",
    ]
)


@settings(max_examples=30, deadline=None)
@given(st.lists(pieces, min_size=1, max_size=8).map(lambda parts: ("".join(parts) * 20_000)[:20_000]))
def test_no_repetition_is_catastrophic(text: str) -> None:
    """A pattern that backtracks exponentially, or even by the square, would take minutes on 20,000 characters."""
    before = time.process_time()
    find_contacts(text)
    assert time.process_time() - before < 5
