"""The story, told on fakes: what each stage does with good input, bad input and outages."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from domain.calibration import Calibration, Curve
from domain.errors import InputRejected, NotFound, Unavailable
from domain.jobs import ImageJob, ImageSource, JobState, SourceKind
from domain.moderation import Decision, Verdict
from domain.observations import Observation, Plan
from domain.photos import DecodedPhoto, StoredPhoto
from tests.factories import a_decision, a_decoded_photo, a_job, a_stored_photo, an_observation
from tests.fakes import (
    FakeDecoder,
    FakeFetcher,
    FakeJudge,
    FakeVision,
    FixedClock,
    MemoryLedger,
    MemoryObservationCache,
)
from tests.fakes_artifacts import MemoryArtifacts
from worker.pipeline import IntakeTools, PublishTools, VisionTools
from worker.stages import Pace, run_intake, run_publish, run_vision

ADDRESS = "https://photos.example/sku-1.jpg"
PACE = Pace(heartbeat_seconds=5, limit_seconds=60, batch_size=4)


class Story:
    """All fakes together, and what the stages woke."""

    def __init__(
        self,
        fetched: bytes | Exception = b"bytes",
        photo: DecodedPhoto | Exception | None = None,
        seen: dict[str, Observation | Exception] | None = None,
        verdict: Verdict = Verdict.APPROVE,
    ) -> None:
        self.ledger = MemoryLedger()
        self.artifacts = MemoryArtifacts()
        self.woken: list[str] = []
        self.intake = IntakeTools(
            self.ledger, FakeFetcher({ADDRESS: fetched}), FakeDecoder(photo or a_decoded_photo()), self.artifacts, 2
        )
        self.model = FakeVision(seen or {"a" * 64: an_observation()})
        self.cache = MemoryObservationCache()
        self.vision = VisionTools(self.ledger, self.artifacts, self.model, Plan(), self.cache)
        self.publish = PublishTools(self.ledger, self.artifacts, FakeJudge(a_decision(verdict)), FixedClock())

    def accept(self, **changes: Any) -> str:
        return self.ledger.accept(a_job(image=ImageSource(SourceKind.URL, ADDRESS), **changes), "digest").job_id

    def run(self) -> None:
        while (
            run_intake(self.intake, PACE, self.woken.append)
            + run_vision(self.vision, PACE, self.woken.append)
            + run_publish(self.publish, PACE, self.woken.append)
        ):
            pass

    def state(self, job_id: str) -> JobState:
        return self.ledger.rows[job_id].state


def test_a_photo_goes_all_the_way() -> None:
    story = Story()
    job_id = story.accept()
    story.run()
    assert story.state(job_id) is JobState.DONE
    (product,) = story.ledger.products.values()
    assert product.record is not None
    assert product.record.fields["caption"]["value"] == "a red sneaker"
    stored = json.loads(story.artifacts.get("acme/records/sku-1/1.json"))
    assert stored == product.record.as_json()


def test_a_record_has_calibrated_scores_and_the_judge_sees_them() -> None:
    story = Story()
    story.model.calibration = Calibration("v1", {"od": Curve(((0.0, 0.0), (1.0, 0.5)))})
    judged: list[float | None] = []

    class Judge(FakeJudge):
        def decide(
            self, job: ImageJob, photo: StoredPhoto, seen: Observation, at: datetime, plan: str | None = None
        ) -> Decision:
            judged.extend(item.score for item in seen.objects)
            return super().decide(job, photo, seen, at, plan)

    story.publish = replace(story.publish, judge=Judge(a_decision()))
    story.accept()
    story.run()
    (product,) = story.ledger.products.values()
    assert product.record is not None
    assert [tag["score"] for tag in product.record.fields["tags"]] == judged == [0.45]


def test_each_stage_wakes_the_next_and_itself() -> None:
    story = Story()
    story.accept()
    story.run()
    assert story.woken == ["vision", "intake", "publish", "vision", "deliver", "publish"]


def test_a_broker_that_is_away_does_not_stop_a_stage() -> None:
    story = Story()
    job_id = story.accept()

    def wake(stage: str) -> None:
        raise Unavailable("the broker", "away")

    assert run_intake(story.intake, PACE, wake) == 1
    assert story.state(job_id) is JobState.READY


@pytest.mark.parametrize("at", ["fetch", "decode"])
def test_unusable_input_ends_as_a_recorded_rejection(at: str) -> None:
    why = InputRejected("not_an_image", "Send a JPEG, PNG, WebP or GIF.")
    story = Story(fetched=why) if at == "fetch" else Story(photo=why)
    job_id = story.accept()
    story.run()
    row = story.ledger.rows[job_id]
    assert (row.state, row.code, row.message) == (JobState.REJECTED, why.code, why.message)


def test_an_address_that_never_answers_ends_as_a_rejection_after_its_tries() -> None:
    story = Story(fetched=Unavailable("photos.example", "timed out"))
    job_id = story.accept()
    story.run()
    assert story.state(job_id) is JobState.RECEIVED
    time.sleep(1.1)
    story.run()
    row = story.ledger.rows[job_id]
    assert (row.state, row.code) == (JobState.REJECTED, "url_unreachable")
    assert "2 tries" in (row.message or "")


@pytest.mark.parametrize("photo", [None, InputRejected("corrupt", "Send the photo again.")])
def test_the_bytes_as_received_are_gone_after_intake(photo: InputRejected | None) -> None:
    story = Story(photo=photo)
    key = story.artifacts.put_upload("acme", b"with GPS")
    story.intake = replace(story.intake, fetcher=FakeFetcher({key: b"with GPS"}))
    story.ledger.accept(a_job(image=ImageSource(SourceKind.UPLOAD, key)), "digest")
    run_intake(story.intake, PACE, story.woken.append)
    with pytest.raises(NotFound):
        story.artifacts.get(key)


def test_a_store_that_is_away_puts_the_row_off_without_blame() -> None:
    story = Story()
    job_id = story.accept()
    story.artifacts.away = True
    story.run()
    row = story.ledger.rows[job_id]
    assert (row.state, row.deferrals, row.failures, row.alone) == (JobState.RECEIVED, 1, 0, False)


def test_poison_in_a_batch_is_found_and_its_neighbours_end_well() -> None:
    poison = "b" * 64
    story = Story(seen={"a" * 64: an_observation(), poison: MemoryError("boom")})
    story.ledger.failure_cap = 1
    good = [story.accept(image_id=f"good-{number}") for number in range(3)]
    while run_intake(story.intake, PACE, story.woken.append):
        pass
    bad = story.accept(image_id="bad")
    (row,) = story.ledger.lease(JobState.RECEIVED, 1)
    copy = story.artifacts.put_blob("acme", b"copy", "image/jpeg")
    story.ledger.ready(row.lease, a_stored_photo(sha256=poison, model_copy_key=copy))
    story.run()
    time.sleep(1.1)
    story.run()
    assert story.state(bad) is JobState.QUARANTINED
    assert [story.state(job_id) for job_id in good] == [JobState.DONE] * 3


def test_an_unexpected_error_while_publishing_keeps_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    job_id = story.accept()
    run_intake(story.intake, PACE, story.woken.append)
    run_vision(story.vision, PACE, story.woken.append)
    monkeypatch.setattr(story.artifacts, "put_record", _explode)
    run_publish(story.publish, PACE, story.woken.append)
    row = story.ledger.rows[job_id]
    assert (row.state, row.failures, row.token) == (JobState.OBSERVED, 1, None)
    with pytest.raises(NotFound):
        story.artifacts.get("acme/records/sku-1/1.json")


def _explode(*_: object) -> str:
    raise RuntimeError("boom")
