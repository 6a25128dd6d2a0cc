"""Judging a published photo again, from what was seen in it: after a new policy, or when a rule's date has passed.

Safe to run twice: a photo whose decision stays the same is not touched, and one that was submitted or judged anew in
the meantime is left to whoever did that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import uuid4

from domain.opinions import opinions_in
from domain.ports import Artifacts, Clock, DecidedPhoto, DecidedPhotos, Judge
from domain.records import fold
from domain.weighing import weigh


@dataclass(frozen=True, slots=True)
class RedecideTools:
    photos: DecidedPhotos
    artifacts: Artifacts
    judge: Judge
    clock: Clock


class Outcome(StrEnum):
    SAME = "same"
    CHANGED = "changed"
    MOVED_ON = "moved_on"  # another submission or decision came in between
    KEPT = "kept"  # a person has decided, and a machine never reverses that


def redecide(decided: DecidedPhoto, tools: RedecideTools) -> Outcome:
    """Judge one photo again; where the decision changed, write it as publishing does. Raises Unavailable."""
    judged = tools.judge.decide(decided.job, decided.photo, decided.seen, tools.clock.now(), decided.plan_digest)
    # A second opinion that was heard counts again; nobody is asked anew, however many photos are judged.
    decision = weigh(judged, opinions_in(decided.decision.receipt))
    if decision.same_effect(decided.decision):
        return Outcome.SAME
    with tools.photos.open_decided(decided) as product:
        entry = product.current()
        if entry is None:
            return Outcome.MOVED_ON
        if product.held_by_person():
            return Outcome.KEPT
        decision_id = str(uuid4())
        anew = replace(entry, decision_id=decision_id, channels=decision.channels)
        job = decided.job
        photos, said = [*product.photos, anew], product.corrections
        record = fold(job.tenant, job.product_id, product.revision + 1, photos, said)
        # PUT before commit, under the product's lock: SQL never names an object that is not there.
        key = tools.artifacts.put_record(record.tenant, record.product_id, record.revision, record.as_bytes())
        product.save(record, key, decision_id, decision)
    return Outcome.CHANGED
