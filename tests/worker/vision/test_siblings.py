"""Siblings: which names speak for a phrase, and files of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.training.synth.vocabulary import classes
from worker.vision.siblings import bare_phrase, read_siblings, shipped_siblings, siblings_from

NAMES = siblings_from({"weapons": ["dagger", "toy gun", "gun"], "footwear": ["sneaker", "dress shoe"]})


@pytest.mark.parametrize(
    ("phrase", "bare"),
    [("A red Mug", "red mug"), ("the <image> dagger", "dagger"), ("a", "a"), ("an  apple", "apple"), ("<x>", "")],
)
def test_a_phrase_is_bared_to_what_a_detector_would_write(phrase: str, bare: str) -> None:
    assert bare_phrase(phrase) == bare


@pytest.mark.parametrize(
    ("phrase", "for_it"),
    [
        ("dagger", {"dagger"}),
        ("red sneaker", {"red sneaker", "sneaker"}),
        ("shoe", {"shoe", "dress shoe"}),
        ("weapons", {"weapons", "dagger", "toy gun", "gun"}),
        ("gun", {"gun"}),
        ("toy gun", {"toy gun"}),
        ("kettle", {"kettle"}),
    ],
)
def test_names_of_the_same_kind_speak_for_a_phrase_and_mimics_do_not(phrase: str, for_it: set[str]) -> None:
    answers, speaking = NAMES.of(phrase)
    assert speaking == for_it
    assert speaking <= set(answers) and set(NAMES.names) <= set(answers)
    assert len(answers) == len(set(answers))


def test_a_file_of_names_is_read_and_its_digest_tells_it_from_others(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text("# goods\nweapons: dagger, toy gun, gun  # not all\n\nfootwear: sneaker, dress  shoe\n")
    assert read_siblings(file) == NAMES
    assert read_siblings(file).digest == NAMES.digest != shipped_siblings().digest


@pytest.mark.parametrize("text", ["just words\n", "", "a: x, x\n", "a: x,\n"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "names.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"line 1|names|twice"):
        read_siblings(file)


def test_the_shipped_names_are_those_of_the_shipped_weights() -> None:
    assert set(shipped_siblings().names) >= {kind.name for kind in classes()}
