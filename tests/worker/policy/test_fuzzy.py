"""Misread and mistyped terms: found by an index, never for short or ordinary words, with evidence of how."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from worker.bench.words import some_terms
from worker.policy.words.fuzzy import FuzzyIndex, allowed_distance
from worker.policy.words.lists import WordList
from worker.policy.words.normalise import plain_tokens
from worker.policy.words.terms import Hit, How, TermMatcher

FUZZY = WordList(
    "counterfeit", ("replica", "counterfeit", "fake", "clone", "mirror quality", "AAA quality"), "en", True
)
EXACT = WordList("abuse", ("scoundrel",), "en", False)
MATCHER = TermMatcher([FUZZY, EXACT], ["no replica"], known=["quality", "clove"])


def found(written: str, matcher: TermMatcher = MATCHER) -> list[tuple[str, How, int]]:
    return [(hit.term, hit.how, hit.distance) for hit in matcher.find(written)]


@pytest.mark.parametrize(
    ("written", "term", "how", "distance"),
    [
        ("replica", "replica", How.EXACT, 0),
        ("REPL-ICA", "replica", How.SPLIT, 0),
        ("r3pl1ca", "replica", How.LEET, 0),
        ("replika", "replica", How.FUZZY, 1),  # another letter
        ("replca", "replica", How.FUZZY, 1),  # one too few
        ("repplica", "replica", How.FUZZY, 1),  # one too many
        ("erplica", "replica", How.FUZZY, 1),  # swapped
        ("xeplica", "replica", How.FUZZY, 1),  # the first letter
        ("replikas", "replica", How.FUZZY, 1),  # plural
        ("ｒеplіka", "replica", How.FUZZY, 1),  # look-alikes and a slip
        ("counterfiet", "counterfeit", How.FUZZY, 1),
        ("counterfect", "counterfeit", How.FUZZY, 1),
        ("countrefiet", "counterfeit", How.FUZZY, 2),
        ("counteneit", "counterfeit", How.FUZZY, 2),
        ("cloneX", "clone", How.FUZZY, 1),
        ("mirrar quality", "mirror quality", How.FUZZY, 1),
        ("mirror qualitv", "mirror quality", How.FUZZY, 1),
        ("AAA qualty", "AAA quality", How.FUZZY, 1),
    ],
)
def test_terms_are_found_with_how_they_were_written(written: str, term: str, how: How, distance: int) -> None:
    assert found(written) == [(term, how, distance)]


@pytest.mark.parametrize(
    "written",
    [
        "fako",  # short words are never misread
        "fakes are fack",
        "lone",
        "replik",  # two slips in a word of seven letters
        "sounterfiet",  # two slips, and the first letter among them
        "scoundrei",  # this list is not fuzzy
        "clove",  # an ordinary word
        "cloves",
        "no replika",  # nearly an allowed phrase
        "mirror quantity",
        "mirror",
        "quality",
        "quality AAA",
        "cl0n3x9",  # a code
        "replicareplica",
        "x" * 5_000,
    ],
)
def test_other_words_are_left_alone(written: str) -> None:
    assert [one for one in found(written) if one[1] is How.FUZZY] == []


def test_only_words_that_the_exact_pass_left_are_looked_up() -> None:
    assert found("replica replika") == [("replica", How.EXACT, 0), ("replica", How.FUZZY, 1)]
    assert found("1:1 replica") == [("replica", How.EXACT, 0)]


def test_a_hit_points_at_all_words_of_its_term() -> None:
    written = "in mirrar   quality, now"
    assert MATCHER.find(written) == [Hit("mirror quality", "counterfeit", 3, 19, "en", How.FUZZY, 1)]


def test_the_nearest_term_wins_and_each_list_speaks_once() -> None:
    lists = [WordList("a", ("marble", "garble"), "", True), WordList("b", ("warble",), "", True)]
    hits = TermMatcher(lists).find("varble")
    assert [(hit.list, hit.distance) for hit in hits] == [("a", 1), ("b", 1)]


TERMS = some_terms(2_000)
LARGE = FuzzyIndex([WordList("many", tuple(term for term in TERMS if " " not in term), "en", True)])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_index_finds_what_a_scan_of_all_terms_finds(seed: int) -> None:
    """Random slips in random terms; the scan is the truth."""
    chance = random.Random(seed)
    letters = list(chance.choice([term for term in TERMS if " " not in term and len(term) >= 5]))
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(letters))
        letters[place : place + chance.randint(0, 1)] = chance.choice(["", chance.choice(string.ascii_lowercase)])
    written = "".join(letters)
    expected = {
        (term, distance)
        for term in TERMS
        if " " not in term
        and len(written) >= 5
        and 1 <= (distance := OSA.distance(term, written)) <= allowed_distance(term)
        and (distance < 2 or term[0] == written[0])
    }
    hits = LARGE.find(plain_tokens(written), [True])
    got = {(hit.term, hit.distance) for hit in hits}
    # A word with a plural's ending is looked up without it only when it is near nothing as it stands.
    assert got == expected or (not expected and written.endswith("s"))


def test_ten_thousand_terms_are_searched_and_still_found() -> None:
    terms = some_terms(10_000)
    matcher = TermMatcher([WordList("many", tuple(terms), "en", fuzzy=True)])
    chance = random.Random(3)
    for term in chance.sample(terms, 50):
        assert term in {hit.term for hit in matcher.find(f"new: {term}, 19.99")}
    for term in chance.sample([term for term in terms if len(term) > 9 and " " not in term], 50):
        misread = term[:4] + ("x" if term[4] != "x" else "y") + term[5:]
        assert any(hit.how is How.FUZZY and hit.distance <= 2 for hit in matcher.find(misread)), term


adversarial = st.lists(
    st.sampled_from(["replic", "counterf", "a", "1", "!", " ", "-", "\u200b", "е", "quality ", "ｒ", "|", "@", "s"]),
    min_size=1,
    max_size=12,
).map(lambda parts: ("".join(parts) * 20_000)[:20_000])


@settings(max_examples=25, deadline=None)
@given(text=adversarial)
def test_long_hostile_texts_are_searched_to_the_end(text: str) -> None:
    for hit in MATCHER.find(text):
        assert 0 <= hit.start < hit.end <= len(text)
