"""Rules scoped by subtree of the taxonomy, and prohibited goods by subtree."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from domain.errors import PolicyInvalid
from domain.moderation import Verdict
from tests.factories import a_job, a_stored_photo, an_observation
from tests.worker.policy.conftest import WritePolicy
from worker.policy.engine import PolicyEngine
from worker.policy.loading import load_policy

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
POLICY = """
policy: test
vocabulary: [names.yaml]
rules:
  - id: shoes.alone
    version: 1
    policy_code: SHOES-ALONE
    scope: {{categories: [{scope}]}}
    severity: 2
    action: review
    mode: live
    message: Show the shoe alone.
    when: size(objects) > 1
    causes: objects
    tests:
      - given: {{objects: [shoe, sock], seller: {{category: Sneakers}}}}
        expect: match
      - given: {{objects: [shoe, sock], seller: {{category: Hats}}}}
        expect: no_match
  - id: goods.by_category
    version: 1
    policy_code: PROHIBITED-TOBACCO
    severity: 4
    action: reject
    mode: live
    message: Tobacco may not be sold here.
    when: category.groups.exists(g, g == "tobacco")
    causes: "[category]"
    tests:
      - given: {{seller: {{category: Cigars}}}}
        expect: match
      - given: {{seller: {{category: Sneakers}}}}
        expect: no_match
"""
NAMES = {"names.yaml": "groups: {tobacco: [cigar]}\nsubtrees: {tobacco: [fb-3]}\n"}


def test_a_rule_holds_in_its_subtree_and_nowhere_else(write: WritePolicy) -> None:
    engine = PolicyEngine.load(write(POLICY.format(scope="aa-8"), NAMES))
    two = an_observation(objects=(("shoe", 0.9), ("sock", 0.9)))

    def rules(category: str | None) -> list[str]:
        decision = engine.decide(a_job(category=category), a_stored_photo(), two, NOON)
        assert engine.again(decision.receipt).as_json() == decision.as_json()
        return [finding.rule for finding in decision.findings]

    assert rules("Apparel & Accessories > Shoes > Sneakers") == ["shoes.alone"]
    assert rules("Shoes") == ["shoes.alone"]
    assert rules("Hats") == rules("something else") == rules(None) == []
    assert rules("Tobacco Products > Cigarettes") == ["goods.by_category"]


def test_the_receipt_names_the_taxonomy_and_the_evidence_the_category(write: WritePolicy) -> None:
    engine = PolicyEngine.load(write(POLICY.format(scope="aa-8"), NAMES))
    decision = engine.decide(a_job(category="Cigars"), a_stored_photo(), an_observation(), NOON)
    assert decision.verdict is Verdict.REJECT
    assert decision.receipt["taxonomy"] == "2025-08-unstable"
    assert decision.findings[0].evidence == (
        {
            "kind": "category",
            "id": "fb-3-4",
            "path": "Food, Beverages & Tobacco > Tobacco Products > Cigars",
            "ancestors": ["fb", "fb-3", "fb-3-4"],
            "groups": ["tobacco"],
            "how": "name",
        },
    )


def test_a_category_that_there_is_not_is_refused_with_its_line(write: WritePolicy) -> None:
    with pytest.raises(PolicyInvalid, match=r"policy\.yaml:\d+: there is no category 'aa-999'"):
        load_policy(write(POLICY.format(scope="aa-999"), NAMES))
    wrong = {"names.yaml": "groups: {tobacco: [cigar]}\nsubtrees: {tobacco: [zz-3]}\n"}
    with pytest.raises(PolicyInvalid, match=r"names\.yaml:2: there is no category 'zz-3'"):
        load_policy(write(POLICY.format(scope="aa-8"), wrong))
