"""Choosing: which of the allowed answers a model would write, and how probable each is.

An answer's probability is the product of its tokens' (end token included) under the whole vocabulary, summed over its
spellings and divided by the sum over all allowed answers: what the model thinks, given that it must say one of them.
Masking at every step and normalising there, as constrained generation commonly does, would give a chain of forced
tokens probability 1 however little the model believes in it.

A small tree is scored whole, so that its figures are exact. In a large one the likeliest beginnings are followed, and
what may lie behind the others is counted against the answers found (walk.py), so that no probability is overstated.

All open beginnings of a row are decoded side by side in one sequence, each token seeing its own ancestors only (tree
attention, as in SpecInfer, arXiv:2305.09781), so that the image and the prompt are looked back at once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image

from worker.vision.caches import Memory, moves
from worker.vision.prefix_tree import PrefixTree
from worker.vision.prompts import Prompt
from worker.vision.text_model import TextModel
from worker.vision.walk import Fed, Walk, log_sum

TOKENS_AT_ONCE = 1024  # of all rows in one step; bounds the logits (205 kB a token at base size)


@dataclass(frozen=True, slots=True)
class Pick:
    """One choice to make: which of the tree's answers fits the image under the prompt. Picks that share an image
    object share its features. adapter: as in Look."""

    image: Image.Image
    prompt: Prompt
    tree: PrefixTree
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen among the allowed answers.

    answer: None where its probability is below the threshold asked for. probability: of the likeliest answer, chosen
    or not; never overstated. ranked: every answer found with its probability, likeliest first; all of them when
    unexplored is 0, which says that the figures are exact. unexplored: at most so much belongs to answers that were not
    looked at. mass: how probable it is (at least) that the model, left to itself, writes one of the answers found;
    little means that none of them was on its mind.
    """

    answer: str | None
    probability: float
    ranked: tuple[tuple[str, float], ...]
    unexplored: float
    mass: float


@dataclass(slots=True)
class _Row:
    """A walk and which places of its sequence each token sees, itself last."""

    walk: Walk
    sight: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def place(self, items: Sequence[Fed], first: int) -> None:
        """Give the items their places from `first` on."""
        for item in items:
            item.first = first
            seen = self.sight.get(item.parent, ())
            for place in range(first, first + len(item.tokens)):
                seen = (*seen, place)
                self.sight[place] = seen
            first += len(item.tokens)


def choose(model: TextModel, memory: Memory, trees: Sequence[PrefixTree], least: float) -> list[Choice]:
    """For each row the answer its tree allows, abstaining below the probability `least`.

    memory: of the rows (TextModel.remember); used up afterwards. trees: one for each row.
    """
    everything = [_Row(Walk(tree, model.start)) for tree in trees]
    live = list(everything)
    while live:
        _step(model, memory, live)
        ended = [row.walk.done for row in live]
        sources, targets = moves(ended)
        for source, target in zip(sources, targets, strict=True):
            live[target] = live[source]
        live = live[: len(live) - sum(ended)]
        memory.move(sources, targets, len(live))
    return [_choice(row.walk, least) for row in everything]


def _step(model: TextModel, memory: Memory, live: Sequence[_Row]) -> None:
    """Every walk one step on."""
    fed = [row.walk.feed(TOKENS_AT_ONCE // len(live)) for row in live]
    for row, items in zip(live, fed, strict=True):
        row.place(items, memory.length)
    first = memory.length
    logits = model.step(memory, *_batch(live, fed, first, model))
    asked = [
        (number, item.first - first + place, token)
        for number, items in enumerate(fed)
        for item in items
        for place, token in item.wanted()
    ]
    numbers, places, tokens = torch.tensor(asked, device=logits.device).unbind(dim=1)
    log_probs = iter((logits[numbers, places, tokens] - logits.logsumexp(dim=-1)[numbers, places]).tolist())
    for row, items in zip(live, fed, strict=True):
        for item in items:
            row.walk.learn(item, [next(log_probs) for _ in item.wanted()])


def _batch(
    live: Sequence[_Row], fed: Sequence[Sequence[Fed]], first: int, model: TextModel
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens and positions (rows, tokens) and who sees whom (rows, 1, tokens, first + tokens). What fills up a row
    that feeds less than the longest sees itself alone, and is seen by none."""
    longest = max(sum(len(item.tokens) for item in items) for items in fed)
    tokens = torch.full((len(live), longest), model.pad)
    positions = torch.zeros(len(live), longest, dtype=torch.long)
    mask = torch.zeros(len(live), 1, longest, first + longest, dtype=torch.bool)
    mask[:, 0, :, first:] = torch.eye(longest, dtype=torch.bool)
    for number, (row, items) in enumerate(zip(live, fed, strict=True)):
        for item in items:
            place = slice(item.first - first, item.first - first + len(item.tokens))
            tokens[number, place] = torch.tensor(item.tokens)
            positions[number, place] = torch.arange(item.start, item.start + len(item.tokens))
            for own in range(item.first, item.first + len(item.tokens)):
                mask[number, 0, own - first, list(row.sight[own])] = True
    return tokens.to(model.device), positions.to(model.device), mask.to(model.device)


def _choice(walk: Walk, least: float) -> Choice:
    rest, found = walk.rest, walk.found
    whole = log_sum([rest, *found.values()])
    likeliest = sorted(found, key=lambda number: (-found[number], number))
    ranked = tuple((walk.tree.answers[number], math.exp(found[number] - whole)) for number in likeliest)
    answer, probability = ranked[0]
    mass = min(1.0, math.exp(log_sum(found.values())))
    return Choice(answer if probability >= least else None, probability, ranked, math.exp(rest - whole), mass)
