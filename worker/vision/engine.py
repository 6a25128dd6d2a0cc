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
from worker.vision.choosing import Choice, choose
from worker.vision.decoding import Generated, decode
from worker.vision.florence import DTypeName, Loaded, load
from worker.vision.images import as_rgb
from worker.vision.parsing import Canvas, Reading, parse
from worker.vision.prefix_tree import PrefixTree
from worker.vision.prompts import USUAL, Prompt, prompt_for, prompt_for_question
from worker.vision.text_model import Row, TextModel
from worker.vision.vocabulary import Vocabulary

# Raise it with every change of prompts, parsing, scores or decoding that may change an answer: cached observations
# of another revision are not reused.
REVISION = "1"

IMAGES_AT_ONCE = 8  # through the vision tower; at 768 pixels about 0.4 GB of activations each in float32
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
class Pick:
    """One choice to make: which of the tree's answers fits the image under the prompt. Picks that share an image
    object share its features."""

    image: Image.Image
    prompt: Prompt
    tree: PrefixTree


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt of one look: what to decode, and where the answer goes. question is None for a plain task."""

    look: int
    prompt: Prompt
    question: Question | None


class FlorenceEngine:
    """Florence-2 ready to look. Not thread-safe: one process, one engine, one call at a time."""

    def __init__(self, loaded: Loaded) -> None:
        verified = loaded.verified
        text = verified.config.text_config
        self.engine = Engine(verified.identity, loaded.adapter, REVISION, loaded.dtype)
        self._model = loaded.model
        self._text = TextModel(loaded.model)
        self._device = loaded.device
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
    ) -> FlorenceEngine:
        """Load a checkpoint (see florence.load). Raises CheckpointRefused or ValueError with the remedy."""
        return cls(load(model, revision=revision, adapter=adapter, device=device, dtype=dtype, threads=threads))

    def warm_up(self) -> None:
        """Answer one caption of a grey picture, so that the first photo does not pay for lazy initialisation."""
        self.look([Look(Image.new("RGB", (64, 64), "grey"), "", 64, 64, Plan(tasks=(Task.CAPTION,)))])

    def look(self, looks: Sequence[Look]) -> list[Observation]:
        """One observation for each look, in order; an empty plan gives empty results.

        Raises InputRejected (a picture cannot be read), Unavailable (out of memory), ValueError (a question with the
        wrong kind of input).
        """
        answers: dict[int, list[tuple[Asked, Answer]]] = {number: [] for number in range(len(looks))}
        for item, generated in self.generate(looks):
            answers[item.look].append((item, self.read(looks[item.look], item, generated).answer))
        return [self._observation(look, answers[number]) for number, look in enumerate(looks)]

    def generate(
        self, looks: Sequence[Look], lengths: Mapping[Task, int] | None = None
    ) -> list[tuple[Asked, Generated]]:
        """The tokens behind `look`, look by look, tasks before questions. Raises what `look` raises.

        lengths: exactly how many tokens a task's answers get, for measurements; None lets each answer end itself.
        Rows whose answers are commonly of like length are decoded together, ROWS_AT_ONCE at most.
        """
        asked = list(_everything_asked(looks))
        seen = sorted({item.look for item in asked})
        rows = [self._row(item, seen.index(item.look), lengths or {}) for item in asked]
        order = sorted(range(len(rows)), key=lambda number: USUAL[asked[number].prompt.task])
        answers: dict[int, Generated] = {}
        with self._computing():
            features = self._encode([looks[number].image for number in seen])
            for chunk in _even_chunks(order, ROWS_AT_ONCE):
                decoded = decode(self._text, features, [rows[number] for number in chunk])
                answers.update(zip(chunk, decoded, strict=True))
        return [(item, answers[number]) for number, item in enumerate(asked)]

    def tree(self, answers: Sequence[str]) -> PrefixTree:
        """The answers `choose` may choose among, in this model's tokens. Make it once: thousands take a second.

        Raises ValueError for an answer that is empty, given twice, holds special tokens, or is longer than the model
        can write.
        """
        tree = PrefixTree.of(answers, self._words)
        if tree.longest >= self._positions:
            raise ValueError(f"An answer takes {tree.longest} tokens; this model writes {self._positions - 1}. Cut it.")
        return tree

    def choose(self, picks: Sequence[Pick], least: float = 0.0) -> list[Choice]:
        """For each pick the likeliest of the allowed answers, or None where its probability is below `least`, with the
        probability of every allowed answer found (choosing.Choice says how exact). Raises what `look` raises.
        """
        images = {id(pick.image): pick.image for pick in picks}
        places = {key: number for number, key in enumerate(images)}
        rows = [Row(tuple(self._words.encode(pick.prompt.text)), places[id(pick.image)], 0) for pick in picks]
        choices: list[Choice] = []
        with self._computing():
            features = self._encode(list(images.values()))
            for chunk in _even_chunks(range(len(picks)), ROWS_AT_ONCE):
                trees = [picks[number].tree for number in chunk]
                choices += choose(self._text, features, [rows[number] for number in chunk], trees, least)
        return choices

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """No gradients; memory that ran out is an error of the moment."""
        try:
            with torch.inference_mode():
                yield
        except torch.OutOfMemoryError as error:
            raise Unavailable("the vision model", "out of memory; look at fewer photos at once") from error

    def _row(self, item: Asked, image: int, lengths: Mapping[Task, int]) -> Row:
        length = lengths.get(item.prompt.task)
        limit = item.prompt.limit(self._positions)
        tokens = tuple(self._words.encode(item.prompt.text))
        return Row(tokens, image, limit) if length is None else Row(tokens, image, length, least=length)

    def finished(self, generated: Generated) -> bool:
        """Whether the answer came to its end, rather than to the limit of its task."""
        return generated.tokens[-1:] == (self._end,)

    def _encode(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """(images, image tokens, width): every image once through the vision tower and the projector."""
        parts = [torch.empty(0, device=self._device)] if not images else []
        for chunk in _even_chunks(images, IMAGES_AT_ONCE):
            pixels = self._images(images=[as_rgb(image) for image in chunk], return_tensors="pt")["pixel_values"]
            pixels = pixels.to(device=self._device, dtype=self._model.dtype)
            parts.append(self._model.get_image_features(pixels).pooler_output)
        return torch.cat(parts)

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
