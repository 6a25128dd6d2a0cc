"""Judging a published photo again, on fakes: what changes, what stays, what is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from domain.corrections import Standing
from domain.errors import Unavailable
from domain.moderation import Decision, Finding, Verdict
from domain.ports import DecidedPhoto
from domain.records import PhotoEntry, ProductRecord
from tests.factories import a_decision, a_job, a_stored_photo, an_observation
from tests.fakes import FakeJudge, FixedClock
from tests.fakes_artifacts import MemoryArtifacts
from worker.redeciding import Outcome, RedecideTools, redecide


def an_entry(**changes: Any) -> PhotoEntry:
    values: dict[str, Any] = {
        "image_id": "front",
        "job_id": "job",
        "version": 1,
        "sha256": "a" * 64,
        "width": 64,
        "height": 48,
        "original_key": "original",
        "model_copy_key": "copy",
        "engine": {},
        "fields": {"caption": {"value": "a red sneaker", "source": "model", "score": 0.8}},
        "decision_id": "first",
        "channels": {"own_shop": Verdict.APPROVE},
    }
    return PhotoEntry(**values | changes)


@dataclass
class Product:
    """domain.ports.DecidedPhotos and ProductRedecision of one product."""

    entry: PhotoEntry | None = field(default_factory=an_entry)
    person: bool = False
    revision: int = 1
    photos: list[PhotoEntry] = field(default_factory=list)
    corrections: list[Standing] = field(default_factory=list)
    saved: list[tuple[ProductRecord, str, str, Decision]] = field(default_factory=list)

    @contextmanager
    def open_decided(self, decided: DecidedPhoto) -> Iterator[Product]:
        yield self

    def current(self) -> PhotoEntry | None:
        return self.entry

    def held_by_person(self) -> bool:
        return self.person

    def save(self, record: ProductRecord, record_key: str, decision_id: str, decision: Decision) -> None:
        self.saved.append((record, record_key, decision_id, decision))


BEFORE = a_decision(Verdict.APPROVE)
DECIDED = DecidedPhoto("job", a_job(), a_stored_photo(), an_observation(), "plan", "first", BEFORE)


def again(product: Product, decision: Decision, artifacts: MemoryArtifacts | None = None) -> Outcome:
    tools = RedecideTools(product, artifacts or MemoryArtifacts(), FakeJudge(decision), FixedClock())
    return redecide(DECIDED, tools)


def test_a_decision_that_changed_is_written_with_a_new_revision() -> None:
    product, artifacts = Product(photos=[an_entry(image_id="back", job_id="other")]), MemoryArtifacts()
    assert again(product, a_decision(Verdict.REJECT), artifacts) is Outcome.CHANGED
    ((record, key, decision_id, decision),) = product.saved
    assert (record.revision, record.verdict, decision.verdict) == (2, Verdict.REJECT, Verdict.REJECT)
    front = next(photo for photo in record.photos if photo.image_id == "front")
    assert front.decision_id == decision_id != "first"
    assert front.fields == an_entry().fields, "what was seen stays"
    assert json.loads(artifacts.get(key)) == record.as_json()


def a_finding(**changes: Any) -> Finding:
    return replace(Finding("r", 1, "CODE", 4, Verdict.APPROVE, "own_shop", "Look.", ({"kind": "text"},)), **changes)


@pytest.mark.parametrize(
    "decision",
    [
        replace(BEFORE, receipt={"policy": "another"}),
        replace(BEFORE, findings=(a_finding(shadow=True, action=Verdict.REJECT),)),
    ],
)
def test_what_nobody_would_notice_is_no_change(decision: Decision) -> None:
    product = Product()
    assert again(product, decision) is Outcome.SAME
    assert product.saved == []


def test_a_rules_version_alone_is_no_change_but_its_words_are() -> None:
    before = replace(BEFORE, findings=(a_finding(),))
    assert replace(BEFORE, findings=(a_finding(rule_version=2),)).same_effect(before)
    assert not replace(BEFORE, findings=(a_finding(message="Look again."),)).same_effect(before)
    assert not replace(BEFORE, findings=(a_finding(evidence=({"kind": "x"},)),)).same_effect(before)
    assert not BEFORE.same_effect(before)


def test_another_submission_or_a_person_in_between_wins() -> None:
    gone, decided = Product(entry=None), Product(person=True)
    assert again(gone, a_decision(Verdict.REJECT)) is Outcome.MOVED_ON
    assert again(decided, a_decision(Verdict.REJECT)) is Outcome.KEPT
    assert gone.saved == decided.saved == []


def test_a_store_that_is_away_saves_nothing() -> None:
    product, artifacts = Product(), MemoryArtifacts()
    artifacts.away = True
    with pytest.raises(Unavailable):
        again(product, a_decision(Verdict.REJECT), artifacts)
    assert product.saved == []
