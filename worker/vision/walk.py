"""Walks: one row's way through its prefix tree, without a model: what to score next, and what the scores say.

A small tree is scored whole. In a large one the walk follows the likeliest beginnings first. What lies behind a
beginning can never be more probable than the beginning itself, so that the probability of what was not looked at is
known to be at most the sum of the open beginnings.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from worker.vision.prefix_tree import Node, PrefixTree

EXACT_TOKENS = 1024  # trees up to so many tokens are scored whole
MOST_TOKENS = 1024  # that a walk through a larger tree spends; more only where no answer is complete yet
WIDTH = 8  # beginnings that such a walk follows at once
UNEXPLORED = 0.01  # share of the probability at which it stops looking for more


@dataclass(slots=True)
class _Open:
    """A beginning whose last token is scored but not yet fed. parent: place in the sequence of the token before."""

    node: Node
    log_prob: float
    parent: int


@dataclass(slots=True)
class Fed:
    """An open beginning's tokens on their way through the decoder, and what may follow the last of them.

    parent: place in the row's sequence of the token before the first, -1 for the start token. start: position of the
    first in the answer. first: its place in the row's sequence, given by whoever feeds it.
    """

    opened: _Open
    tokens: tuple[int, ...]
    start: int
    following: tuple[int, ...]
    first: int = 0

    @property
    def parent(self) -> int:
        return self.opened.parent

    def wanted(self) -> list[tuple[int, int]]:
        """Which log-probabilities `learn` needs: of a token, after the token at a place (counted from the first)."""
        last = len(self.tokens) - 1
        return [*enumerate(self.tokens[1:]), *((last, token) for token in self.following)]


@dataclass(slots=True)
class Walk:
    """One row's way through its tree."""

    tree: PrefixTree
    start: int  # the decoder's start token
    found: dict[int, float] = field(default_factory=dict)  # answer's number to log-probability
    spent: int = 0
    _open: list[tuple[float, int, _Open]] = field(default_factory=list)  # a heap, likeliest first
    _fresh: list[_Open] = field(default_factory=list)  # what the last step opened
    _count: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._push(_Open(self.tree.root, 0.0, -1))

    @property
    def exact(self) -> bool:
        return self.tree.tokens <= EXACT_TOKENS

    @property
    def done(self) -> bool:
        if not self._open:
            return True
        if self.exact or not self.found:
            return False
        return self.spent >= MOST_TOKENS or self.unexplored <= UNEXPLORED

    @property
    def rest(self) -> float:
        """Log-probability that all answers not found have together, at most."""
        return log_sum(-cost for cost, _, _ in self._open)

    @property
    def unexplored(self) -> float:
        """The same as a share of all allowed answers' probability."""
        rest = self.rest
        return math.exp(rest - log_sum([rest, *self.found.values()]))

    def feed(self, room: int) -> list[Fed]:
        """What goes through the decoder next: as many tokens as there is room for, one beginning at least."""
        fed: list[Fed] = []
        width = len(self._open) if self.exact else WIDTH
        for opened in self._next(width):
            item = self._tokens(opened)
            if fed and len(item.tokens) > room:
                self._push(opened)
                continue
            room -= len(item.tokens)
            self.spent += len(item.tokens)
            fed.append(item)
        self._fresh = []
        return fed

    def _next(self, width: int) -> list[_Open]:
        """The likeliest open beginnings; until an answer is complete, those of the last step (a beam), because the
        likeliest of all are short ones, and a walk that goes back to them may come to no end."""
        if self._fresh and not self.found and not self.exact:
            chosen = heapq.nlargest(width, self._fresh, key=lambda opened: opened.log_prob)
            taken = {id(opened) for opened in chosen}
            self._open = [entry for entry in self._open if id(entry[2]) not in taken]
            heapq.heapify(self._open)
            return chosen
        return [heapq.heappop(self._open)[2] for _ in range(min(width, len(self._open)))]

    def _tokens(self, opened: _Open) -> Fed:
        node, shared = opened.node, self.tree.shared(opened.node)
        leaf = self.tree.answer(node) is not None
        known = max(node.depth - 1, 0)  # tokens fed before, without the start token
        rest = shared[known : len(shared) - leaf]
        following = shared[-1:] if leaf else tuple(token for token, _ in self.tree.children(node))
        if node.depth == 0:
            return Fed(opened, (self.start, *rest), 0, following)
        return Fed(opened, rest, known + 1, following)

    def learn(self, item: Fed, log_probs: Sequence[float]) -> None:
        """log_probs: what `item.wanted` asked for, in its order."""
        chain = len(item.tokens) - 1
        log_prob = item.opened.log_prob + math.fsum(log_probs[:chain])
        answer = self.tree.answer(item.opened.node)
        if answer is not None:
            self._complete(answer, log_prob + log_probs[chain])
            return
        last = item.first + chain
        for (_, child), follows in zip(self.tree.children(item.opened.node), log_probs[chain:], strict=True):
            self._branch(_Open(child, log_prob + follows, last))

    def _branch(self, opened: _Open) -> None:
        """An end token completes its answer: there is nothing left to feed."""
        answer = self.tree.answer(opened.node)
        if answer is not None and len(self.tree.shared(opened.node)) == opened.node.depth:
            self._complete(answer, opened.log_prob)
        else:
            self._fresh.append(opened)
            self._push(opened)

    def _complete(self, answer: int, log_prob: float) -> None:
        self.found[answer] = log_sum([self.found.get(answer, -math.inf), log_prob])

    def _push(self, opened: _Open) -> None:
        heapq.heappush(self._open, (-opened.log_prob, next(self._count), opened))


def log_sum(values: Iterable[float]) -> float:
    """log of the sum of exponentials."""
    listed = list(values)
    most = max(listed, default=-math.inf)
    return most if most == -math.inf else most + math.log(sum(math.exp(value - most) for value in listed))
