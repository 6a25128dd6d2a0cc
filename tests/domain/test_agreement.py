"""Lines that two readers agree on: the same letters at the same place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.agreement import agreed_lines, letters, overlap
from domain.observations import Quad, TextLine


def at(left: float, top: float, width: float = 100, height: float = 20) -> Quad:
    right, bottom = left + width, top + height
    return (left, top, right, top, right, bottom, left, bottom)


def line(text: str, left: float = 0, top: float = 0, score: float | None = 0.5) -> TextLine:
    return TextLine(text, at(left, top), score)


def test_case_spaces_and_punctuation_do_not_matter() -> None:
    first, second = line("Summer Sale: 50 %", score=0.9), line("SUMMERSALE 50%", 4, 3, score=0.6)
    assert agreed_lines([first], [second]) == (TextLine(first.text, first.quad, 0.6),)


def test_other_letters_or_another_place_are_no_agreement() -> None:
    assert agreed_lines([line("SALE")], [line("SALT")]) == ()
    assert agreed_lines([line("SALE")], [line("SALE", 0, 15)]) == ()
    assert agreed_lines([line("SALE")], []) == ()


def test_a_tight_outline_inside_a_loose_one_is_the_same_place() -> None:
    tight = TextLine("SALE", at(30, 5, 20, 6), 0.8)
    assert agreed_lines([line("SALE")], [tight]) == (line("SALE"),)
    assert overlap(at(0, 0), tight.quad) == 1.0


def test_a_line_agrees_with_one_line_only() -> None:
    twice = [line("SALE", score=None), line("SALE", 2, 2, score=None)]
    assert agreed_lines(twice, [line("SALE", 1, 1, score=0.4)]) == (TextLine("SALE", at(0, 0), 0.4),)
    assert len(agreed_lines(twice, twice)) == 2


def test_the_nearest_of_equal_words_is_taken() -> None:
    far, near = line("SALE", 60, 0, score=0.1), line("SALE", 5, 0, score=0.3)
    assert agreed_lines([line("SALE")], [far, near])[0].score == 0.3


def test_lines_without_letters_or_without_area_agree_with_nothing() -> None:
    flat = TextLine("SALE", (0, 0, 9, 0, 9, 0, 0, 0), 0.9)
    assert agreed_lines([line("— ! —")], [line("— ! —")]) == ()
    assert agreed_lines([flat], [flat]) == ()


def test_compatibility_forms_are_one_letter() -> None:
    assert letters("ＳＡＬＥ ５０％") == letters("sale 50%") == "sale50"


texts = st.sampled_from(["SALE", "sale", "50 %", "!", ""])
lines = st.lists(st.builds(line, texts, st.integers(0, 90), st.integers(0, 90)), max_size=5)


@given(lines, lines)
def test_agreement_is_a_part_of_what_the_first_read(first: list[TextLine], second: list[TextLine]) -> None:
    agreed = agreed_lines(first, second)
    assert len(agreed) <= min(len(first), len(second))
    places = [(one.text, one.quad) for one in first]
    assert all((one.text, one.quad) in places for one in agreed)
    assert all(letters(one.text) in {letters(other.text) for other in second} for one in agreed)
