"""The engine: photos and plans in, observations out. Each image is encoded once, all prompts are decoded together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image

from domain.calibration import Calibration
from domain.errors import Unavailable
from domain.observations import Answer, Engine, Observation, Plan, Question, Task
from worker.vision.adapters import BASE, read_adapter
from worker.vision.ahead import ahead
from worker.vision.calibration import Fitted
from worker.vision.choosing import Choice, Pick, choose
from worker.vision.decoding import Generated, decode
from worker.vision.florence import DTypeName, Loaded, load
from worker.vision.images import as_rgb
from worker.vision.packing import pack
from worker.vision.parsing import Canvas, Reading, parse
from worker.vision.prefix_tree import PrefixTree
from worker.vision.prompts import USUAL, Prompt, prompt_for, prompt_for_question
from worker.vision.steady import row_block
from worker.vision.stopwatch import Stopwatch
from worker.vision.swapping import MEMORY, Adapters, BaseWeights
from worker.vision.text_model import Row, TextModel, room
from worker.vision.tower import CompileName, Tower
from worker.vision.verification import VERIFIED_TASKS, read_again
from worker.vision.vocabulary import Vocabulary

# Raise it with every change of prompts, parsing, scores or decoding that may change an answer: cached observations
# of another revision are not reused.
REVISION = "3"

# Through the vision tower on CUDA; at 768 pixels about 0.4 GB of activations each in float32. On a CPU one at a time.
IMAGES_AT_ONCE = 8
LOOKS_AT_ONCE = 32  # their features are held while their prompts are decoded (2 MB an image at base size in float32)
ROWS_AT_ONCE = 32  # prompts in one decode; bounds the cross-attention cache (22 MB a row at base size in float32)
LEFTOVERS_LOGGED = 200  # characters of what no answer had room for

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """One image to look at.

    image: upright, full size or the smaller model copy. sha256: of the bytes as received. width, height: of the
    upright full-size image in pixels; regions are asked and answers given in them. adapter: the name of one that was
    added, "base" for the model without one; None takes what the engine was loaded with.
    """

    image: Image.Image
    sha256: str
    width: int
    height: int
    plan: Plan
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt of one look: what to decode, and where the answer goes. question is None for a plain task."""

    look: int
    prompt: Prompt
    question: Question | None


class FlorenceEngine:
    """Florence-2 ready to look. Not thread-safe: one process, one engine, one call at a time.

    engine: which eyes look where a look names no adapter. stopwatch: where the time of `look` and `generate` went:
    adapter, preprocess, vision, encoder, decoder.
    """

    def __init__(self, loaded: Loaded, compiling: CompileName = "off", adapter_memory: int = MEMORY) -> None:
        """loaded: becomes the engine's own, laid out for speed (packing.py). compiling: the vision tower.
        adapter_memory: bytes that adapters' ready layers may take (swapping.py)."""
        verified = loaded.verified
        text = verified.config.text_config
        self._fitted = loaded.fitted
        self.engine = Engine(verified.identity, None, REVISION + loaded.fitted.verification.suffix, loaded.dtype)
        self.stopwatch = Stopwatch()
        self._verified = verified
        self._default = BASE
        # By the image object's id, and whose features they are where they are not the base's.
        self._remembered: dict[tuple[int, str | None], tuple[Image.Image, torch.Tensor]] | None = None
        self._tower = Tower(loaded.model, compiling)
        pack(loaded.model, tower=not self._tower.compiled)
        self._text = TextModel(loaded.model, row_block(loaded.model))
        files = verified.checkpoint
        self._adapters = Adapters(loaded.model, BaseWeights(files.folder, files.weights, verified.tied), adapter_memory)
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
        adapter_memory: int = MEMORY,
    ) -> FlorenceEngine:
        """Load a checkpoint (see florence.load) and the adapter that answers where a look names none.

        Raises CheckpointRefused or ValueError with the remedy.
        """
        engine = cls(
            load(model, revision=revision, device=device, dtype=dtype, threads=threads), compiling, adapter_memory
        )
        if adapter is not None:
            engine._default = engine.add_adapter(adapter)
            engine._adapters.use(engine._adapters.get(engine._default))  # so that what is wrong with it shows now
            engine.engine = engine.engine_for(None)
        return engine

    def add_adapter(self, folder: Path, name: str | None = None) -> str:
        """Read and check a LoRA, which looks may name from now on; its name, that of the directory unless given.

        One of the same name is replaced. Raises CheckpointRefused.
        """
        adapter = read_adapter(Path(folder), self._verified, name)
        self._adapters.add(adapter)
        return adapter.name

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names that looks may give, besides "base"."""
        return self._adapters.names

    def engine_for(self, adapter: str | None) -> Engine:
        """What an observation with this adapter (as in Look) names. Raises Unavailable for one that was not added."""
        chosen = self._adapters.get(adapter or self._default)
        revision = REVISION + self.fitted_for(adapter).verification.suffix
        return replace(self.engine, adapter=None if chosen is None else chosen.identity, revision=revision)

    def fitted_for(self, adapter: str | None) -> Fitted:
        """How scores of answers with this adapter (as in Look) are read, and hits read again. Raises Unavailable."""
        chosen = self._adapters.get(adapter or self._default)
        return self._fitted if chosen is None else chosen.fitted

    def calibration_for(self, adapter: str | None) -> Calibration | None:
        """None where nothing was fitted to these weights. Raises Unavailable."""
        return self.fitted_for(adapter).calibration

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
        """Hits are read again by the eyes that found them."""
        with self.remembering():
            seen = self.look_once(looks)
            for adapter in {look.adapter for look in looks}:
                own = [number for number, look in enumerate(looks) if look.adapter == adapter]
                how = self.fitted_for(adapter).verification
                again = read_again(self, [looks[number] for number in own], [seen[number] for number in own], how)
                for number, one in zip(own, again, strict=True):
                    seen[number] = one
            return seen

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
        answers: dict[int, Generated] = {}
        with self._computing(), self._sharing(looks):
            for some in self._by_adapter([(look, looks[look].adapter) for look in of_look]):
                groups = list(_even_chunks(some, LOOKS_AT_ONCE))
                images = [[looks[look].image for look in group] for group in groups]
                for group, features in zip(groups, self._encoded(images), strict=True):
                    rows = {
                        number: self._row(asked[number], image, lengths or {}, least or {})
                        for image, look in enumerate(group)
                        for number in of_look[look]
                    }
                    answers.update(self._decoded(features, asked, rows))
        return [(item, answers[number]) for number, item in enumerate(asked)]

    def _by_adapter(self, named: Sequence[tuple[int, str | None]]) -> Iterator[list[int]]:
        """The numbers of each adapter, which is in use when they are handed out. All are looked up before the first."""
        of_adapter: dict[str, list[int]] = {}
        for number, name in named:
            of_adapter.setdefault(name or self._default, []).append(number)
        chosen = [self._adapters.get(name) for name in of_adapter]
        for adapter, numbers in zip(chosen, of_adapter.values(), strict=True):
            with self.stopwatch.part("adapter"):
                self._adapters.use(adapter)
            yield numbers

    @contextmanager
    def _sharing(self, looks: Sequence[Look]) -> Iterator[None]:
        """Where an image is looked at with several adapters, its features are kept for the call."""
        pairs = {(id(look.image), look.adapter) for look in looks}
        if self._remembered is None and len({image for image, _ in pairs}) < len(pairs):
            with self.remembering():
                yield
        else:
            yield

    def _decoded(
        self, features: torch.Tensor, asked: Sequence[Asked], rows: Mapping[int, Row]
    ) -> Iterator[tuple[int, Generated]]:
        """Rows whose answers are commonly of like length together, ROWS_AT_ONCE at most: they end at about the same
        step, so that no batch dwindles for long. Prompts that need more room than most are apart."""
        order = sorted(rows, key=lambda number: USUAL[asked[number].prompt.task])
        of_room: dict[int, list[int]] = {}
        for number in order:
            of_room.setdefault(room(rows[number], features.shape[1]), []).append(number)
        for chunk in (chunk for alike in of_room.values() for chunk in _even_chunks(alike, ROWS_AT_ONCE)):
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
        choices: dict[int, Choice] = {}
        with self._computing():
            for of_adapter in self._by_adapter([(number, pick.adapter) for number, pick in enumerate(picks)]):
                for numbers in _even_chunks(of_adapter, LOOKS_AT_ONCE):
                    chosen = self._chosen([picks[number] for number in numbers], least)
                    choices.update(zip(numbers, chosen, strict=True))
        return [choices[number] for number in range(len(picks))]

    def _chosen(self, picks: Sequence[Pick], least: float) -> Iterator[Choice]:
        images = {id(pick.image): pick.image for pick in picks}
        places = {key: number for number, key in enumerate(images)}
        rows = [Row(tuple(self._words.encode(pick.prompt.text)), places[id(pick.image)], 0) for pick in picks]
        (features,) = self._encoded([list(images.values())])
        # A tree's shape decides that of the steps, so that trees walked together would change each other.
        for some in _even_chunks(range(len(picks)), 1 if self._text.one_by_one else LOOKS_AT_ONCE):
            memory = self._text.remember(features, [rows[number] for number in some])
            yield from choose(self._text, memory, [picks[number].tree for number in some], least)

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
        """Within, an image object that is looked at or chosen about again is not encoded again, not with another
        adapter either that leaves the tower alone: for questions that follow from answers. Holds the images and their
        features (2 MB each at base size in float32) until it ends.
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
        most = 1 if self._text.one_by_one else IMAGES_AT_ONCE
        new = [[image for image in images if self._key(image) not in known] for images in groups]
        chunked = [list(_even_chunks(images, most)) for images in new]
        pixels = ahead(self._pixels, [chunk for chunks in chunked for chunk in chunks])
        for images, chunks in zip(groups, chunked, strict=True):
            seen = {
                self._key(image): (image, features)
                for chunk in chunks
                for image, features in zip(chunk, self._seen(pixels), strict=True)
            }
            if self._remembered is not None:
                self._remembered.update(seen)
            yield torch.stack([(seen.get(self._key(image)) or known[self._key(image)])[1] for image in images])

    def _key(self, image: Image.Image) -> tuple[int, str | None]:
        adapter = self._adapters.current
        return id(image), adapter.identity if adapter is not None and adapter.own_eyes else None

    def _seen(self, pixels: Iterator[torch.Tensor]) -> torch.Tensor:
        with self.stopwatch.part("preprocess"):  # only what was waited for
            some = next(pixels)
        with self.stopwatch.part("vision"):
            adapter = self._adapters.current
            return self._tower(some, eager=adapter is not None and adapter.own_eyes)

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
            engine=self.engine_for(look.adapter),
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
