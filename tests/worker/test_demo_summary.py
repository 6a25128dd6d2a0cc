"""What the demonstration counts and shows, without running it."""

from __future__ import annotations

from pathlib import Path

from worker.cli.demo import SAMPLES, find_samples, job_line, summarise


def a_line(state: str, verdict: str | None = None) -> dict[str, object]:
    return {"state": state, "verdict": verdict}


def test_the_summary_counts_states_and_verdicts() -> None:
    lines = [a_line("DONE", "approve"), a_line("DONE", "reject"), a_line("REJECTED"), a_line("QUARANTINED")]
    summary = summarise(lines, 12.34)
    assert {name: summary[name] for name in ("jobs", "done", "rejected", "quarantined", "superseded", "lost")} == {
        "jobs": 4,
        "done": 2,
        "rejected": 1,
        "quarantined": 1,
        "superseded": 0,
        "lost": 0,
    }
    assert summary["verdicts"] == {"approve": 1, "review": 0, "reject": 1}
    assert summary["seconds"] == 12.3


def test_a_job_that_did_not_end_is_lost() -> None:
    assert summarise([a_line("READY"), a_line("DONE", "approve")], 1)["lost"] == 1


def test_a_line_of_a_rejected_job_has_its_reason() -> None:
    job = {
        "product_id": "p",
        "image_id": "i",
        "job_id": "j",
        "state": "REJECTED",
        "decision": None,
        "observation": None,
        "rejection": {"code": "not_an_image", "message": "Send a JPEG."},
    }
    line = job_line("a.jpg", job)
    assert (line["verdict"], line["caption"], line["text"]) == (None, None, "")
    assert line["rejection"] == job["rejection"]


def test_a_folder_without_a_listing_gives_all_pictures_below_it(tmp_path: Path) -> None:
    (tmp_path / "shoes").mkdir()
    for name in ("shoes/b.JPG", "a.png", "readme.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [sample.name for sample in find_samples(tmp_path)] == ["a.png", "shoes/b.JPG"]


def test_the_shipped_samples_are_there_and_described() -> None:
    samples = list(find_samples(SAMPLES))
    assert len(samples) >= 24
    assert len({sample.job["product_id"] for sample in samples}) == len(samples)
    for sample in samples:
        assert sample.file.stat().st_size > 1000
        assert sample.job["title"]
