"""A photo through the vision stage and the rules, its text read by the model, a second reader, or both. On fakes."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from domain.errors import Unavailable
from domain.jobs import JobState
from domain.moderation import Verdict
from domain.observations import Observation, Plan, Task, TextReaders
from tests.factories import a_job, a_stored_photo
from tests.fakes import FixedClock, MemoryLedger, MemoryObservationCache
from tests.fakes_artifacts import MemoryArtifacts
from tests.fakes_reading import FakeModel, FakeReader
from worker.pipeline import PublishTools, VisionTools, plan_digest
from worker.policy.engine import PolicyEngine
from worker.stages import Pace, run_publish, run_vision
from worker.vision.observer import Observer
from worker.vision.reading import Looker, TwoReaders

PACE = Pace(heartbeat_seconds=5, limit_seconds=60, batch_size=4)
PHONE = "CALL +49 30 1234567"


class Stages:
    """Vision and publish with a model that reads one text and a second reader that reads another."""

    def __init__(self, readers: TextReaders, model: str = "SALE", reader: FakeReader | None = None) -> None:
        self.ledger = MemoryLedger()
        self.artifacts = MemoryArtifacts()
        self.model = FakeModel(text=model)
        looker: Looker = self.model
        if readers is not TextReaders.FLORENCE:
            looker = TwoReaders(self.model, reader or FakeReader())
        plan = Plan().read_by(readers)
        self.vision = VisionTools(self.ledger, self.artifacts, Observer(looker), plan, MemoryObservationCache())
        self.publish = PublishTools(self.ledger, self.artifacts, PolicyEngine.load(), FixedClock())

    def photo(self, image_id: str = "front", side: int = 64) -> str:
        """A 100 x 80 photo of one dark block, waiting for the vision stage; `side` of the model copy in pixels."""
        copy = Image.new("RGB", (side, side), "white")
        copy.paste("black", (side // 4, side // 4, side // 2, side // 2))
        data = io.BytesIO()
        copy.save(data, "JPEG", quality=95)
        job = a_job(image_id=image_id, channels=("amazon_main",))
        job_id = self.ledger.accept(job, "digest").job_id
        (row,) = self.ledger.lease(JobState.RECEIVED, 1)
        key = self.artifacts.put_blob(job.tenant, data.getvalue(), "image/jpeg")
        stored = a_stored_photo(sha256=image_id.ljust(64, "0"), model_copy_key=key, width=1000, height=800)
        self.ledger.ready(row.lease, stored)
        return job_id

    def look(self) -> None:
        run_vision(self.vision, PACE, lambda stage: None)

    def seen(self, job_id: str) -> Observation:
        found = self.ledger.rows[job_id].seen
        assert found is not None
        return Observation.from_json(json.loads(json.dumps(found.as_json())))

    def decided(self, job_id: str) -> tuple[Verdict, dict[str, list[dict[str, Any]]]]:
        """The verdict and the evidence by rule."""
        row = self.ledger.rows[job_id]
        assert row.photo is not None and row.seen is not None
        decision = self.publish.judge.decide(row.job, row.photo, row.seen, FixedClock().now())
        return decision.verdict, {one.rule: [dict(item) for item in one.evidence] for one in decision.findings}


def test_the_model_alone_is_asked_for_text_and_nobody_else() -> None:
    stages = Stages(TextReaders.FLORENCE)
    job = stages.photo()
    stages.look()
    seen = stages.seen(job)
    assert (seen.text, seen.text_reader, seen.second_reading, seen.engine.second_reader) == (
        "SALE",
        "florence",
        None,
        None,
    )


def test_a_second_reader_alone_spares_the_model_its_text_task() -> None:
    stages = Stages(TextReaders.RAPIDOCR, reader=FakeReader(PHONE))
    job = stages.photo()
    stages.look()
    seen = stages.seen(job)
    assert stages.model.plans == [(Task.CAPTION, Task.DETAILED_CAPTION, Task.OD)]
    assert (seen.text, seen.text_reader) == (PHONE, "rapidocr")
    verdict, evidence = stages.decided(job)
    assert verdict is Verdict.REJECT, "its words are the plain ones to the rules"
    assert [item["reader"] for item in evidence["contact.in_picture_marketplace"]] == ["rapidocr"]


def test_both_are_kept_apart_in_pixels_of_the_full_size() -> None:
    stages = Stages(TextReaders.BOTH, model="SALE", reader=FakeReader("SALT"))
    job = stages.photo()
    stages.look()
    seen = stages.seen(job)
    (first,), (second,) = seen.lines_by("florence"), seen.lines_by("rapidocr")
    assert (first.text, second.text, first.quad) == ("SALE", "SALT", second.quad)
    assert second.quad == pytest.approx((250, 200, 500, 200, 500, 400, 250, 400), abs=20)
    assert seen.engine.second_reader == "rapidocr 0 r1@fake"


def test_what_only_the_second_reader_saw_goes_to_a_person() -> None:
    stages = Stages(TextReaders.BOTH, reader=FakeReader(PHONE))
    job = stages.photo()
    stages.look()
    verdict, evidence = stages.decided(job)
    assert verdict is Verdict.REVIEW
    (contact,) = evidence["contact.second_reader"]
    assert (contact["contact"], contact["reader"]) == ("phone", "rapidocr") and len(contact["quad"]) == 8


def test_what_both_saw_is_judged_once_by_the_models_word() -> None:
    stages = Stages(TextReaders.BOTH, model=PHONE, reader=FakeReader(PHONE))
    job = stages.photo()
    stages.look()
    verdict, evidence = stages.decided(job)
    assert verdict is Verdict.REJECT and "contact.second_reader" not in evidence
    assert [item["reader"] for item in evidence["contact.in_picture_marketplace"]] == ["florence"]


def test_a_photo_it_cannot_read_goes_to_a_person_and_its_neighbours_are_read() -> None:
    stages = Stages(TextReaders.RAPIDOCR, reader=FakeReader(fails_on=(48, 48)))
    bad, good = stages.photo("bad", side=48), stages.photo("good", side=64)
    stages.look()
    assert (stages.ledger.rows[bad].state, stages.ledger.rows[good].state) == (JobState.OBSERVED, JobState.OBSERVED)
    assert stages.seen(good).text == "SALE"
    verdict, evidence = stages.decided(bad)
    assert verdict is Verdict.REVIEW and "picture.text_incomplete" in evidence
    assert "picture.text_incomplete" not in stages.decided(good)[1]


def test_a_reader_that_is_away_puts_the_photos_off_without_blame() -> None:
    stages = Stages(TextReaders.BOTH, reader=FakeReader(error=Unavailable("the text reader", "out of memory")))
    job = stages.photo()
    stages.look()
    row = stages.ledger.rows[job]
    assert (row.state, row.deferrals, row.failures) == (JobState.READY, 1, 0)


def test_the_record_says_who_read_its_text() -> None:
    stages = Stages(TextReaders.RAPIDOCR)
    stages.photo()
    stages.look()
    run_publish(stages.publish, PACE, lambda stage: None)
    record = stages.ledger.products[("acme", "sku-1")].record
    assert record is not None
    (entry,) = record.photos
    assert entry.engine["second_reader"] == "rapidocr 0 r1@fake"
    assert [(line["value"], line["reader"]) for line in entry.fields["text"]] == [("SALE", "rapidocr")]


@pytest.mark.parametrize("readers", list(TextReaders))
def test_the_same_photo_again_is_read_by_nobody(readers: TextReaders) -> None:
    stages = Stages(readers)
    first = stages.photo()
    stages.look()
    second = stages.photo()
    stages.look()
    assert stages.seen(second) == stages.seen(first)
    assert len(stages.model.plans) == 1


def test_a_reading_that_failed_is_tried_again_when_the_photo_comes_again() -> None:
    reader = FakeReader(fails_on=(64, 64))
    stages = Stages(TextReaders.RAPIDOCR, reader=reader)
    bad = stages.photo()
    stages.look()
    reader.fails_on = None
    good = stages.photo()
    stages.look()
    assert (stages.seen(bad).text, stages.seen(good).text) == ("", "SALE")


def test_it_is_known_beforehand_who_will_have_looked() -> None:
    stages = Stages(TextReaders.BOTH)
    for plan in (Plan(), Plan().read_by(TextReaders.BOTH)):
        copy = io.BytesIO()
        Image.new("RGB", (8, 8)).save(copy, "JPEG")
        (seen,) = stages.vision.vision.observe([(a_stored_photo(), copy.getvalue())], plan)
        assert seen.engine == stages.vision.vision.engine_for(plan)


def test_observations_under_different_readers_are_not_taken_for_each_other() -> None:
    digests = {plan_digest(Plan().read_by(readers)) for readers in TextReaders}
    assert len(digests) == 3
