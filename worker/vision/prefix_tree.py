"""Prefix trees: the answers a model may choose among, as token paths (as in GENRE, arXiv:2010.00904).

The tree is never built: it is the list of its paths in order, and a node is a range of that list. What the first and
the last path of a range share, all of it shares, so that a chain without a branch is one node, and ten thousand
category paths take no more memory than their tokens. Every path ends with a token that stands nowhere else, hence none
is the beginning of another: where one answer is ("Bags" of "Bags > Totes"), the end token is a branch like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.vision.vocabulary import Vocabulary

Path = tuple[int, ...]
NO_ANSWER = "There is no answer to choose; give at least one."


@dataclass(frozen=True, slots=True)
class Node:
    """Paths first..last (half-open) of the tree. They share at least the first `depth` tokens; the last of these is the
    branch that led here (0: the root, no token yet)."""

    first: int
    last: int
    depth: int


class PrefixTree:
    """answers: in the order given. longest: tokens of the longest path. tokens: edges of the whole tree."""

    def __init__(self, answers: Sequence[str], spellings: Sequence[Iterable[Path]]) -> None:
        """spellings: the paths of each answer, every one ending with an end token, which stands nowhere else.

        Raises ValueError without answers, and where two answers share a path.
        """
        if not spellings:
            raise ValueError(NO_ANSWER)
        self.answers = tuple(answers)
        pairs = sorted((path, number) for number, paths in enumerate(spellings) for path in set(paths))
        self._paths = [path for path, _ in pairs]
        self._owners = [number for _, number in pairs]
        shared = [_shared(one, other) for one, other in zip(self._paths, self._paths[1:], strict=False)]
        for place, common in enumerate(shared):
            if common == len(self._paths[place]):
                one, other = (self.answers[self._owners[place + more]] for more in (0, 1))
                raise ValueError(f"Two answers are written alike: {one!r} and {other!r}. Leave one of them out.")
        self.longest = max(map(len, self._paths))
        self.tokens = sum(map(len, self._paths)) - sum(shared)

    @classmethod
    def of(cls, answers: Sequence[str], vocabulary: Vocabulary, place: int | None = None) -> PrefixTree:
        """The tree of these answers in a checkpoint's own tokens, each with and without a leading space.

        place: 0..999; an answer may also end with this place token.

        Raises ValueError for an answer that is empty, given twice, or holds special tokens.
        """
        if not answers:
            raise ValueError(NO_ANSWER)
        return cls(answers, vocabulary.spellings(answers, place))

    @property
    def root(self) -> Node:
        return Node(0, len(self._paths), 0)

    def shared(self, node: Node) -> Path:
        """The tokens that all paths of a node begin with, from the first one on; a leaf's whole path."""
        first, last = self._paths[node.first], self._paths[node.last - 1]
        return first[: _shared(first, last)]

    def children(self, node: Node) -> list[tuple[int, Node]]:
        """The tokens that may follow what a node shares, each with the node it leads to; none after a leaf."""
        if self.answer(node) is not None:
            return []
        depth = len(self.shared(node))
        found: list[tuple[int, Node]] = []
        first = node.first
        while first < node.last:
            token = self._paths[first][depth]
            last = self._end_of(token, depth, first, node.last)
            found.append((token, Node(first, last, depth + 1)))
            first = last
        return found

    def answer(self, node: Node) -> int | None:
        """Which answer a leaf is, None for an inner node."""
        return self._owners[node.first] if node.last - node.first == 1 else None

    def _end_of(self, token: int, depth: int, first: int, last: int) -> int:
        """Where the paths with this token at this depth end, by bisection."""
        while first < last:
            middle = (first + last) // 2
            if self._paths[middle][depth] <= token:
                first = middle + 1
            else:
                last = middle
        return first


def _shared(one: Path, other: Path) -> int:
    """How many tokens two paths begin with alike."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))
