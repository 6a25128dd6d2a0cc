"""Scenes as training batches: rendered in worker processes, in the order of their index, so that a run can resume."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import BartTokenizer, Florence2Processor

from domain.observations import Task
from worker.training import heads, strips
from worker.training.fresh import STRIDE
from worker.training.synth import asked, scenes, targets
from worker.training.synth.scenes import Rendered, Scene, Setting
from worker.vision.prompts import SENTENCES

Sample = dict[str, Any]


@dataclass(frozen=True)
class Feed:
    """What a stage is fed with."""

    seed: int
    size: int  # pixels of the square the tower sees
    settings: tuple[tuple[Setting, float], ...]  # kinds of scenes with their shares
    tasks: tuple[tuple[str, float], ...] = ()  # shares of the prompts; none before the language model joins
    prompts: int = 3  # prompts a scene
    strip: int | None = None  # pixels: only a strip of this height is seen, at any row of the whole picture

    def start_of_strip(self, index: int) -> int:
        """The row of tokens of the whole picture at which the strip of scene `index` lies."""
        rows = (self.size - (self.strip or self.size)) // STRIDE
        return random.Random(self.seed * 3_999_971 + index).randint(0, rows)

    def scene(self, index: int) -> Scene:
        """Scene `index`, of a kind drawn by its share."""
        choices, shares = zip(*self.settings, strict=True)
        setting = random.Random(self.seed * 15_485_863 + index).choices(choices, shares)[0]
        return scenes.sample(self.seed, index, setting)


def squashed(rendered: Rendered, size: tuple[int, int]) -> Rendered:
    """Width and height as given, as the processor makes a square; labels are shares, so only the maps change."""
    if rendered.picture.size == size:
        return rendered

    def nearest(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))

    return dataclasses.replace(
        rendered,
        picture=rendered.picture.resize(size, Image.Resampling.BICUBIC),
        instances=nearest(rendered.instances),
        characters=nearest(rendered.characters),
    )


class Spelling:
    """Text to token ids without the tokenizer's per-call overhead; read text goes letter by letter."""

    def __init__(self, processor: Florence2Processor) -> None:
        tokenizer: BartTokenizer = processor.tokenizer
        self.fast = tokenizer.backend_tokenizer
        self.bos, self.eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        self.known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        return list(self.fast.encode(text, add_special_tokens=False).ids)

    def prompt(self, text: str) -> list[int]:
        """As the engine sends it, without the image tokens."""
        task, _, asked_for = text[1:].partition(">")
        expanded = SENTENCES[Task(task.lower())].replace("{input}", asked_for)
        if expanded not in self.known:
            # Prompts with places or phrases are endless; keep only what comes again.
            ids = [self.bos, *self.ids(expanded), self.eos]
            if text in targets.WITHOUT_INPUT:
                self.known[expanded] = ids
            return ids
        return self.known[expanded]

    def answer(self, task: str, text: str) -> list[int]:
        if task not in asked.READING:
            return [self.bos, *self.ids(text), self.eos]
        # Letter by letter, as random strings have to be read: merged pairs would teach whole words only.
        pieces = re.findall(r"<loc_\d+>|.", text)
        return [self.bos, *(token for piece in pieces for token in self.one(piece)), self.eos]

    def one(self, letter: str) -> list[int]:
        if letter not in self.known:
            self.known[letter] = self.ids(letter)
        return self.known[letter]


class Scenes(Dataset[Sample]):
    """Scene `index` of a feed as arrays."""

    def __init__(self, feed: Feed, processor: Florence2Processor | None) -> None:
        self.feed = feed
        self.spelling = Spelling(processor) if processor else None

    def __getitem__(self, index: int) -> Sample:
        feed = self.feed
        height = feed.strip or feed.size
        rendered = squashed(scenes.render(feed.scene(index), height), (feed.size, height))
        cells = heads.label(rendered)
        sample: Sample = {"pixels": np.asarray(rendered.picture), **dataclasses.asdict(cells)}
        if feed.strip:
            sample["first"] = feed.start_of_strip(index)
            rendered = strips.placed(rendered, sample["first"], feed.size)
        if self.spelling and feed.tasks:
            rng = random.Random(feed.seed * 7_368_787 + index)
            names = [name for name, _ in feed.tasks]
            # Scenes without lettering have nothing to read; half of them still teach to answer nothing.
            shares = [
                share * (0.5 if name in asked.READING and not rendered.scene.lines else 1.0)
                for name, share in feed.tasks
            ]
            chosen = _without_repeats(rng, names, shares, feed.prompts)
            pairs = [(task, *asked.pair(rendered, task, rng)) for task in chosen]
            sample["pairs"] = [(self.spelling.prompt(p), self.spelling.answer(task, a)) for task, p, a in pairs]
        return sample


def _without_repeats(rng: random.Random, names: list[str], shares: list[float], count: int) -> list[str]:
    chosen: list[str] = []
    names, shares = list(names), list(shares)
    while names and len(chosen) < count:
        place = rng.choices(range(len(names)), shares)[0]
        chosen.append(names.pop(place))
        shares.pop(place)
    return chosen


def collate(samples: list[Sample]) -> dict[str, Any]:
    """Arrays to tensors; prompt pairs stay lists with the place of their scene."""
    batch: dict[str, Any] = {
        name: torch.from_numpy(np.stack([sample[name] for sample in samples]))
        for name in ("pixels", "kinds", "boxes", "colours", "letters")
    }
    batch["main"] = torch.tensor([sample["main"] for sample in samples])
    batch["first"] = torch.tensor([sample["first"] for sample in samples]) if "first" in samples[0] else None
    batch["pairs"] = [(row, *pair) for row, sample in enumerate(samples) for pair in sample.get("pairs", ())]
    return batch


MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def ready(batch: dict[str, Any]) -> dict[str, Any]:
    """Pixels as the processor would give them; labels as cross entropy wants them."""
    pixels: Tensor = batch["pixels"]
    out = dict(batch)
    out["pixels"] = (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
    for name in ("kinds", "colours", "letters"):
        out[name] = batch[name].long()
    return out


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def stream(
    feed: Feed,
    processor: Florence2Processor | None,
    *,
    start: int,
    batch: int,
    workers: int,
    share: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, Any]]:
    """Batches from scene `start` on, without end; of several processes each takes its share of every batch."""
    rank, ranks = share
    data = Scenes(feed, processor)
    loader: DataLoader[Sample] = DataLoader(
        data,
        batch_size=batch // ranks,
        sampler=range(start + rank, 1 << 40, ranks),
        num_workers=workers,
        collate_fn=collate,
        prefetch_factor=6 if workers else None,
        worker_init_fn=_one_thread,
    )
    for item in loader:
        yield ready(item)
