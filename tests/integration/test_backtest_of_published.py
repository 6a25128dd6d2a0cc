"""A backtest over photos that the story's own last step published, by the shipped rules with all they look up."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from domain.banks import NOTHING_RECALLED, Recalled
from domain.calibration import Calibration, Curve
from domain.jobs import ImageJob
from domain.moderation import CHANNELS
from domain.observations import Task
from domain.photos import StoredPhoto
from tests.integration.policy_site import Site, a_site
from worker.backtest import run
from worker.backtest.reviews import ReviewCost
from worker.backtest.work import Backtest, PolicyText, live_policies
from worker.bench.listings import some_scenes
from worker.policy.engine import PolicyEngine
from worker.policy.loading import STARTER_PACK
from worker.policy.scene_memory import SceneEarlier, SceneKnown, recalled
from worker.storage.database import Database
from worker.storage.history import Selection
from worker.storage.tables import decisions

pytestmark = pytest.mark.integration

STOLEN = "b" * 64
HALVED = Calibration("halved", {Task.OD.value: Curve(((0.0, 0.0), (1.0, 0.5)))})
PHOTOS = 24
AT = datetime.now(UTC)


class Memory:
    """domain.ports.Memory that knows one picture: it is in a bank, and others like it were rejected."""

    def look_up(self, job: ImageJob, photo: StoredPhoto) -> Recalled:
        if photo.sha256 != STOLEN:
            return NOTHING_RECALLED
        return recalled([SceneKnown(bank="stolen")], [SceneEarlier(verdict="reject")])


@pytest.fixture(scope="module")
def site(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Photos of every sort, among them a known one, ones from before inspections, and ones with calibrated scores."""
    shipped = PolicyEngine.load(memory=Memory())
    with a_site(database, tmp_path_factory.mktemp("site"), shipped=shipped) as made:
        for number, scene in enumerate(some_scenes(PHOTOS, seed=3)):
            job, photo, seen = scene.job(), scene.photo(), scene.seen()
            if number == 0:
                photo = dataclasses.replace(photo, sha256=STOLEN)
            if number % 5 == 1:
                photo = dataclasses.replace(photo, inspection=None)
            if number % 3 == 2:
                seen = dataclasses.replace(seen, calibration=HALVED)
            said = {name: getattr(job, name) for name in ("title", "description", "category", "attributes", "locale")}
            made.looked_at(photo, seen, **said, product_id=f"sku-{number}", channels=CHANNELS)
        yield made


def backtested(site: Site, candidate: PolicyText, recompute: bool) -> dict[str, Any]:
    shipped = PolicyText(site.shipped.loaded.bundle)
    current, _ = live_policies(site.store, shipped, [])
    url = site.database.engine.url.render_as_string(hide_password=False)
    work = Backtest(current, candidate, AT, recompute=recompute)
    return run.backtest(url, work, Selection(), ReviewCost(30), 1, lambda done, total: None).document


@pytest.mark.parametrize("recompute", [False, True])
def test_without_a_change_of_rules_nothing_flips(site: Site, recompute: bool) -> None:
    found = backtested(site, PolicyText(site.shipped.loaded.bundle), recompute)
    with site.database.transaction() as connection:
        stored = Counter(connection.execute(select(decisions.c.verdict)).scalars())
    assert found["verdicts"]["before"] == found["verdicts"]["after"]
    assert {name: count for name, count in found["verdicts"]["before"]["photos"].items() if count} == stored
    assert len(stored) > 1
    assert (found["flips"]["decisions"], found["flips"]["photos"]) == (0, 0)
    # Of rules with a date a decision does not tell whether they were asked, so those are asked again, from receipts.
    assert found["coverage"]["judged_from"] == {"observations" if recompute else "receipts": PHOTOS}
    assert all(one["gained"] == one["lost"] == 0 for one in found["rules"])
    known = next(one for one in found["rules"] if one["id"] == "known.blocked")
    assert known["matched_after"] == 1
    assert known["not_observed"] == {"bank_matches": known["errors_after"]}
    assert known["errors_after"] == 5


def test_one_change_flips_what_it_is_about(site: Site) -> None:
    changed = STARTER_PACK.read_text().replace("detected: 0.5", "detected: 0.9")
    assert changed != STARTER_PACK.read_text()
    files = dict(site.shipped.loaded.bundle.files) | {site.shipped.loaded.bundle.entry: changed}
    candidate = PolicyText(dataclasses.replace(site.shipped.loaded.bundle, files=files))
    short, full = (backtested(site, candidate, recompute) for recompute in (False, True))
    assert short["coverage"].pop("judged_from").keys() <= {"findings", "receipts"}
    assert full["coverage"].pop("judged_from") == {"observations": PHOTOS}
    assert short == full
    assert [one["id"] for one in short["rules"] if one["change"] == "changed"]
