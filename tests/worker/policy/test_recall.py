"""Banks and earlier decisions as signals: what matches, when the index is read anew, and receipts that stay true."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from domain.banks import BankEntry, BankKind, EarlierDecision
from domain.errors import Unavailable
from domain.inspection import PerceptualHash
from domain.jobs import ImageJob
from domain.moderation import Verdict
from domain.photos import StoredPhoto
from tests.factories import INSPECTION, a_job, a_stored_photo, an_observation
from tests.worker.policy.conftest import WritePolicy
from worker.policy.engine import PolicyEngine
from worker.policy.hash_index import HashIndex
from worker.policy.loading import load_policy
from worker.policy.recall import CHECK_SECONDS, Recall

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
KNOWN = "0f" * 32  # the hash of the factory's photo


def an_entry(pdq: str = KNOWN, id: str = "e1", kind: BankKind = BankKind.BLOCK, **changes: Any) -> BankEntry:
    values: dict[str, Any] = {"bank": "banned", "threshold": 31, "note": "stolen photo", "source": "case 7"}
    values |= {"added_by": "ann", "added_at": NOON}
    return BankEntry(id=id, kind=kind, pdq=pdq, **values | changes)


def flipped(bits: int) -> str:
    return f"{int(KNOWN, 16) ^ ((1 << bits) - 1):064x}"


class MemoryBanks:
    def __init__(self, *entries: BankEntry) -> None:
        self.number, self.held, self.read = 1, entries, 0
        self.counted: list[Mapping[str, str]] = []
        self.flooded: Sequence[str] = ()

    def version(self) -> str:
        return str(self.number)

    def entries(self) -> tuple[str, Sequence[BankEntry]]:
        self.read += 1
        return str(self.number), self.held

    def count(self, matched: Mapping[str, str]) -> Sequence[str]:
        self.counted.append(matched)
        return self.flooded


class MemoryEarlier:
    def __init__(self, *found: EarlierDecision) -> None:
        self.found = found

    def near(self, job: ImageJob, photo: StoredPhoto) -> Sequence[EarlierDecision]:
        return self.found


class Away(MemoryEarlier):
    def near(self, job: ImageJob, photo: StoredPhoto) -> Sequence[EarlierDecision]:
        raise Unavailable("the database", "away")


def photo_with(pdq: str = KNOWN, quality: int = 100) -> StoredPhoto:
    return a_stored_photo(inspection=dataclasses.replace(INSPECTION, pdq=PerceptualHash(pdq, quality)))


# -- The index ---------------------------------------------------------------------------------------------------------


def test_the_index_finds_what_counting_bits_one_by_one_finds() -> None:
    rng = np.random.default_rng(5)
    near = [flipped(bits) for bits in (0, 1, 30, 31, 32, 90)]
    hashes = [*near, *(rng.bytes(32).hex() for _ in range(500))]
    index = HashIndex([an_entry(pdq, id=str(number)) for number, pdq in enumerate(hashes)])
    query = PerceptualHash(KNOWN, 100)
    found = {(match.entry.id, match.distance) for match in index.near(query, "acme")}
    expected = {(str(number), query.distance(pdq)) for number, pdq in enumerate(hashes) if query.distance(pdq) <= 31}
    assert found == expected
    assert {distance for _, distance in found} == {0, 1, 30, 31}


def test_each_entry_has_its_own_distance_and_a_tenants_bank_is_its_own() -> None:
    index = HashIndex(
        [
            an_entry(flipped(9), id="strict", threshold=8),
            an_entry(flipped(9), id="loose", threshold=9),
            an_entry(flipped(0), id="theirs", tenant="other"),
            an_entry(flipped(0), id="ours", tenant="acme"),
        ]
    )
    found = index.near(PerceptualHash(KNOWN, 100), "acme")
    assert [match.entry.id for match in found] == ["loose", "ours"]


def test_a_hash_without_quality_and_an_empty_bank_match_nothing() -> None:
    assert HashIndex([an_entry()]).near(PerceptualHash(KNOWN, 49), "acme") == []
    assert HashIndex([]).near(PerceptualHash(KNOWN, 100), "acme") == []


# -- Recall ------------------------------------------------------------------------------------------------------------


def test_banks_are_read_anew_only_when_their_version_changed() -> None:
    now = [0.0]
    banks = MemoryBanks(an_entry())
    recall = Recall(banks, MemoryEarlier(), clock=lambda: now[0])
    assert [match.entry.id for match in recall.look_up(a_job(), photo_with()).matches] == ["e1"]
    banks.held = (an_entry(id="e2"),)
    now[0] += 10 * CHECK_SECONDS
    assert recall.look_up(a_job(), photo_with()).matches[0].entry.id == "e1"
    banks.number = 2
    assert recall.look_up(a_job(), photo_with()).bank_version == "1"
    now[0] += CHECK_SECONDS
    found = recall.look_up(a_job(), photo_with())
    assert (found.bank_version, found.matches[0].entry.id, banks.read) == ("2", "e2", 2)


def test_matches_of_blocked_pictures_are_counted_even_where_an_allowed_one_outweighs_them() -> None:
    banks = MemoryBanks(an_entry(flipped(5)), an_entry(id="ok", kind=BankKind.ALLOW, bank="fine"))
    found = Recall(banks, MemoryEarlier()).look_up(a_job(), photo_with())
    assert [match.entry.id for match in found.matches] == ["ok"]
    assert banks.counted == [{"e1": "banned"}]


def test_after_a_flood_the_banks_are_read_at_once() -> None:
    banks = MemoryBanks(an_entry())
    recall = Recall(banks, MemoryEarlier(), clock=lambda: 0.0)
    banks.flooded = ["entry e1: 51 matches in one hour"]
    recall.look_up(a_job(), photo_with())
    banks.number, banks.held = 2, (an_entry(set_aside="flood"),)
    assert recall.look_up(a_job(), photo_with()).matches[0].as_json()["kind"] == "set_aside"
    assert len(banks.counted) == 1


# -- Rules and receipts ------------------------------------------------------------------------------------------------

RULES = """
policy: test
rules:
  - id: picture.banned
    version: 1
    policy_code: PICTURE-BANNED
    severity: 6
    action: reject
    mode: live
    message: This picture is known and may not be used; use one of your own.
    causes: bank_matches.filter(m, m.kind == "block")
    tests:
      - given: {known: [{bank: banned}]}
        expect: match
      - given: {known: [{bank: banned, kind: set_aside}]}
        expect: no_match
  - id: picture.seen_before
    version: 1
    policy_code: PICTURE-SEEN
    severity: 2
    action: review
    mode: live
    message: A picture like this was refused before; a person looks at it.
    causes: near_duplicates.filter(n, n.verdict == "reject" && n.distance <= 10)
    tests:
      - given: {earlier: [{verdict: reject, distance: 4}]}
        expect: match
      - given: {earlier: [{verdict: approve, distance: 4}]}
        expect: no_match
"""
REFUSED = EarlierDecision("j1", "d1", "sku-9", "reject", 4, NOON)


@pytest.fixture
def policy(write: WritePolicy) -> Any:
    return load_policy(write(RULES))


def test_a_known_picture_is_rejected_with_provenance_in_the_evidence(policy: Any) -> None:
    engine = PolicyEngine(policy, Recall(MemoryBanks(an_entry(flipped(3))), MemoryEarlier()))
    decision = engine.decide(a_job(), photo_with(), an_observation(), NOON)
    assert decision.verdict is Verdict.REJECT
    (evidence,) = decision.findings[0].evidence
    assert (evidence["bank"], evidence["entry"], evidence["distance"]) == ("banned", "e1", 3)
    assert (evidence["note"], evidence["source"], evidence["added_by"]) == ("stolen photo", "case 7", "ann")
    assert decision.receipt["banks"] == "1"


def test_the_earlier_decision_is_in_the_receipt_and_judging_again_asks_nobody(policy: Any) -> None:
    engine = PolicyEngine(policy, Recall(MemoryBanks(), MemoryEarlier(REFUSED)))
    decision = engine.decide(a_job(), photo_with(), an_observation(), NOON)
    assert decision.verdict is Verdict.REVIEW
    assert decision.receipt["signals"]["near_duplicates"] == [REFUSED.as_json()]
    forgetful = PolicyEngine(policy, Recall(MemoryBanks(), Away()))
    assert forgetful.again(decision.receipt).as_json() == decision.as_json()


def test_where_memory_is_away_nothing_is_decided(policy: Any) -> None:
    engine = PolicyEngine(policy, Recall(MemoryBanks(), Away()))
    with pytest.raises(Unavailable):
        engine.decide(a_job(), photo_with(), an_observation(), NOON)


def test_a_photo_without_a_hash_goes_to_a_person(policy: Any) -> None:
    engine = PolicyEngine(policy, Recall(MemoryBanks(an_entry()), MemoryEarlier()))
    decision = engine.decide(a_job(), a_stored_photo(inspection=None), an_observation(), NOON)
    assert decision.verdict is Verdict.REVIEW
    assert {finding.policy_code for finding in decision.findings} == {"RULE_ERROR"}
