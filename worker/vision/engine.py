"""The engine: photos and plans in, observations out. Each image is encoded once, all prompts are decoded together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image

from domain.errors import Unavailable
from domain.observations import Answer, Engine, Observation, Plan, Question, Task
from worker.vision.ahead import ahead
from worker.vision.choosing import Choice, Pick, choose
from worker.vision.decoding import Generated, decode
from worker.vision.florence import DTypeName, Loaded, load
from worker.vision.images import as_rgb
from worker.vision.packing import pack
from worker.vision.parsing import Canvas, Reading, parse
from worker.vision.prefix_tree import PrefixTree
from worker.vision.prompts import USUAL, Prompt, prompt_for, prompt_for_question
from worker.vision.stopwatch import Stopwatch
from worker.vision.text_model import Row, TextModel
from worker.vision.tower import CompileName, Tower
from worker.vision.verification import VERIFIED_TASKS, read_again
from worker.vision.vocabulary import Vocabulary

# Raise it with every change of prompts, parsing, scores or decoding that may change an answer: cached observations
# of another revision are not reused.
REVISION = "3"

IMAGES_AT_ONCE = 8  # through the vision tower; at 768 pixels about 0.4 GB of activations each in float32
LARGE_IMAGES_AT_ONCE = 2  # the same for a large model on a CPU, whose cache the activations of more would leave
LARGE_PARAMETERS = 50_000_000
LOOKS_AT_ONCE = 32  # their features are held while their prompts are decoded (2 MB an image at base size in float32)
ROWS_AT_ONCE = 32  # prompts in one decode; bounds the cross-attention cache (22 MB a row at base size in float32)
LEFTOVERS_LOGGED = 200  # characters of what no answer had room for

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """One image to look at.

    image: upright, full size or the smaller model copy. sha256: of the bytes as received. width, height: of the
    upright full-size image in pixels; regions are asked and answers given in them.
    """

    image: Image.Image
    sha256: str
    width: int
    height: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt of one look: what to decode, and where the answer goes. question is None for a plain task."""

    look: int
    prompt: Prompt
    question: Question | None


class FlorenceEngine:
    """Florence-2 ready to look. Not thread-safe: one process, one engine, one call at a time.

    stopwatch: where the time of `look` and `generate` went: preprocess, vision, encoder, decoder. calibration: how its
    scores are read, None where nothing was fitted to these weights. verification: how open-vocabulary hits are read
    again.
    """

    def __init__(self, loaded: Loaded, compiling: CompileName = "off") -> None:
        """loaded: becomes the engine's own, laid out for speed (packing.py). compiling: the vision tower."""
        verified = loaded.verified
        text = verified.config.text_config
        self.calibration, self.verification = loaded.fitted.calibration, loaded.fitted.verification
        revision = REVISION + self.verification.suffix
        self.engine = Engine(verified.identity, loaded.adapter, revision, loaded.dtype)
        self.stopwatch = Stopwatch()
        self._remembered: dict[int, tuple[Image.Image, torch.Tensor]] | None = None  # by the image object's id
        self._tower = Tower(loaded.model, compiling)
        self._large = loaded.device.type == "cpu" and verified.parameters >= LARGE_PARAMETERS
        pack(loaded.model, tower=not self._tower.compiled)
        self._text = TextModel(loaded.model)
        self._images = verified.processor.image_processor
        self._positions: int = text.max_position_embeddings
        self._end: int = text.eos_token_id
        self._words = Vocabulary(verified.processor.tokenizer, verified.processor.num_image_tokens, self._positions)

    @classmethod
    def load(
        cls,
        model: Path | str,
        *,
        revision: str | None = None,
        adapter: Path | None = None,
        device: str = "auto",
        dtype: DTypeName = "auto",
        threads: int | None = None,
        compiling: CompileName = "auto",
    ) -> FlorenceEngine:
        """Load a checkpoint (see florence.load). Raises CheckpointRefused or ValueError with the remedy."""
        loaded = load(model, revision=revision, adapter=adapter, device=device, dtype=dtype, threads=threads)
        return cls(loaded, compiling)

    def warm_up(self) -> None:
        """Answer one caption of a grey picture, so that the first photo does not pay for lazy initialisation."""
        grey = Look(Image.new("RGB", (64, 64), "grey"), "", 64, 64, Plan(tasks=(Task.CAPTION,)))
        self.look([grey])
        if self._tower.compiled:
            self.look([grey] * 2)  # the compiler makes one program for a single image and one for all other numbers

    def look(self, looks: Sequence[Look]) -> list[Observation]:
        """One observation for each look, in order; an empty plan gives empty results.

        Raises InputRejected (a picture cannot be read), Unavailable (out of memory), ValueError (a question with the
        wrong kind of input).
        """
        if not any(question.task in VERIFIED_TASKS for look in looks for question in look.plan.questions):
            return self.look_once(looks)
        return [seen for group in _even_chunks(looks, LOOKS_AT_ONCE) for seen in self._look_twice(group)]

    def _look_twice(self, looks: Sequence[Look]) -> list[Observation]:
        with self.remembering():
            return read_again(self, looks, self.look_once(looks), self.verification)

    def look_once(self, looks: Sequence[Look], least: Mapping[Task, int] | None = None) -> list[Observation]:
        """`look` without a second reading of open-vocabulary hits. least: see `generate`. Raises what `look` raises."""
        answers: dict[int, list[tuple[Asked, Answer]]] = {number: [] for number in range(len(looks))}
        for item, generated in self.generate(looks, least=least):
            answers[item.look].append((item, self.read(looks[item.look], item, generated).answer))
        return [self._observation(look, answers[number]) for number, look in enumerate(looks)]

    def generate(
        self,
        looks: Sequence[Look],
        lengths: Mapping[Task, int] | None = None,
        least: Mapping[Task, int] | None = None,
    ) -> list[tuple[Asked, Generated]]:
        """The tokens behind `look`, look by look, tasks before questions. Raises what `look` raises.

        For measurements: lengths is exactly how many tokens a task's answers get, least how many come before they may
        end. None lets each answer end itself.
        """
        asked = list(_everything_asked(looks))
        of_look: dict[int, list[int]] = {}
        for number, item in enumerate(asked):
            of_look.setdefault(item.look, []).append(number)
        groups = list(_even_chunks(list(of_look), LOOKS_AT_ONCE))
        answers: dict[int, Generated] = {}
        with self._computing():
            images = [[looks[look].image for look in group] for group in groups]
            for group, features in zip(groups, self._encoded(images), strict=True):
                rows = {
                    number: self._row(asked[number], image, lengths or {}, least or {})
                    for image, look in enumerate(group)
                    for number in of_look[look]
                }
                answers.update(self._decoded(features, asked, rows))
        return [(item, answers[number]) for number, item in enumerate(asked)]

    def _decoded(
        self, features: torch.Tensor, asked: Sequence[Asked], rows: Mapping[int, Row]
    ) -> Iterator[tuple[int, Generated]]:
        """Rows whose answers are commonly of like length together, ROWS_AT_ONCE at most: they end at about the same
        step, so that no batch dwindles for long."""
        order = sorted(rows, key=lambda number: USUAL[asked[number].prompt.task])
        for chunk in _even_chunks(order, ROWS_AT_ONCE):
            some = [rows[number] for number in chunk]
            with self.stopwatch.part("encoder"):
                memory = self._text.remember(features, some)
            with self.stopwatch.part("decoder"):
                decoded = decode(self._text, memory, some)
            yield from zip(chunk, decoded, strict=True)

    def tree(self, answers: Sequence[str], place: int | None = None) -> PrefixTree:
        """The answers `choose` may choose among, in this model's tokens. Make it once: thousands take a second.

        place: 0..999; an answer may also end with this place token, as answers about regions do with some weights.
        Raises ValueError for an answer that is empty, given twice, holds special tokens, or is longer than the model
        can write.
        """
        tree = PrefixTree.of(answers, self._words, place)
        if tree.longest >= self._positions:
            raise ValueError(f"An answer takes {tree.longest} tokens; this model writes {self._positions - 1}. Cut it.")
        return tree

    def choose(self, picks: Sequence[Pick], least: float = 0.0) -> list[Choice]:
        """For each pick the likeliest of the allowed answers, or None where its probability is below `least`, with the
        probability of every allowed answer found (choosing.Choice says how exact). Raises what `look` raises.
        """
        choices: list[Choice] = []
        for group in _even_chunks(picks, LOOKS_AT_ONCE):
            images = {id(pick.image): pick.image for pick in group}
            places = {key: number for number, key in enumerate(images)}
            rows = [Row(tuple(self._words.encode(pick.prompt.text)), places[id(pick.image)], 0) for pick in group]
            with self._computing():
                (features,) = self._encoded([list(images.values())])
                memory = self._text.remember(features, rows)
                choices += choose(self._text, memory, [pick.tree for pick in group], least)
        return choices

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """No gradients; memory that ran out is an error of the moment."""
        try:
            with torch.inference_mode():
                yield
        except torch.OutOfMemoryError as error:
            raise Unavailable("the vision model", "out of memory; look at fewer photos at once") from error

    def _row(self, item: Asked, image: int, lengths: Mapping[Task, int], least: Mapping[Task, int]) -> Row:
        task = item.prompt.task
        length = lengths.get(task)
        tokens = tuple(self._words.encode(item.prompt.text))
        if length is None:
            return Row(tokens, image, item.prompt.limit(self._positions), least.get(task, 0))
        return Row(tokens, image, length, least=length)

    def finished(self, generated: Generated) -> bool:
        """Whether the answer came to its end, rather than to the limit of its task."""
        return generated.tokens[-1:] == (self._end,)

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Within, an image object that is looked at or chosen about again is not encoded again: for questions that
        follow from answers. Holds the images and their features (2 MB each at base size in float32) until it ends.
        """
        outer = self._remembered
        self._remembered = {} if outer is None else outer
        try:
            yield
        finally:
            self._remembered = outer

    def _encoded(self, groups: Sequence[Sequence[Image.Image]]) -> Iterator[torch.Tensor]:
        """Of each group (images, image tokens, width): every image once through the vision tower and the projector.

        The next images are resized in a thread while these are computed and their prompts decoded.
        """
        known = {} if self._remembered is None else self._remembered
        most = LARGE_IMAGES_AT_ONCE if self._large else IMAGES_AT_ONCE
        new = [[image for image in images if id(image) not in known] for images in groups]
        chunked = [list(_even_chunks(images, most)) for images in new]
        pixels = ahead(self._pixels, [chunk for chunks in chunked for chunk in chunks])
        for images, chunks in zip(groups, chunked, strict=True):
            seen = {
                id(image): (image, features)
                for chunk in chunks
                for image, features in zip(chunk, self._seen(pixels), strict=True)
            }
            if self._remembered is not None:
                self._remembered.update(seen)
            yield torch.stack([(seen.get(id(image)) or known[id(image)])[1] for image in images])

    def _seen(self, pixels: Iterator[torch.Tensor]) -> torch.Tensor:
        with self.stopwatch.part("preprocess"):  # only what was waited for
            some = next(pixels)
        with self.stopwatch.part("vision"):
            return self._tower(some)

    def _pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        pixels: torch.Tensor = self._images(images=[as_rgb(image) for image in images], return_tensors="pt")[
            "pixel_values"
        ]
        return pixels

    def read(self, look: Look, item: Asked, generated: Generated) -> Reading:
        """The typed answer in generated tokens, and what of them fitted no answer (logged at debug level too)."""
        canvas = Canvas(look.width, look.height, generated.log_probs)
        reading = parse(item.prompt.task, self._words.pieces(generated.tokens), canvas, item.prompt.phrase)
        if reading.leftovers:
            rest = "".join(reading.leftovers)[:LEFTOVERS_LOGGED]
            log.debug("vision.leftovers task=%s %s", item.prompt.task.value, rest)
        return reading

    def _observation(self, look: Look, answers: Sequence[tuple[Asked, Answer]]) -> Observation:
        return Observation(
            sha256=look.sha256,
            width=look.width,
            height=look.height,
            engine=self.engine,
            results={item.prompt.task: answer for item, answer in answers if item.question is None},
            asked=tuple((item.question, answer) for item, answer in answers if item.question is not None),
        )


def _everything_asked(looks: Sequence[Look]) -> Iterator[Asked]:
    """Every task once and every question, look by look."""
    for number, look in enumerate(looks):
        for task in dict.fromkeys(look.plan.tasks):
            yield Asked(number, prompt_for(task), None)
        for question in look.plan.questions:
            yield Asked(number, prompt_for_question(question, look.width, look.height), question)


def _even_chunks(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """As few chunks as may be, of sizes that differ by one at most: a short last one would cost almost a whole one."""
    count = -(-len(items) // most)
    for number in range(count):
        yield items[len(items) * number // count : len(items) * (number + 1) // count]
