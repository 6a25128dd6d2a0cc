"""The results in a model card are the measured ones, and nothing else of the card is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.bench.card import BEGIN, END, rewrite, table

FIGURES: dict[str, Any] = {
    "model": "shelf-tiny@0123",
    "seed": 7,
    "fonts": 3,
    "scenes": {"caption_objects": 0.912, "counted": {"caption_objects": 400}},
    "footprint": {"load_seconds": 0.5, "eight_tasks_seconds": 0.4, "resident_mb": 800},
}


def test_a_measured_figure_stands_beside_its_target_and_how_many_were_counted() -> None:
    assert "| 0.912 | 400 | 0.92 |" in table(FIGURES)


def test_what_was_not_measured_is_not_in_the_card() -> None:
    assert "OpenMoji" not in table(FIGURES)


def test_only_the_results_are_written_anew(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    rewrite(card, FIGURES)
    text = card.read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n")
    assert "old" not in text and "0.912" in text
    rewrite(card, FIGURES)
    assert card.read_text() == text


def test_a_card_without_a_place_for_results_is_not_touched(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("no marks\n")
    with pytest.raises(ValueError, match="results"):
        rewrite(card, FIGURES)
    assert card.read_text() == "no marks\n"
