"""The report: hostile words stay words, missing photos leave it useful, pictures show the region that decided."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from domain.moderation import Decision, Finding, Verdict
from tests.factories import a_job, a_stored_photo, an_observation
from tests.fakes_artifacts import MemoryArtifacts
from tests.worker.backtest.builders import AT, MemoryReader, a_policy, a_rule, labelled, past_of
from worker.backtest.document import backtest_frame, document
from worker.backtest.figures import Tally
from worker.backtest.gallery import Shown, explain_shadow, gather
from worker.backtest.report import write_report
from worker.backtest.reviews import ReviewCost
from worker.backtest.work import Backtest, Current, PolicyText
from worker.drawing import FINDING_COLOUR
from worker.storage.history import PastDecision, Seen, Selection

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)> \u202egpj.evil'


@pytest.fixture
def photos() -> MemoryArtifacts:
    store = MemoryArtifacts()
    picture = io.BytesIO()
    Image.new("RGB", (640, 480), "white").save(picture, "JPEG")
    store.objects["acme/blobs/copy"] = picture.getvalue()
    return store


@pytest.fixture
def backtested(tmp_path: Path) -> tuple[dict[str, Any], dict[str, Shown]]:
    """A candidate that looks at lines of text, on a photo whose text is hostile."""
    live = PolicyText.read(a_policy(tmp_path / "live", a_rule("knife", labelled("knife"))))
    knife, written = a_rule("knife", labelled("knife")), a_rule("written", "text")
    candidate = PolicyText.read(a_policy(tmp_path / "new", knife, written))
    job = a_job(title=HOSTILE, product_id=HOSTILE, channels=("own_shop", "ebay"))
    past, seen = past_of(live.loaded, 1, job, an_observation(lines=(HOSTILE,), objects=(("knife", 0.9),)))
    work, reader, tally = Backtest(Current(live), candidate, AT), MemoryReader([(past, seen)]), Tally()
    judge = work.judge()
    judge.count([past], reader, tally)  # type: ignore[arg-type]
    figures = document(tally, backtest_frame(work, Selection(), ReviewCost(30)), judge.of)
    samples = gather(reader, [past.id], judge.of("acme").explain)  # type: ignore[arg-type]
    return figures | {"samples": {id: one.as_json() for id, one in samples.items()}}, samples


def test_nothing_hostile_becomes_markup(
    tmp_path: Path, backtested: tuple[dict[str, Any], dict[str, Shown]], photos: MemoryArtifacts
) -> None:
    page = write_report(tmp_path / "report", *backtested, photos).read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page.lower()
    assert set(re.findall(r"<img src=\"([^\"]*)\"", page)) == set(re.findall(r"pictures/[0-9a-f]{20}\.jpg", page))
    assert not re.search(r"<[^>]*onerror", page)
    assert "\u202e" not in page
    assert not re.search(r"(src|href)=\"(?!pictures/)", page)


def test_pictures_show_the_region_after_and_not_before(
    tmp_path: Path, backtested: tuple[dict[str, Any], dict[str, Shown]], photos: MemoryArtifacts
) -> None:
    page = write_report(tmp_path / "report", *backtested, photos)
    before, after = re.findall(r"<img src=\"([^\"]*)\"", page.read_text())[:2]
    reds = [count_of(FINDING_COLOUR, page.parent / name) for name in (before, after)]
    assert 0 < reds[0] < reds[1]


def count_of(colour: tuple[int, int, int], path: Path) -> int:
    """Pixels near this colour."""
    with Image.open(path) as picture:
        pixels = picture.convert("RGB").tobytes()
    triples = zip(pixels[0::3], pixels[1::3], pixels[2::3], strict=True)
    return sum(all(abs(a - b) < 60 for a, b in zip(pixel, colour, strict=True)) for pixel in triples)


@pytest.mark.parametrize(
    ("spoil", "note"),
    [
        (lambda store: store.objects.clear(), "not stored any more"),
        (lambda store: store.objects.update({"acme/blobs/copy": b"no picture"}), "cannot be decoded"),
        (lambda store: setattr(store, "away", True), "could not be read"),
    ],
)
def test_a_missing_photo_leaves_the_regions_on_an_empty_frame(
    tmp_path: Path,
    backtested: tuple[dict[str, Any], dict[str, Shown]],
    photos: MemoryArtifacts,
    spoil: Any,
    note: str,
) -> None:
    spoil(photos)
    page = write_report(tmp_path / "report", *backtested, photos)
    text = page.read_text()
    assert note in text
    names = set(re.findall(r"pictures/[0-9a-f]{20}\.jpg", text))
    assert names
    assert all((page.parent / name).exists() for name in names)
    assert any(count_of(FINDING_COLOUR, page.parent / name) for name in names)


def test_writing_again_leaves_no_old_pictures(
    tmp_path: Path, backtested: tuple[dict[str, Any], dict[str, Shown]], photos: MemoryArtifacts
) -> None:
    folder = tmp_path / "report"
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "old.jpg").write_bytes(b"")
    first = write_report(folder, *backtested, photos).read_bytes()
    assert not (folder / "pictures" / "old.jpg").exists()
    assert write_report(folder, *backtested, photos).read_bytes() == first
    assert not list(folder.glob("*.part"))


def test_samples_say_both_verdicts_with_their_causes(backtested: tuple[dict[str, Any], dict[str, Shown]]) -> None:
    (sample,) = backtested[0]["samples"].values()
    assert sample["before"]["verdict"] == sample["after"]["verdict"] == "review"
    assert [cause["rule"] for cause in sample["after"]["causes"]] == ["knife", "written"]
    assert sample["after"]["causes"][0]["channels"] == ["ebay", "own_shop"]
    assert sample["after"]["causes"][0]["evidence"] == ["object, label knife, score 0.9, share_of_picture 0.333"]


def test_a_shadow_sample_shows_the_shadow_rule_as_if_live() -> None:
    def finding(rule: str, shadow: bool) -> Finding:
        return Finding(rule, 1, "CODE", 4, Verdict.REVIEW, "own_shop", "Look.", ({"kind": "note"},), shadow)

    decided = Decision({"own_shop": Verdict.APPROVE}, (finding("tried", True), finding("other", True)))
    past = PastDecision(
        "1",
        "1",
        "acme",
        "p",
        "i",
        {"own_shop": "approve"},
        decided.as_json()["findings"],
        None,
        None,
        frozenset(),
        {},
        "",
    )
    seen = Seen(a_job(), a_stored_photo(), an_observation())
    before, after = explain_shadow(["tried"], [])(past, seen)
    assert (before.verdict, before.findings) == (Verdict.APPROVE, ())
    assert after.verdict is Verdict.REVIEW
    assert [one.rule for one in after.findings] == ["tried"]
