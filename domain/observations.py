"""Observation: what the model saw in one photo. No opinion about it.

Coordinates are pixels of the upright image, origin top left. Scores are probabilities in 0..1 as the model gave them,
or None where a task yields none; `Observation.calibrated` reads them as probabilities of being right.
`as_json`/`from_json` are the stored and the printed form: the same keys that `shelfguard analyze --json` prints under
`results`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, cast

from domain.calibration import VERIFIED, VERIFIED_MIN, Calibration

Box = tuple[float, float, float, float]
Quad = tuple[float, float, float, float, float, float, float, float]
Json = dict[str, Any]


class Task(StrEnum):
    """Florence-2's tasks by their lower-cased prompt names."""

    CAPTION = "caption"
    DETAILED_CAPTION = "detailed_caption"
    MORE_DETAILED_CAPTION = "more_detailed_caption"
    OD = "od"
    DENSE_REGION_CAPTION = "dense_region_caption"
    REGION_PROPOSAL = "region_proposal"
    OCR = "ocr"
    OCR_WITH_REGION = "ocr_with_region"
    CAPTION_TO_PHRASE_GROUNDING = "caption_to_phrase_grounding"
    OPEN_VOCABULARY_DETECTION = "open_vocabulary_detection"
    REFERRING_EXPRESSION_SEGMENTATION = "referring_expression_segmentation"
    REGION_TO_SEGMENTATION = "region_to_segmentation"
    REGION_TO_CATEGORY = "region_to_category"
    REGION_TO_DESCRIPTION = "region_to_description"
    REGION_TO_OCR = "region_to_ocr"
    VQA = "vqa"

    @property
    def prompt_token(self) -> str:
        return f"<{self.value.upper()}>"


INPUT_FREE_TASKS = (
    Task.CAPTION,
    Task.DETAILED_CAPTION,
    Task.MORE_DETAILED_CAPTION,
    Task.OD,
    Task.DENSE_REGION_CAPTION,
    Task.REGION_PROPOSAL,
    Task.OCR,
    Task.OCR_WITH_REGION,
)
TEXT_TASKS = (Task.OCR, Task.OCR_WITH_REGION)
REGION_INPUT_TASKS = (
    Task.REGION_TO_SEGMENTATION,
    Task.REGION_TO_CATEGORY,
    Task.REGION_TO_DESCRIPTION,
    Task.REGION_TO_OCR,
)


FLORENCE = "florence"  # the name of the model as a reader of text


class TextReaders(StrEnum):
    """Who reads the text of a photo: the model, a second reader in its place, or each for itself."""

    FLORENCE = FLORENCE
    RAPIDOCR = "rapidocr"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """A caption, all text of the picture in reading order, or the words about a region."""

    text: str
    score: float | None = None

    def as_json(self) -> Json:
        return {"text": self.text, "score": self.score}


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """One box. `verified_score` is there only for open-vocabulary answers that were read a second time."""

    label: str
    box: Box
    score: float | None = None
    verified_score: float | None = None

    @property
    def surest(self) -> float | None:
        """The score to go by: of the second reading where there was one."""
        return self.score if self.verified_score is None else self.verified_score

    def as_json(self) -> Json:
        out: Json = {"label": self.label, "box": list(self.box), "score": self.score}
        if self.verified_score is not None:
            out["verified_score"] = self.verified_score
        return out


@dataclass(frozen=True, slots=True)
class ObjectsAnswer:
    objects: tuple[DetectedObject, ...] = ()

    def as_json(self) -> Json:
        return {"objects": [item.as_json() for item in self.objects]}


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of text; the quad's corners run clockwise from the text's top left."""

    text: str
    quad: Quad
    score: float | None = None

    def as_json(self) -> Json:
        return {"text": self.text, "quad": list(self.quad), "score": self.score}


@dataclass(frozen=True, slots=True)
class LinesAnswer:
    lines: tuple[TextLine, ...] = ()

    def as_json(self) -> Json:
        return {"lines": [line.as_json() for line in self.lines]}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader of text other than the model read.

    incomplete: why there may be text that is not among the lines; None where everything was read.
    """

    reader: str
    lines: tuple[TextLine, ...] = ()
    incomplete: str | None = None

    @property
    def failed(self) -> bool:
        """Whether nothing at all could be read, as against too much to read."""
        return self.incomplete is not None and not self.lines

    def as_json(self) -> Json:
        out: Json = {"name": self.reader, "lines": [line.as_json() for line in self.lines]}
        return out if self.incomplete is None else out | {"incomplete": self.incomplete}


@dataclass(frozen=True, slots=True)
class Mask:
    """Polygons as flat x, y, x, y lists."""

    label: str
    polygons: tuple[tuple[float, ...], ...]

    def as_json(self) -> Json:
        return {"label": self.label, "polygons": [list(polygon) for polygon in self.polygons]}


@dataclass(frozen=True, slots=True)
class MasksAnswer:
    masks: tuple[Mask, ...] = ()

    def as_json(self) -> Json:
        return {"masks": [mask.as_json() for mask in self.masks]}


Answer = TextAnswer | ObjectsAnswer | LinesAnswer | MasksAnswer


@dataclass(frozen=True, slots=True)
class Question:
    """A task with its input: a phrase, or a region as pixels of the upright image."""

    task: Task
    input: str | Box

    def as_json(self) -> Json:
        return {"task": self.task.value, "input": self.input if isinstance(self.input, str) else list(self.input)}


@dataclass(frozen=True, slots=True)
class Plan:
    """The set of Florence-2 tasks run for one image, and whether a second reader reads its text too."""

    tasks: tuple[Task, ...] = (Task.CAPTION, Task.DETAILED_CAPTION, Task.OD, Task.OCR_WITH_REGION)
    questions: tuple[Question, ...] = ()
    second_reader: bool = False

    def read_by(self, readers: TextReaders) -> Plan:
        """The same plan with its text read by these; a second reader alone spares the model its text tasks."""
        if readers is TextReaders.FLORENCE:
            return replace(self, second_reader=False)
        if readers is TextReaders.BOTH:
            return replace(self, second_reader=True)
        return replace(self, tasks=tuple(task for task in self.tasks if task not in TEXT_TASKS), second_reader=True)

    def as_json(self) -> Json:
        """Digests of plans rest on this: a plan without a second reader keeps the form it had before there was one."""
        out: Json = {
            "tasks": [task.value for task in self.tasks],
            "questions": [question.as_json() for question in self.questions],
        }
        return out | {"second_reader": True} if self.second_reader else out


@dataclass(frozen=True, slots=True)
class Engine:
    """Which eyes looked: enough to know whether two observations are comparable."""

    model: str  # directory name or hub id, with the digest of its files after '@'
    adapter: str | None
    revision: str  # of our engine: prompts, parsing, decoding
    dtype: str
    second_reader: str | None = None  # name, version and weights of a second reader of text, where one read

    def as_json(self) -> Json:
        return {
            "model": self.model,
            "adapter": self.adapter,
            "revision": self.revision,
            "dtype": self.dtype,
            "second_reader": self.second_reader,
        }


@dataclass(frozen=True, slots=True)
class Observation:
    """What one engine answered for one photo under one plan.

    calibration: how to read the scores; None where nothing is known, or nothing has been said yet.
    """

    sha256: str  # of the received bytes
    width: int
    height: int
    engine: Engine
    results: Mapping[Task, Answer] = field(default_factory=dict)
    asked: tuple[tuple[Question, Answer], ...] = ()
    second_reading: Reading | None = None
    calibration: Calibration | None = None

    def calibrated(self) -> Observation:
        """The same with its scores read by its calibration. Raw without one; doing it twice changes nothing more.

        A second reader's scores are its own and stay as they are.
        """
        known = self.calibration
        if known is None or not known.curves:
            return self
        return replace(
            self,
            results={task: _calibrated(task, answer, known) for task, answer in self.results.items()},
            asked=tuple((question, _calibrated(question.task, answer, known)) for question, answer in self.asked),
            calibration=known.applied(),
        )

    @property
    def verified_min(self) -> float:
        """From which score on an open-vocabulary object counts as there; in the terms of this observation's scores."""
        return VERIFIED_MIN if self.calibration is None else self.calibration.verified_min

    def counts(self, item: DetectedObject) -> bool:
        """Whether an open-vocabulary object is there, as far as scores say; without a score nothing speaks against."""
        return item.surest is None or item.surest >= self.verified_min

    @property
    def open_vocabulary(self) -> tuple[DetectedObject, ...]:
        """Objects that were asked for by name and count as there, labelled with the name they were asked by."""
        return tuple(
            replace(item, label=str(question.input))
            for question, answer in self.asked
            if question.task is Task.OPEN_VOCABULARY_DETECTION and isinstance(answer, ObjectsAnswer)
            for item in answer.objects
            if self.counts(item)
        )

    @property
    def caption(self) -> str:
        """The longest caption that was asked for, else an empty string."""
        for task in (Task.MORE_DETAILED_CAPTION, Task.DETAILED_CAPTION, Task.CAPTION):
            answer = self.results.get(task)
            if isinstance(answer, TextAnswer) and answer.text:
                return answer.text
        return ""

    @property
    def short_caption(self) -> str:
        answer = self.results.get(Task.CAPTION)
        return answer.text if isinstance(answer, TextAnswer) else self.caption

    @property
    def objects(self) -> tuple[DetectedObject, ...]:
        answer = self.results.get(Task.OD)
        return answer.objects if isinstance(answer, ObjectsAnswer) else ()

    @property
    def text_reader(self) -> str:
        """Whose reading `lines` and `text` are: the model's where it was asked, else the second reader's; or ""."""
        if any(task in self.results for task in TEXT_TASKS):
            return FLORENCE
        return self.second_reading.reader if self.second_reading else ""

    @property
    def lines(self) -> tuple[TextLine, ...]:
        return self.lines_by(self.text_reader)

    @property
    def second_lines(self) -> tuple[TextLine, ...]:
        """The second reader's lines where they are a second opinion, not the only one."""
        second = self.second_reading
        return second.lines if second is not None and second.reader != self.text_reader else ()

    def lines_by(self, reader: str) -> tuple[TextLine, ...]:
        """What this reader read; empty where it was not asked."""
        if reader == FLORENCE:
            answer = self.results.get(Task.OCR_WITH_REGION)
            return answer.lines if isinstance(answer, LinesAnswer) else ()
        second = self.second_reading
        return second.lines if second is not None and second.reader == reader else ()

    @property
    def text(self) -> str:
        """All text seen, lines joined by spaces. Hostile data: never an instruction, always escaped."""
        if self.lines:
            return " ".join(line.text for line in self.lines)
        answer = self.results.get(Task.OCR)
        return answer.text if isinstance(answer, TextAnswer) else ""

    def results_json(self) -> Json:
        out: Json = {task.value: answer.as_json() for task, answer in self.results.items()}
        if self.asked:
            out["asked"] = [question.as_json() | answer.as_json() for question, answer in self.asked]
        if self.second_reading is not None:
            out["second_reader"] = self.second_reading.as_json()
        return out

    def as_json(self) -> Json:
        out: Json = {
            "sha256": self.sha256,
            "width": self.width,
            "height": self.height,
            "engine": self.engine.as_json(),
            "results": self.results_json(),
        }
        return out if self.calibration is None else out | {"calibration": self.calibration.as_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Observation:
        """The inverse of `as_json`. Raises KeyError or ValueError on anything else."""
        results = dict(data["results"])
        asked = results.pop("asked", [])
        second = results.pop("second_reader", None)
        known = data.get("calibration")
        return cls(
            sha256=data["sha256"],
            width=data["width"],
            height=data["height"],
            engine=Engine(**data["engine"]),
            results={Task(name): answer_from_json(answer) for name, answer in results.items()},
            asked=tuple((_question_from_json(item), answer_from_json(item)) for item in asked),
            second_reading=None if second is None else _reading_from_json(second),
            calibration=None if known is None else Calibration.from_json(known),
        )


def _calibrated(task: Task, answer: Answer, known: Calibration) -> Answer:
    """Its scores read; masks have none."""
    if isinstance(answer, TextAnswer):
        return replace(answer, score=known.read(task, answer.score))
    if isinstance(answer, LinesAnswer):
        return LinesAnswer(tuple(replace(line, score=known.read(task, line.score)) for line in answer.lines))
    if isinstance(answer, ObjectsAnswer):
        return ObjectsAnswer(
            tuple(
                replace(
                    item, score=known.read(task, item.score), verified_score=known.read(VERIFIED, item.verified_score)
                )
                for item in answer.objects
            )
        )
    return answer


def _question_from_json(data: Mapping[str, Any]) -> Question:
    given = data["input"]
    return Question(Task(data["task"]), given if isinstance(given, str) else _box(given))


def _reading_from_json(data: Mapping[str, Any]) -> Reading:
    return Reading(data["name"], _lines_from_json(data), data.get("incomplete"))


def answer_from_json(data: Mapping[str, Any]) -> Answer:
    """Read any answer by its keys. Raises ValueError when none of the known keys is there."""
    if "objects" in data:
        return ObjectsAnswer(tuple(_object_from_json(item) for item in data["objects"]))
    if "lines" in data:
        return LinesAnswer(_lines_from_json(data))
    if "masks" in data:
        return MasksAnswer(
            tuple(Mask(m["label"], tuple(tuple(map(float, p)) for p in m["polygons"])) for m in data["masks"])
        )
    if "text" in data:
        return TextAnswer(data["text"], data.get("score"))
    raise ValueError(f"not an answer: keys {sorted(data)}")


def _lines_from_json(data: Mapping[str, Any]) -> tuple[TextLine, ...]:
    return tuple(
        TextLine(item["text"], cast(Quad, tuple(map(float, item["quad"]))), item["score"]) for item in data["lines"]
    )


def _object_from_json(item: Mapping[str, Any]) -> DetectedObject:
    return DetectedObject(item["label"], _box(item["box"]), item["score"], item.get("verified_score"))


def _box(values: Sequence[float]) -> Box:
    x1, y1, x2, y2 = map(float, values)
    return (x1, y1, x2, y2)
