"""Limits and subtrees: what a rule writes for short, and what is refused, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import PolicyInvalid
from tests.worker.policy.conftest import HEAD, WritePolicy, a_rule
from worker.policy.engine import PolicyEngine
from worker.policy.loading import load_policy
from worker.policy.reference import rule_json
from worker.policy.shorthand import limits_in, number, subtrees_in, with_limits, with_subtrees

SOURCE = "{url: 'https://shop.example/rules', read: 2026-11-21, sure: official}"


def problem(path: Path) -> str:
    with pytest.raises(PolicyInvalid) as refused:
        PolicyEngine.load(path)
    (found,) = refused.value.problems
    return found


@pytest.mark.parametrize(
    ("written", "literal"),
    [
        ("500 px", "500"),
        ("500px", "500"),
        ("2", "2"),
        ("85 %", "0.85"),
        ("0.5 %", "0.005"),
        ("100 %", "1.0"),
        ("64 Mpx", "64.0"),
        ("25 levels", "25.0"),
        ("1.05 :1", "1.05"),
    ],
)
def test_a_limit_is_a_number_of_its_units_type(written: str, literal: str) -> None:
    assert number(written) == literal


def test_limits_are_written_out_everywhere_but_in_words() -> None:
    source = 'image.width < limit.side && caption != "limit.side" // limit.other\n&& my.limit.side == 1'
    assert with_limits(source, {"side": "500 px"}) == (
        'image.width < 500 && caption != "limit.side" // limit.other\n&& my.limit.side == 1'
    )
    assert limits_in(source) == {"side"}


def test_subtrees_are_written_out_everywhere_but_in_words() -> None:
    source = (
        """in_subtree(category, "fb-3") || in_subtree( category , 'aa' ) || caption == 'in_subtree(category, "x")'"""
    )
    assert list(subtrees_in(source)) == ["fb-3", "aa"]
    assert with_subtrees(source) == (
        """("fb-3" in category.ancestors) || ("aa" in category.ancestors) || caption == 'in_subtree(category, "x")'"""
    )


def test_a_rule_reads_its_limits_and_lists_show_them(write: WritePolicy) -> None:
    path = write(
        HEAD
        + a_rule(
            causes="objects.filter(o, o.score >= limit.sure)",
            when="size(objects) < limit.most",
            limits="{sure: 90 %, most: 3}",
            source=SOURCE,
        )
    )
    engine = PolicyEngine.load(path)
    listed = rule_json(engine.rules[0])
    assert listed["limits"] == {"sure": "90 %", "most": "3"}
    assert listed["source"] == {
        "url": "https://shop.example/rules",
        "read": "2026-11-21",
        "sure": "official",
        "note": None,
    }
    assert engine.rules[0].text.when == "size(objects) < 3"


@pytest.mark.parametrize(
    ("changes", "place", "named"),
    [
        ({"when": "size(objects) < limit.most"}, "policy.yaml:4:", "there is no limit 'most'"),
        ({"limits": "{most: 3}"}, "policy.yaml:4:", "nothing reads limit.most"),
        ({"limits": "{most: 3 apples}"}, "policy.yaml:6:", "'3 apples'"),
        ({"limits": "{most: 1.5 px}"}, "policy.yaml:6:", "not a whole number"),
        ({"limits": "{most: 900 %}", "when": "text_share > limit.most"}, "policy.yaml:", "compares a value between"),
        ({"source": "{url: 'https://a.example', read: 2026-11-21}"}, "policy.yaml:6:", "sure"),
        ({"source": "{url: 'https://a.example', read: 2026-11-21, sure: certain}"}, "policy.yaml:6:", "'official'"),
        ({"source": "{url: a page, read: 2026-11-21, sure: official}"}, "policy.yaml:6:", "a page"),
        ({"source": "{url: 'https://a.example', read: yesterday, sure: official}"}, "policy.yaml:6:", "yesterday"),
        ({"source": "{url: 'https://a.example', read: 2026-11-21T10:00:00, sure: official}"}, "policy.yaml:6:", "day"),
    ],
)
def test_what_says_nothing_is_refused_with_its_line(
    changes: dict[str, str], place: str, named: str, write: WritePolicy
) -> None:
    found = problem(write(HEAD + a_rule(**changes)))
    assert found.startswith(place) and named in found


@pytest.mark.parametrize(
    ("when", "named"),
    [
        (
            """'in_subtree(category, "zz-3")'""",
            "there is no category 'zz-3' in 2025-08-unstable; see `shelfguard taxonomy",
        ),
        ("""'!in_subtree(category, "")'""", "there is no category ''"),
        ("in_subtree(category, caption)", "takes the signal and an id in quotes"),
        ("""'category.in_subtree("fb-3")'""", "in_subtree"),
    ],
)
def test_a_subtree_that_there_is_not_is_refused_with_its_line(when: str, named: str, write: WritePolicy) -> None:
    found = problem(write(HEAD + a_rule(when=when)))
    assert found.startswith("policy.yaml:6:") and named in found


def test_a_rule_asks_for_subtrees_in_causes_too(write: WritePolicy) -> None:
    with pytest.raises(PolicyInvalid, match=r"policy\.yaml:11: there is no category 'zz-3'"):
        load_policy(write(HEAD + a_rule(causes="""'objects.filter(o, in_subtree(category, "zz-3"))'""")))


def test_what_is_not_checked_needs_a_reason_and_a_source(write: WritePolicy) -> None:
    missing = "policy: test\nnot_checked:\n  - {channels: [ebay], asks: No borders.}\nrules:\n"
    with pytest.raises(PolicyInvalid) as refused:
        load_policy(write(missing + a_rule()))
    assert {one.split(": ")[1] for one in refused.value.problems} == {
        "not_checked.0.why",
        "not_checked.0.source",
    }
