"""Prefix trees: every allowed path is in them, nothing else is, whatever the paths are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.vision.florence import verify
from worker.vision.prefix_tree import Node, PrefixTree
from worker.vision.vocabulary import Vocabulary

END = 0
bodies = st.lists(st.integers(1, 4), max_size=6).map(tuple)
paths = st.lists(bodies, min_size=1, max_size=40, unique=True).map(lambda made: [(*body, END) for body in made])


def reached(tree: PrefixTree, node: Node) -> Iterator[tuple[tuple[int, ...], int]]:
    """Every path one can walk from a node, with the answer at its end."""
    shared, answer = tree.shared(node), tree.answer(node)
    if answer is not None:
        yield shared, answer
    for token, child in tree.children(node):
        assert tree.shared(child)[: len(shared) + 1] == (*shared, token)
        yield from reached(tree, child)


@given(paths)
def test_every_path_is_reached_once_and_nothing_else(made: list[tuple[int, ...]]) -> None:
    tree = PrefixTree([str(path) for path in made], [[path] for path in made])
    assert sorted(reached(tree, tree.root)) == sorted((path, number) for number, path in enumerate(made))


@given(paths)
def test_its_tokens_are_the_distinct_beginnings(made: list[tuple[int, ...]]) -> None:
    tree = PrefixTree([str(path) for path in made], [[path] for path in made])
    assert tree.tokens == len({path[:length] for path in made for length in range(1, len(path) + 1)})
    assert tree.longest == max(map(len, made))


def test_several_spellings_lead_to_one_answer() -> None:
    tree = PrefixTree(["one", "two"], [[(1, END), (2, 1, END)], [(2, END)]])
    assert sorted(reached(tree, tree.root)) == [((1, END), 0), ((2, END), 1), ((2, 1, END), 0)]


def test_answers_written_alike_are_refused() -> None:
    with pytest.raises(ValueError, match="'one' and 'two'"):
        PrefixTree(["one", "two"], [[(1, END)], [(2, END), (1, END)]])


@pytest.fixture(scope="module")
def words(tiny_checkpoint: Path) -> Vocabulary:
    processor = verify(tiny_checkpoint).processor
    return Vocabulary(processor.tokenizer, processor.num_image_tokens, 64)


def test_an_answer_is_written_with_and_without_a_leading_space(words: Vocabulary) -> None:
    for text, spellings in zip(["café mug", "a"], words.spellings(["café mug", "a"]), strict=True):
        read = {"".join(piece.text for piece in words.pieces(path)) for path in spellings}
        assert read == {text, f" {text}"}


def test_the_end_decides_between_an_answer_and_a_longer_one(words: Vocabulary) -> None:
    tree = PrefixTree.of(["red", "red mug", "red café mug"], words)
    found = {answer for _, answer in reached(tree, tree.root)}
    assert found == {0, 1, 2}


@pytest.mark.parametrize("answer", ["", "  ", "a <loc_7> mug", "</s>", "<pad>", "a<sep>b", "<image>"])
def test_answers_that_are_no_words_are_refused(words: Vocabulary, answer: str) -> None:
    with pytest.raises(ValueError, match="answer"):
        PrefixTree.of(["mug", answer], words)


@pytest.mark.parametrize("answers", [[], ["mug", "mug"]])
def test_no_answer_and_the_same_twice_are_refused(words: Vocabulary, answers: list[str]) -> None:
    with pytest.raises(ValueError, match=r"give at least one|written alike"):
        PrefixTree.of(answers, words)


def test_any_other_words_are_allowed(words: Vocabulary) -> None:
    answers = ["商品 < 5 €", "Animals & Pet Supplies > Live Animals", "MUG", "mug", "😀"]
    assert PrefixTree.of(answers, words).answers == tuple(answers)
