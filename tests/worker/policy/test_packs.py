"""The shipped packs: they check, pass their own tests, and know every class the bundled model can name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker.policy.engine import PolicyEngine
from worker.policy.loading import STARTER_PACK, load_policy

CLASSES = Path(__file__).parents[3] / "worker" / "training" / "synth" / "classes.json"
WATCHED = {"alcohol", "tobacco", "weapons", "medical", "gambling", "money"}


def test_every_shipped_rule_matches_a_scene_and_leaves_another_alone(starter: PolicyEngine) -> None:
    outcomes = starter.run_tests()
    assert [outcome for outcome in outcomes if not outcome.passed] == []
    got = {(outcome.rule, outcome.got) for outcome in outcomes}
    assert len(starter.rules) >= 45
    assert got == {(one.rule.id, what) for one in starter.rules for what in ("match", "no_match")}


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
