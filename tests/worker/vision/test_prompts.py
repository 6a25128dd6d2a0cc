"""Prompts: the processor's own sentences, phrases that cannot smuggle tokens, regions as places."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.observations import INPUT_FREE_TASKS, REGION_INPUT_TASKS, Question, Task
from worker.vision.florence import verify
from worker.vision.pieces import pieces_of
from worker.vision.prompts import SENTENCES, clean_phrase, place_tokens, prompt_for, prompt_for_question
from worker.vision.vocabulary import Vocabulary

# The same examples in every run, however busy the machine.
steady = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def processor(tiny_checkpoint: Path):  # type: ignore[no-untyped-def]  # transformers' processors are untyped
    return verify(tiny_checkpoint).processor


def test_sentences_are_those_of_the_processor(processor) -> None:  # type: ignore[no-untyped-def]
    theirs = processor.task_prompts_without_inputs | processor.task_prompts_with_input
    assert {task.prompt_token: sentence for task, sentence in SENTENCES.items() if task is not Task.VQA} == theirs


@pytest.mark.parametrize("task", INPUT_FREE_TASKS)
def test_tokens_are_those_of_the_processor(processor, task: Task) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image

    words = Vocabulary(processor.tokenizer, processor.num_image_tokens, positions=64)
    theirs = processor(text=task.prompt_token, images=Image.new("RGB", (8, 8)))["input_ids"][0]
    assert words.encode(prompt_for(task).text) == list(theirs)


def test_a_phrase_too_long_for_the_encoder_is_cut(processor) -> None:  # type: ignore[no-untyped-def]
    words = Vocabulary(processor.tokenizer, processor.num_image_tokens, positions=64)
    tokens = words.encode("mug " * 500)
    assert len(tokens) == 64
    assert tokens[-1] == processor.tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("phrase", "clean"),
    [
        ("a red <image> mug", "a red mug"),
        ("<OCR>", ""),
        ("<im<x>age>", ""),
        ("</s>stop<loc_3>", "stop"),
        ("5 < 7", "5 < 7"),
        ("two\nlines\t", "two lines"),
        ("\ud800broken", "broken"),
    ],
)
def test_clean_phrase(phrase: str, clean: str) -> None:
    assert clean_phrase(phrase) == clean


@steady
@given(st.lists(st.sampled_from(["<", ">", "<image>", "<loc_1>", "</s>", "x", " ", "<OCR>"])).map("".join))
def test_no_phrase_holds_a_token(phrase: str) -> None:
    cleaned = clean_phrase(phrase)
    assert "<image>" not in cleaned
    assert all(piece.place < 0 and "</s>" not in piece.text for piece in pieces_of(cleaned))


def test_region_as_places() -> None:
    assert place_tokens((0, 48, 320, 480), 640, 480) == "<loc_0><loc_100><loc_500><loc_999>"
    assert place_tokens((-5, -5, 9999, 9999), 640, 480) == "<loc_0><loc_0><loc_999><loc_999>"


@steady
@given(st.integers(1, 6000), st.integers(0, 999))
def test_a_place_survives_the_way_to_pixels_and_back(side: int, place: int) -> None:
    middle = (place + 0.5) * side / 1000
    assert place_tokens((middle, middle, middle, middle), side, side) == f"<loc_{place}>" * 4


@pytest.mark.parametrize("task", [task for task in Task if task not in INPUT_FREE_TASKS])
def test_a_task_with_input_needs_it(task: Task) -> None:
    with pytest.raises(ValueError, match="needs a phrase or a region"):
        prompt_for(task)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question(Task.CAPTION, "x"), "takes no input"),
        (Question(Task.REGION_TO_OCR, "x"), "give x1,y1,x2,y2"),
        (Question(Task.VQA, (1, 2, 3, 4)), "about a phrase"),
        (Question(Task.REGION_TO_OCR, (1, 2, 3, float("nan"))), "finite"),
    ],
)
def test_the_wrong_kind_of_input_is_named(question: Question, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prompt_for_question(question, 100, 100)


def test_every_question_has_a_prompt() -> None:
    for task in SENTENCES:
        if task not in INPUT_FREE_TASKS:
            asked = Question(task, (1, 2, 3, 4)) if task in REGION_INPUT_TASKS else Question(task, "mug")
            text = prompt_for_question(asked, 100, 100).text
            assert "{" not in text and ("mug" in text or "<loc_" in text)
