"""How sure an engine says it is against how often it is right, on rendered scenes whose truth is known.

Right is what a reader of the answer would call right: a detected box whose label is the name of a true object with an
overlap (IoU) of at least 0.5, a line whose letters are the true line's at its place, a caption that names the main
object and nothing that is not there, text that is read to the letter.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from domain.calibration import VERIFIED, Calibration
from domain.observations import Box, LinesAnswer, ObjectsAnswer, Observation, Plan, Question, Task, TextAnswer
from worker.training.held_out import AT_ONCE, FULL, HIT, SIZE, box_around, box_of_quad, true_boxes
from worker.training.measures import named, overlap
from worker.training.synth import scenes
from worker.training.synth.scenes import Rendered
from worker.training.synth.vocabulary import classes
from worker.vision.engine import FlorenceEngine, Look
from worker.vision.siblings import Siblings
from worker.vision.verification import Evidence, Place, evidence

BINS = 15
CAPTIONS = (Task.CAPTION, Task.DETAILED_CAPTION)
TASKS = (*CAPTIONS, Task.OD, Task.OCR, Task.OCR_WITH_REGION)
# With so many tokens before an answer may end it cannot be "nothing there": start, a word, four places. So the
# original weights behave, which always draw a box.
FORCED = {Task.OPEN_VOCABULARY_DETECTION: 6}
SAME_GROUP = 0.5  # share of absent phrases that name the present thing's nearest relatives

Sample = tuple[float, bool]  # a raw score, and whether the answer was right
Progress = Callable[[int], None]  # scenes done just now


@dataclass(frozen=True, slots=True)
class Hit:
    """One box for a phrase: its score, what a second reading of its region says, and whether it is the thing."""

    score: float
    evidence: Evidence
    right: bool


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase that was asked for. own: the model could answer with nothing; forced: it had to draw a box."""

    present: bool
    own: tuple[Hit, ...]
    forced: tuple[Hit, ...]

    def best(self, something_else: float, forced: bool) -> float:
        """The verified score of its surest box; 0 without one."""
        hits = self.forced if forced else self.own
        return max((hit.evidence.score(something_else) for hit in hits), default=0.0)


@dataclass
class Samples:
    """All that was seen. kinds: by task name."""

    kinds: dict[str, list[Sample]] = field(default_factory=dict)
    phrases: list[Phrase] = field(default_factory=list)

    def add(self, kind: str, score: float | None, right: bool) -> None:
        if score is not None:
            self.kinds.setdefault(kind, []).append((score, right))

    def with_verified(self, something_else: float) -> dict[str, list[Sample]]:
        """The kinds, and of the boxes that the model drew for phrases of its own accord the scores of both readings."""
        hits = [hit for phrase in self.phrases for hit in phrase.own]
        return self.kinds | {
            Task.OPEN_VOCABULARY_DETECTION.value: [(hit.score, hit.right) for hit in hits],
            VERIFIED: [(hit.evidence.score(something_else), hit.right) for hit in hits],
        }


def collect(
    engine: FlorenceEngine, seed: int, count: int, siblings: Siblings, progress: Progress = lambda _: None
) -> Samples:
    """Look at `count` scenes of a seed with photographs behind them that training never sees."""
    samples = Samples()
    for first in range(0, count, AT_ONCE):
        drawn = [
            scenes.render(scenes.sample(seed, index, FULL), SIZE) for index in range(first, min(first + AT_ONCE, count))
        ]
        asked = [_asked(one) for one in drawn]
        looks = [
            Look(one.picture, "", *one.picture.size, Plan(TASKS, questions))
            for one, questions in zip(drawn, asked, strict=True)
        ]
        with engine.remembering():
            own = engine.look_once(looks)
            bare = [Look(one.image, "", one.width, one.height, Plan((), one.plan.questions)) for one in looks]
            forced = engine.look_once(bare, FORCED)
            read = [evidence(engine, looks, seen, siblings) for seen in (own, forced)]
        for number, one in enumerate(drawn):
            _judge(one, own[number], samples)
            hits = [_hits(one, number, seen[number], found) for seen, found in zip((own, forced), read, strict=True)]
            samples.phrases += [Phrase(present, *pair) for present, *pair in zip((True, False), *hits, strict=True)]
        progress(len(drawn))
    return samples


def _asked(rendered: Rendered) -> tuple[Question, Question]:
    """A thing that is there, and one that is not."""
    rng = random.Random(rendered.scene.seed * 37 + rendered.scene.index)
    there = {item.kind.name for item in rendered.scene.items}
    wanted = rng.choice(rendered.scene.items).kind
    absent = [kind for kind in classes() if kind.name not in there]
    relatives = [kind for kind in absent if kind.group == wanted.group]
    other = rng.choice(relatives if relatives and rng.random() < SAME_GROUP else absent)
    return (
        Question(Task.OPEN_VOCABULARY_DETECTION, wanted.name),
        Question(Task.OPEN_VOCABULARY_DETECTION, other.name),
    )


def _judge(rendered: Rendered, seen: Observation, samples: Samples) -> None:
    true = true_boxes(rendered)
    for item in seen.objects:
        samples.add(Task.OD, item.score, _is_there(item.label, item.box, true))
    names = {name for name, _ in true}
    for task in CAPTIONS:
        answer = cast(TextAnswer, seen.results[task])
        said = named(answer.text)
        samples.add(task, answer.score, true[0][0] in said and said <= names)
    read = cast(TextAnswer, seen.results[Task.OCR])
    samples.add(Task.OCR, read.score, read.text == " ".join(line.text for line in rendered.scene.lines))
    lines = [
        (line.text, box_of_quad(quad, rendered.picture.size))
        for line, quad in zip(rendered.scene.lines, rendered.quads, strict=True)
    ]
    for line in cast(LinesAnswer, seen.results[Task.OCR_WITH_REGION]).lines:
        samples.add(Task.OCR_WITH_REGION, line.score, _is_there(line.text, box_around(line.quad), lines))


def _is_there(words: str, box: Box, true: Sequence[tuple[str, Box]]) -> bool:
    return any(words == name and overlap(box, at) >= HIT for name, at in true)


def _hits(
    rendered: Rendered, number: int, seen: Observation, found: Mapping[Place, Evidence]
) -> Iterator[tuple[Hit, ...]]:
    """Of each phrase the boxes that were read again."""
    true = true_boxes(rendered)
    for question, (asked, answer) in enumerate(seen.asked):
        hits = []
        for item, one in enumerate(cast(ObjectsAnswer, answer).objects):
            read = found.get(Place(number, question, item))
            if read is not None and one.score is not None:
                hits.append(Hit(one.score, read, _is_there(str(asked.input), one.box, true)))
        yield tuple(hits)


def calibration_error(samples: Sequence[Sample]) -> float:
    """Expected calibration error over 15 bins of equal width: the mean distance of confidence and accuracy, weighted by
    how many samples a bin has (Guo et al. 2017, arXiv:1706.04599, equation 3). 0 without samples."""
    gaps = (abs(sum(score for score, _ in one) - sum(right for _, right in one)) for one in binned(samples))
    return sum(gaps) / len(samples) if samples else 0.0


def error_by_chance(samples: Sequence[Sample], draws: int = 200) -> float:
    """What calibration_error gives on average for these scores if each were exactly right: with few samples it is not 0
    (Kumar et al. 2019, arXiv:1909.10155), and no fit can be seen to be better than that."""
    rng = random.Random(0)
    drawn = ([(score, rng.random() < score) for score, _ in samples] for _ in range(draws))
    return sum(map(calibration_error, drawn)) / draws


def binned(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The samples of each of the bins of equal width that is not empty, lowest first."""
    bins: dict[int, list[Sample]] = {}
    for score, right in samples:
        bins.setdefault(min(int(score * BINS), BINS - 1), []).append((score, right))
    return [some for _, some in sorted(bins.items())]


def read_by(calibration: Calibration | None, kind: str, samples: Sequence[Sample]) -> list[Sample]:
    """The samples with calibrated scores."""
    if calibration is None:
        return list(samples)
    return [(cast(float, calibration.read(kind, score)), right) for score, right in samples]


def passing(phrases: Sequence[Phrase], something_else: float, threshold: float, forced: bool) -> dict[str, Any]:
    """Shares of present and of absent phrases of which a box is verified, and how many there are of each."""
    out: dict[str, Any] = {}
    for name, present in (("present", True), ("absent", False)):
        some = [phrase.best(something_else, forced) >= threshold for phrase in phrases if phrase.present is present]
        out[name] = len(some)
        out[f"{name}_passing"] = round(sum(some) / len(some), 4) if some else None
    return out
