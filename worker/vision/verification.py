"""Verification: what was found for a phrase is read again as a choice: the phrase, its siblings, or something else.

Florence-2 draws a box for whatever it is asked for, and is sure of the words it was given. Asked the other way round,
what the region shows, it knows nothing of the phrase. The second reading is <REGION_TO_CATEGORY> of each box, scored
for a closed set of names (choosing.py) instead of decoded: the image's features are those of the first look, and all
boxes of all photos go through the text model together.

The verified score is P(phrase) / (P(phrase) + P(siblings) + w P(something else)). "Something else" is whatever the
model would write that none of the names begins; its weight w is 1 where nothing was measured, and the first reading
says how likely the phrase is by itself. Less weight suits a model that calls things by names which are not listed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from PIL import Image

from domain.observations import Answer, Box, ObjectsAnswer, Observation, Question, Task
from worker.vision.choosing import Choice, Pick
from worker.vision.prefix_tree import PrefixTree
from worker.vision.prompts import places_of, prompt_for_question
from worker.vision.siblings import Siblings, bare_phrase, shipped_siblings

VERIFIED_TASKS = frozenset({Task.OPEN_VOCABULARY_DETECTION})
MOST_BOXES = 50  # of one phrase; a model that runs on can write a hundred and more

log = logging.getLogger(__name__)


class Chooser(Protocol):
    """What is needed of FlorenceEngine."""

    def tree(self, answers: Sequence[str], place: int | None = None) -> PrefixTree: ...

    def choose(self, picks: Sequence[Pick], least: float = 0.0) -> list[Choice]: ...


class Shown(Protocol):
    """What is needed of an engine's Look."""

    @property
    def image(self) -> Image.Image: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def adapter(self) -> str | None: ...


class Place(NamedTuple):
    """Where an object stands: which look, which of its questions, which object of the answer."""

    look: int
    question: int
    item: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one region. phrase: probability that the model writes a name that speaks for the phrase; named: that it
    writes any of the names, those included."""

    phrase: float
    named: float

    def score(self, something_else: float) -> float:
        """The phrase's share, with "something else" counted at that weight (0..1)."""
        whole = self.named + something_else * max(0.0, 1.0 - self.named)
        return min(1.0, self.phrase / whole) if whole > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Verification:
    """How hits are read again. something_else: the weight of what is none of the names."""

    siblings: Siblings = field(default_factory=shipped_siblings)
    something_else: float = 1.0

    @property
    def suffix(self) -> str:
        """Added to the engine's revision, because answers of one way are not reused for another; empty for the usual
        way."""
        return "" if self == Verification() else f"+{self.siblings.digest}/{self.something_else:g}"


@dataclass(frozen=True, slots=True)
class _Asked:
    place: Place
    pick: Pick
    for_phrase: frozenset[str]


def read_again(
    engine: Chooser, looks: Sequence[Shown], seen: Sequence[Observation], how: Verification
) -> list[Observation]:
    """The same observations with a verified score for every open-vocabulary object that could be read again.

    Within `engine.remembering()` no image is encoded again. Raises what FlorenceEngine.look raises.
    """
    found = evidence(engine, looks, seen, how.siblings)
    scores = {place: one.score(how.something_else) for place, one in found.items()}
    return [_with_scores(number, one, scores) for number, one in enumerate(seen)]


def evidence(
    engine: Chooser, looks: Sequence[Shown], seen: Sequence[Observation], siblings: Siblings
) -> dict[Place, Evidence]:
    """What each open-vocabulary object's region says for its phrase. Raises what FlorenceEngine.look raises."""
    asked = list(_asked(engine, looks, seen, siblings))
    choices = engine.choose([one.pick for one in asked])
    return {one.place: _evidence(choice, one.for_phrase) for one, choice in zip(asked, choices, strict=True)}


def _asked(
    engine: Chooser, looks: Sequence[Shown], seen: Sequence[Observation], siblings: Siblings
) -> Iterator[_Asked]:
    for number, (look, one) in enumerate(zip(looks, seen, strict=True)):
        for place, phrase, box in _hits(number, one):
            answers, for_phrase = siblings.of(phrase)
            try:
                # Some weights repeat the region after its name, as the original ones do: then a place ends the name.
                tree = engine.tree(answers, places_of(box, look.width, look.height)[0])
            except ValueError as error:  # a phrase longer than anything the model can write
                log.info("vision.not_verified %s", error)
                continue
            prompt = prompt_for_question(Question(Task.REGION_TO_CATEGORY, box), look.width, look.height)
            yield _Asked(place, Pick(look.image, prompt, tree, look.adapter), for_phrase)


def _hits(number: int, seen: Observation) -> Iterator[tuple[Place, str, Box]]:
    """Every object with the bare phrase it was asked by; none for a phrase without words."""
    for place, (question, answer) in enumerate(seen.asked):
        if question.task in VERIFIED_TASKS and isinstance(answer, ObjectsAnswer):
            phrase = bare_phrase(str(question.input))
            for item, found in enumerate(answer.objects[:MOST_BOXES] if phrase else ()):
                yield Place(number, place, item), phrase, found.box


def _evidence(choice: Choice, for_phrase: frozenset[str]) -> Evidence:
    shares = dict(choice.ranked)
    explored = sum(shares.values())
    phrase = sum(share for name, share in shares.items() if name in for_phrase)
    return Evidence(phrase / explored * choice.mass if explored > 0 else 0.0, choice.mass)


def _with_scores(number: int, seen: Observation, scores: Mapping[Place, float]) -> Observation:
    def scored(place: int, answer: Answer) -> Answer:
        if not isinstance(answer, ObjectsAnswer):
            return answer
        objects = enumerate(answer.objects)
        return ObjectsAnswer(
            tuple(replace(found, verified_score=scores.get(Place(number, place, item))) for item, found in objects)
        )

    asked = enumerate(seen.asked)
    return replace(seen, asked=tuple((question, scored(place, answer)) for place, (question, answer) in asked))
