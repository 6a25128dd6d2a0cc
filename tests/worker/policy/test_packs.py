"""The shipped packs: they check, pass their own tests, and know every class the bundled model can name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker.policy.engine import PolicyEngine
from worker.policy.loading import STARTER_PACK, load_policy

CLASSES = Path(__file__).parents[3] / "worker" / "training" / "synth" / "classes.json"
WATCHED = {"alcohol", "tobacco", "weapons", "medical", "gambling", "money"}


def test_every_inline_test_of_the_starter_pack_passes(starter: PolicyEngine) -> None:
    outcomes = starter.run_tests()
    assert len(outcomes) >= 2 * len(starter.rules)
    assert [outcome for outcome in outcomes if not outcome.passed] == []


def test_every_rule_has_a_matching_and_a_non_matching_test(starter: PolicyEngine) -> None:
    for loaded in starter.rules:
        assert {test.expect for test in loaded.tests} == {"match", "no_match"}, loaded.rule.id


def test_every_class_of_the_model_is_in_its_group(starter: PolicyEngine) -> None:
    group_of = load_policy().lexicon.vocabulary.group_of
    for one in json.loads(CLASSES.read_text())["classes"]:
        expected = one["group"] if one["group"] in WATCHED else ""
        if one["name"] == "toy gun":
            expected = "weapon_lookalikes"
        assert group_of(one["name"]) == expected, one["name"]


@pytest.mark.parametrize(
    "path", sorted(STARTER_PACK.parent.glob("wordlists/**/*.txt")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_word_lists_have_each_term_once(path: Path) -> None:
    terms = [
        line.strip().lower() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")
    ]
    assert len(terms) == len(set(terms))
