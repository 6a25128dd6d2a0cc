"""What a policy is checked against before it may be published."""

from __future__ import annotations

import pytest

from domain.errors import PolicyInvalid
from domain.policies import Bundle
from domain.taxonomy import Category, Taxonomy
from worker.policy_desk import checked

POLICY = """
policy: hats
rules:
  - id: hats
    version: 1
    policy_code: HATS
    scope: {categories: [zz-1]}
    severity: 2
    action: review
    mode: live
    message: A person looks at hats before they are sold.
    causes: "[image]"
    tests:
      - {given: {caption: a hat, seller: {category: zz-1}}, expect: match}
      - {given: {caption: a hat}, expect: no_match}
"""
BUNDLE = Bundle("policy.yaml", {"policy.yaml": POLICY})


def test_categories_are_those_of_the_taxonomy_that_workers_judge_by() -> None:
    own = Taxonomy("own", [Category("zz", "Hats"), Category("zz-1", "Caps")])
    assert [rule.rule.id for rule in checked(BUNDLE, own).rules] == ["hats"]
    with pytest.raises(PolicyInvalid, match="zz-1"):
        checked(BUNDLE)
