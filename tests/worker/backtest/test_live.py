"""A candidate is compared with what is published: for everybody, or for tenants with a policy of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.policies import Draft, Person
from tests.fakes_policies import MemoryPolicies
from tests.worker.backtest.builders import a_policy, a_rule, labelled
from worker.backtest.work import PolicyText, live_policies

ADA = Person("1", "Ada")


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, PolicyText]:
    labels = ("shipped", "everybody", "acme")
    return {name: PolicyText.read(a_policy(tmp_path / name, a_rule(name, labelled(name)))) for name in labels}


def published(store: MemoryPolicies, text: PolicyText, tenant: str | None) -> None:
    store.keep(text.bundle, "test")
    store.publish_alone(Draft(text.bundle.version, tenant, ADA), "Nobody else is here today.")


def test_what_is_shipped_judges_while_nothing_is_published(texts: dict[str, PolicyText]) -> None:
    current, without = live_policies(MemoryPolicies(), texts["shipped"], [])
    assert [one.policy.version for one in current.all()] == [texts["shipped"].bundle.version]
    assert without == ()


def test_everybodys_policy_leaves_out_tenants_with_their_own(texts: dict[str, PolicyText]) -> None:
    store = MemoryPolicies()
    published(store, texts["everybody"], None)
    published(store, texts["acme"], "acme")
    current, without = live_policies(store, texts["shipped"], [])
    assert [one.policy.version for one in current.all()] == [texts["everybody"].bundle.version]
    assert without == ("acme",)


@pytest.mark.parametrize(
    ("tenants", "versions"),
    [(["acme"], {"acme": "acme"}), (["acme", "other"], {"acme": "acme", "other": "everybody"})],
)
def test_named_tenants_are_judged_by_their_own(
    texts: dict[str, PolicyText], tenants: list[str], versions: dict[str, str]
) -> None:
    store = MemoryPolicies()
    published(store, texts["everybody"], None)
    published(store, texts["acme"], "acme")
    current, without = live_policies(store, texts["shipped"], tenants)
    found = {name: current.of(name).policy.version for name in tenants}
    assert found == {name: texts[version].bundle.version for name, version in versions.items()}
    assert {one.policy.version for one in current.all()} == set(found.values())
    assert without == ()


def test_after_a_rollback_to_nothing_a_tenant_is_like_everybody(texts: dict[str, PolicyText]) -> None:
    store = MemoryPolicies()
    published(store, texts["acme"], "acme")
    store.roll_back("acme", ADA, "It was too strict.", None)
    current, without = live_policies(store, texts["shipped"], [])
    assert current.of("acme").policy.version == texts["shipped"].bundle.version
    assert without == ()
