"""Verification: hits are read again by what their region shows, all together, each as it would be alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from domain.observations import Box, DetectedObject, ObjectsAnswer, Observation, Plan, Question, Task, TextAnswer
from tests.factories import an_observation
from tests.worker.vision.conftest import Pictures
from worker.vision.choosing import Choice, Pick
from worker.vision.engine import FlorenceEngine, Look
from worker.vision.prefix_tree import PrefixTree
from worker.vision.siblings import siblings_from
from worker.vision.verification import MOST_BOXES, Evidence, Verification, read_again

NAMES = siblings_from({"weapons": ["dagger", "axe"], "footwear": ["sneaker"]})
HOW = Verification(NAMES)
SHARE = st.floats(0, 1)


class Told:
    """Chooses as it was told: each name's probability of being written, whatever the picture."""

    def __init__(self, probabilities: dict[str, float]) -> None:
        self.probabilities = probabilities
        self.picks: list[list[Pick]] = []

    def tree(self, answers: Sequence[str], place: int | None = None) -> PrefixTree:
        if any(len(answer) > 40 for answer in answers):
            raise ValueError("An answer takes 99 tokens; this model writes 40. Cut it.")
        return PrefixTree(answers, [[(1, number + 10, 2)] for number in range(len(answers))])

    def choose(self, picks: Sequence[Pick], least: float = 0.0) -> list[Choice]:
        self.picks.append(list(picks))
        return [self._choice(pick.tree.answers) for pick in picks]

    def _choice(self, answers: Sequence[str]) -> Choice:
        written = {name: self.probabilities.get(name, 0.0) for name in answers}
        mass = sum(written.values())
        ranked = tuple(sorted(((name, share / mass) for name, share in written.items()), key=lambda one: -one[1]))
        return Choice(ranked[0][0], ranked[0][1], ranked, 0.0, mass)


def seen(*phrases: str, boxes: Sequence[Box] = ((1, 2, 30, 40),)) -> Observation:
    """An observation in which each phrase was found in each box."""
    answers = (ObjectsAnswer(tuple(DetectedObject(phrase, box, 0.99) for box in boxes)) for phrase in phrases)
    questions = (Question(Task.OPEN_VOCABULARY_DETECTION, phrase) for phrase in phrases)
    return an_observation(asked=tuple(zip(questions, answers, strict=True)))


def look(image: Image.Image | None = None, *phrases: str) -> Look:
    shown = image or Image.new("RGB", (64, 48))
    questions = tuple(Question(Task.OPEN_VOCABULARY_DETECTION, phrase) for phrase in phrases)
    return Look(shown, "", *shown.size, Plan((), questions))


def verified(observation: Observation) -> list[float | None]:
    return [
        item.verified_score
        for _, answer in observation.asked
        if isinstance(answer, ObjectsAnswer)
        for item in answer.objects
    ]


def test_the_score_is_the_phrases_share_against_siblings_and_something_else() -> None:
    engine = Told({"dagger": 0.3, "axe": 0.1, "sneaker": 0.1})
    (read,) = read_again(engine, [look()], [seen("a dagger", "sneaker")], HOW)
    assert verified(read) == pytest.approx([0.3, 0.1])
    (without,) = read_again(engine, [look()], [seen("a dagger", "sneaker")], replace(HOW, something_else=0.0))
    assert verified(without) == pytest.approx([0.6, 0.2])


def test_names_of_a_kind_speak_for_the_phrase_together() -> None:
    (read,) = read_again(Told({"dagger": 0.3, "axe": 0.1, "sneaker": 0.1}), [look()], [seen("weapons")], HOW)
    assert verified(read) == pytest.approx([0.4])


def test_everything_of_all_photos_is_asked_at_once() -> None:
    engine = Told({"dagger": 0.5})
    boxes: list[Box] = [(0, 0, 9, 9), (5, 5, 20, 20)]
    read_again(engine, [look(), look()], [seen("dagger", "axe", boxes=boxes), seen("axe")], HOW)
    (picks,) = engine.picks
    assert len(picks) == 5
    assert picks[0].prompt.text == "What is the region <loc_0><loc_0><loc_140><loc_187>?"


def test_what_cannot_be_read_again_keeps_its_one_score() -> None:
    phrases = ("x" * 50, "<image>")
    (read,) = read_again(Told({"dagger": 0.5}), [look()], [seen(*phrases)], HOW)
    assert verified(read) == [None, None]
    many = [(0.0, 0.0, 9.0, 9.0)] * (MOST_BOXES + 1)
    (read,) = read_again(Told({"dagger": 0.5}), [look()], [seen("dagger", boxes=many)], HOW)
    assert verified(read) == [0.5] * MOST_BOXES + [None]


def test_other_answers_stay_as_they_are() -> None:
    asked = ((Question(Task.VQA, "what?"), TextAnswer("mug", 0.5)),)
    observation = an_observation(asked=asked)
    assert read_again(Told({}), [look()], [observation], HOW) == [observation]


@given(SHARE, SHARE, SHARE, SHARE)
def test_more_weight_for_something_else_never_makes_a_phrase_surer(
    phrase: float, others: float, weight: float, more: float
) -> None:
    one = Evidence(phrase * others, others)
    low, high = sorted((weight, more))
    assert 0 <= one.score(high) <= one.score(low) <= 1


def test_answers_of_another_way_of_verifying_are_told_apart() -> None:
    ways = {Verification().suffix, HOW.suffix, replace(HOW, something_else=0.5).suffix}
    assert len(ways) == 3 and "" in ways


def test_a_look_reads_hits_again_without_encoding_the_image_again(
    tiny_engine: FlorenceEngine, picture: Pictures
) -> None:
    image = picture(3)
    with tiny_engine.remembering():
        tiny_engine.look_once([look(image, "mug")])
        tiny_engine.stopwatch.seconds.clear()
        (read,) = read_again(tiny_engine, [look(image)], [seen("mug", "café")], HOW)
        assert "vision" not in tiny_engine.stopwatch.seconds
    assert all(score is not None and 0 <= score <= 1 for score in verified(read))


def test_photos_together_give_what_each_gives_alone(tiny_engine: FlorenceEngine, picture: Pictures) -> None:
    looks = [look(picture(seed)) for seed in (1, 2, 3)]
    found = [seen("mug"), seen("dagger", "a sneaker"), seen("axe", boxes=[(3, 3, 50, 40), (10, 0, 60, 20)])]
    together = read_again(tiny_engine, looks, found, HOW)
    alone = [read_again(tiny_engine, [one], [saw], HOW)[0] for one, saw in zip(looks, found, strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert verified(one) == pytest.approx(verified(other), abs=1e-5)


def test_a_name_may_be_followed_by_its_region_as_the_original_weights_write_it(tiny_engine: FlorenceEngine) -> None:
    plain, placed = tiny_engine.tree(["mug", "axe"]), tiny_engine.tree(["mug", "axe"], place=7)
    assert placed.answers == plain.answers
    assert placed.tokens > plain.tokens and placed.longest == plain.longest


def test_shelf_tiny_confirms_what_is_there_and_not_what_is_not(shipped: str) -> None:
    engine = FlorenceEngine.load(shipped, device="cpu", dtype="float32", threads=1)
    from worker.vision.smoke import sample_pictures

    shown = sample_pictures(8)
    looks = [look(one.image) for one in shown]
    how = engine.fitted_for(None).verification
    right = read_again(engine, looks, [seen(one.phrase, boxes=[one.region]) for one in shown], how)
    wrong = read_again(engine, looks, [seen("slot machine", boxes=[one.region]) for one in shown], how)
    surer = [(verified(there)[0] or 0) > (verified(gone)[0] or 0) for there, gone in zip(right, wrong, strict=True)]
    assert sum(surer) >= 7
