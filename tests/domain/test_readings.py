"""Two readers of one photo's text: kept apart in the observation, stored and read back, and older ones still read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from domain.enrichment import FieldValue, enrich
from domain.observations import (
    LinesAnswer,
    Observation,
    Plan,
    Reading,
    Task,
    TextAnswer,
    TextLine,
    TextReaders,
)
from tests.factories import a_job, an_engine, an_observation

LINE = TextLine("SALE 50%", (1, 2, 30, 2, 30, 9, 1, 9), 0.75)
OTHER = TextLine("SALE 60%", (1, 2, 31, 2, 31, 9, 1, 9), 0.5)


def seen_by(model: tuple[TextLine, ...] | None, second: Reading | None) -> Observation:
    results = {} if model is None else {Task.OCR_WITH_REGION: LinesAnswer(model)}
    return an_observation(results={Task.CAPTION: TextAnswer("a poster"), **results}, second_reading=second)


def test_each_reader_keeps_its_own_lines() -> None:
    seen = seen_by((LINE,), Reading("rapidocr", (OTHER,)))
    assert (seen.lines_by("florence"), seen.lines_by("rapidocr"), seen.lines_by("nobody")) == ((LINE,), (OTHER,), ())
    assert (seen.text_reader, seen.lines, seen.text, seen.second_lines) == ("florence", (LINE,), "SALE 50%", (OTHER,))


def test_a_second_reader_alone_speaks_in_the_models_place() -> None:
    seen = seen_by(None, Reading("rapidocr", (OTHER,)))
    assert (seen.text_reader, seen.lines, seen.text, seen.second_lines) == ("rapidocr", (OTHER,), "SALE 60%", ())
    assert seen.lines_by("florence") == ()


def test_a_model_that_found_no_text_is_not_overruled() -> None:
    seen = seen_by((), Reading("rapidocr", (OTHER,)))
    assert (seen.text_reader, seen.lines, seen.text, seen.second_lines) == ("florence", (), "", (OTHER,))


def test_the_models_text_without_places_counts_as_its_reading() -> None:
    seen = an_observation(results={Task.OCR: TextAnswer("SALE")}, second_reading=Reading("rapidocr", (OTHER,)))
    assert (seen.text_reader, seen.text, seen.second_lines) == ("florence", "SALE", (OTHER,))


def test_nobody_read_anything() -> None:
    seen = an_observation(results={})
    assert (seen.text_reader, seen.lines, seen.text, seen.second_lines) == ("", (), "", ())


@pytest.mark.parametrize(
    "second", [None, Reading("rapidocr"), Reading("rapidocr", (LINE, OTHER)), Reading("rapidocr", (), "it failed")]
)
def test_an_observation_survives_storage(second: Reading | None) -> None:
    seen = replace(seen_by((LINE,), second), engine=an_engine(second_reader="rapidocr 3 r1@ab"))
    assert Observation.from_json(json.loads(json.dumps(seen.as_json()))) == seen


def test_the_printed_form_of_a_second_reading() -> None:
    printed = seen_by((), Reading("rapidocr", (LINE,))).results_json()["second_reader"]
    assert printed == {
        "name": "rapidocr",
        "lines": [{"text": "SALE 50%", "quad": [1, 2, 30, 2, 30, 9, 1, 9], "score": 0.75}],
    }
    assert "second_reader" not in seen_by((LINE,), None).results_json()


def test_an_observation_from_before_there_was_a_second_reader_still_reads() -> None:
    stored = seen_by((LINE,), None).as_json()
    del stored["engine"]["second_reader"]
    seen = Observation.from_json(stored)
    assert (seen.engine.second_reader, seen.second_reading, seen.lines) == (None, None, (LINE,))


def test_who_reads_decides_the_plan() -> None:
    usual = Plan()
    assert usual.read_by(TextReaders.FLORENCE) == usual
    assert usual.read_by(TextReaders.BOTH) == replace(usual, second_reader=True)
    alone = usual.read_by(TextReaders.RAPIDOCR)
    assert alone.tasks == (Task.CAPTION, Task.DETAILED_CAPTION, Task.OD) and alone.second_reader
    forms = [json.dumps(usual.read_by(readers).as_json()) for readers in TextReaders]
    assert len(set(forms)) == 3, "observations under different readers are not comparable"


def test_a_plan_without_a_second_reader_has_the_form_it_always_had() -> None:
    assert set(Plan().as_json()) == {"tasks", "questions"}


def test_text_in_the_record_names_its_reader() -> None:
    by_model = enrich(a_job(), seen_by((LINE,), Reading("rapidocr", (OTHER,))))
    assert [line.as_json() for line in by_model.text] == [
        {"value": "SALE 50%", "source": "text", "score": 0.75, "reader": "florence"}
    ]
    by_second = enrich(a_job(), seen_by(None, Reading("rapidocr", (OTHER,))))
    assert [(line.value, line.reader) for line in by_second.text] == [("SALE 60%", "rapidocr")]
    assert "reader" not in (by_model.title or by_model.tags[0]).as_json()
    for value in (*by_model.text, by_model.title):
        assert value is not None and FieldValue.from_json(value.as_json()) == value
