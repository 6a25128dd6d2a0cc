"""Walks through prefix trees against all answers' true probabilities, with a made-up model."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.vision import walk as walk_module
from worker.vision.prefix_tree import PrefixTree
from worker.vision.walk import Walk

START, END, TOKENS = 9, 0, 5
bodies = st.lists(st.integers(1, TOKENS - 1), max_size=5).map(tuple)
trees = st.lists(bodies, min_size=1, max_size=30, unique=True).map(
    lambda made: PrefixTree([str(body) for body in made], [[(*body, END)] for body in made])
)


def log_probs(prefix: tuple[int, ...], seed: int) -> list[float]:
    """Of every token after a prefix; the same each time."""
    chance = random.Random(f"{seed} {prefix}")
    weights = [chance.random() ** 3 + 1e-6 for _ in range(TOKENS)]
    return [math.log(weight / sum(weights)) for weight in weights]


def run(walk: Walk, seed: int, room: int) -> Walk:
    """Feed a walk as a decoder would: every token of the sequence knows its ancestors."""
    sequence: list[tuple[int, ...]] = []  # of each place the tokens up to it, the start token left out
    while not walk.done:
        items = walk.feed(room)
        assert items
        for item in items:
            item.first = len(sequence)
            before = sequence[item.parent] if item.parent >= 0 else ()
            for token in item.tokens:
                before = before if token == START else (*before, token)
                sequence.append(before)
            assert len(before) == item.start + len(item.tokens) - 1
        for item in items:
            walk.learn(item, [log_probs(sequence[item.first + place], seed)[token] for place, token in item.wanted()])
    return walk


def true_probabilities(tree: PrefixTree, seed: int) -> dict[int, float]:
    """Not normalised."""
    sums: dict[int, float] = {}
    for number, answer in enumerate(tree.answers):
        path = (*eval(answer), END)
        sums[number] = math.exp(sum(log_probs(path[:place], seed)[token] for place, token in enumerate(path)))
    return sums


@given(trees, st.integers(0, 99), st.integers(1, 20))
def test_a_small_tree_is_scored_whole(tree: PrefixTree, seed: int, room: int) -> None:
    walk = run(Walk(tree, START), seed, room)
    found = {number: math.exp(value) for number, value in walk.found.items()}
    assert found == pytest.approx(true_probabilities(tree, seed))
    assert walk.unexplored == 0
    assert sum(found.values()) <= 1 + 1e-9


@given(trees, st.integers(0, 99), st.integers(1, 20), st.integers(1, 3), st.integers(1, 30))
def test_a_large_tree_is_never_overstated(tree: PrefixTree, seed: int, room: int, width: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk_module, "EXACT_TOKENS", 0)
        patch.setattr(walk_module, "WIDTH", width)
        patch.setattr(walk_module, "MOST_TOKENS", most)
        walk = run(Walk(tree, START), seed, room)
    true = true_probabilities(tree, seed)
    assert walk.found, "a walk ends with an answer"
    found = {number: math.exp(value) for number, value in walk.found.items()}
    assert found == pytest.approx({number: true[number] for number in found})
    missing = sum(value for number, value in true.items() if number not in found)
    assert missing <= math.exp(walk.rest) + 1e-9
    assert sum(found.values()) + math.exp(walk.rest) <= 1 + 1e-9


def test_a_walk_stops_when_the_rest_cannot_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "EXACT_TOKENS", 0)
    bodies = [(first, second) for first in range(1, TOKENS) for second in range(1, TOKENS)]
    tree = PrefixTree([str(body) for body in bodies], [[(*body, END)] for body in bodies])
    sure = {(): 1, (1,): 2, (1, 2): END}
    walk, sequence = Walk(tree, START), []
    while not walk.done:
        for item in walk.feed(100):
            before = sequence[item.parent] if item.parent >= 0 else ()
            item.first = len(sequence)
            for token in item.tokens:
                before = before if token == START else (*before, token)
                sequence.append(before)
            walk.learn(
                item,
                [
                    math.log(0.999 if sure.get(sequence[item.first + place]) == token else 0.0002)
                    for place, token in item.wanted()
                ],
            )
    assert tree.answers[max(walk.found, key=lambda number: walk.found[number])] == "(1, 2)"
    assert len(walk.found) < len(bodies) and walk.unexplored <= walk_module.UNEXPLORED
