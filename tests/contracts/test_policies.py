"""What is live and who put it there: kept by PostgreSQL and by the fake alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from domain.errors import Forbidden, InputRejected, NotFound
from domain.policies import Bundle, Draft, Person, Scope
from domain.ports import Policies
from tests.fakes_policies import MemoryPolicies
from tests.real import emptied
from worker.storage.database import Database
from worker.storage.policies import SqlPolicies
from worker.storage.tables import tenants

ADA, BEA = Person("1", "Ada"), Person("2", "Bea")
WHY = "Everybody else is asleep."


def a_bundle(words: str) -> Bundle:
    return Bundle("policy.yaml", {"policy.yaml": f"policy: {words}\n", "lists/ä.txt": f"{words}\n# ünïcode ✓\n"})


A, B, C = (a_bundle(words) for words in ("first", "second", "third"))


@pytest.fixture(params=["memory", pytest.param("postgresql", marks=pytest.mark.integration)])
def policies(request: pytest.FixtureRequest) -> Iterator[Policies]:
    if request.param == "memory":
        made: Policies = MemoryPolicies()
        keep_all(made)
        yield made
        return
    database = Database(request.getfixturevalue("database_url"))
    with emptied(database).transaction() as connection:
        connection.execute(tenants.insert().values(id="acme", name="Acme"))
    made = SqlPolicies(database)
    keep_all(made)
    yield made
    database.close()


def keep_all(policies: Policies) -> None:
    for bundle in (A, B, C, A):
        policies.keep(bundle, "test")


def publish(policies: Policies, bundle: Bundle, tenant: str | None = None, **changes: Any) -> int:
    return policies.publish_alone(Draft(bundle.version, tenant, ADA, **changes), WHY).number


def live(policies: Policies, tenant: str = "acme") -> str | None:
    found = policies.live().for_tenant(tenant)
    return found and found.version


def test_a_version_comes_back_whole(policies: Policies) -> None:
    assert policies.bundle(A.version) == A
    assert policies.bundle(A.version).version == A.version
    assert policies.find(A.version[:8]) == A.version


@pytest.mark.parametrize("wrong", ["", "abc", "%%%%%%%%", "0" * 64, "\0" * 9])
def test_versions_that_are_none_are_not_found(policies: Policies, wrong: str) -> None:
    with pytest.raises(NotFound):
        policies.find(wrong)


def test_nothing_is_live_at_first(policies: Policies) -> None:
    assert (policies.latest(), live(policies), policies.publications()) == (0, None, [])


def test_a_second_person_puts_a_proposal_live(policies: Policies) -> None:
    proposal = policies.propose(Draft(A.version, None, ADA, "For autumn."))
    assert live(policies) is None
    assert [one.id for one in policies.proposals()] == [proposal.id]
    published = policies.approve(proposal.id, BEA)
    assert (live(policies), policies.latest()) == (A.version, published.number)
    assert (published.author, published.second, published.note) == (ADA, BEA, "For autumn.")
    assert policies.proposals() == []


@pytest.mark.parametrize("author", [ADA, Person("3", " ada ")])
def test_nobody_approves_what_they_wrote(policies: Policies, author: Person) -> None:
    proposal = policies.propose(Draft(A.version, None, ADA))
    with pytest.raises(Forbidden, match="second person"):
        policies.approve(proposal.id, author)
    assert live(policies) is None


def test_two_accounts_are_two_people_whatever_they_are_called(policies: Policies) -> None:
    author, namesake = (Person(f"person:{number}", "Ada", account=True) for number in (1, 2))
    proposal = policies.propose(Draft(A.version, None, author))
    with pytest.raises(Forbidden, match="second person"):
        policies.approve(proposal.id, Person("person:1", "Ada, renamed", account=True))
    published = policies.approve(proposal.id, namesake)
    assert (published.author, published.second) == (author, namesake)


def test_a_proposal_is_approved_once(policies: Policies) -> None:
    proposal = policies.propose(Draft(A.version, None, ADA))
    policies.approve(proposal.id, BEA)
    with pytest.raises(InputRejected, match="approved before"):
        policies.approve(proposal.id, BEA)


def test_a_proposal_is_out_of_date_when_something_else_went_live(policies: Policies) -> None:
    proposal = policies.propose(Draft(A.version, None, ADA))
    publish(policies, B)
    with pytest.raises(InputRejected, match="publish again"):
        policies.approve(proposal.id, BEA)
    assert live(policies) == B.version


@pytest.mark.parametrize("reason", [None, "", "  because  "])
def test_alone_needs_a_reason(policies: Policies, reason: str | None) -> None:
    with pytest.raises(InputRejected, match="second person"):
        policies.publish_alone(Draft(A.version, None, ADA), reason)


def test_what_is_live_is_not_published_again(policies: Policies) -> None:
    publish(policies, A)
    for again in (lambda: publish(policies, A), lambda: policies.propose(Draft(A.version, None, BEA))):
        with pytest.raises(InputRejected, match="live here already"):
            again()


def test_a_tenant_of_its_own_mind(policies: Policies) -> None:
    publish(policies, A)
    publish(policies, B, "acme")
    assert (live(policies), live(policies, "other")) == (B.version, A.version)
    policies.roll_back("acme", ADA, WHY, None)
    assert (live(policies), live(policies, "other")) == (A.version, A.version)


def test_no_policy_for_a_tenant_that_is_not_there(policies: Policies) -> None:
    with pytest.raises(NotFound):
        publish(policies, A, "nobody")
    with pytest.raises(NotFound):
        policies.propose(Draft(A.version, "nobody", ADA))


def test_rolling_back_goes_one_step_each_time_down_to_what_is_shipped(policies: Policies) -> None:
    for bundle in (A, B, C):
        publish(policies, bundle)
    seen = []
    for _ in range(3):
        policies.roll_back(None, BEA, WHY, None)
        seen.append(live(policies))
    assert seen == [B.version, A.version, None]
    with pytest.raises(InputRejected, match="nothing was published before"):
        policies.roll_back(None, BEA, WHY, None)


def test_what_was_rolled_back_is_not_what_was_before(policies: Policies) -> None:
    """A, then B, back to A, then C: back from C is A again, not B."""
    publish(policies, A)
    publish(policies, B)
    policies.roll_back(None, ADA, WHY, None)
    publish(policies, C)
    policies.roll_back(None, ADA, WHY, None)
    assert live(policies) == A.version


def test_rolling_back_to_a_number_a_version_or_what_is_shipped(policies: Policies) -> None:
    first = publish(policies, A)
    publish(policies, B)
    publish(policies, C)
    policies.roll_back(None, ADA, WHY, str(first))
    assert live(policies) == A.version
    policies.roll_back(None, ADA, WHY, B.version[:10])
    assert live(policies) == B.version
    policies.roll_back(None, ADA, WHY, "shipped")
    assert live(policies) is None


def test_rolling_back_to_what_never_was_live(policies: Policies) -> None:
    with pytest.raises(InputRejected, match="nothing to roll back"):
        policies.roll_back(None, ADA, WHY, None)
    publish(policies, A)
    for wanted in (B.version, "99", "x"):
        with pytest.raises(InputRejected, match="never live here"):
            policies.roll_back(None, ADA, WHY, wanted)
    with pytest.raises(InputRejected, match="live already"):
        policies.roll_back(None, ADA, WHY, A.version)


def test_history_keeps_everything(policies: Policies) -> None:
    publish(policies, A)
    publish(policies, B, "acme")
    policies.roll_back(None, BEA, WHY, "shipped")
    assert [(one.kind, one.version, one.tenant) for one in policies.publications()] == [
        ("rollback", None, None),
        ("publish", B.version, "acme"),
        ("publish", A.version, None),
    ]
    assert [one.number for one in policies.history("acme")] == [2]
    assert policies.publications()[0].author == BEA


def test_what_shall_be_judged_again_goes_with_the_proposal(policies: Policies) -> None:
    scope = Scope(tenants=("acme",), rule="goods.weapon")
    proposal = policies.propose(Draft(A.version, None, ADA, redecide=scope))
    assert policies.proposal(proposal.id).draft.redecide == scope
    assert policies.approve(proposal.id, BEA).version == A.version
