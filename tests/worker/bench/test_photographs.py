"""A caption names a class by its label, another word for it, or the plural, and by nothing else."""

from __future__ import annotations

import pytest

from worker.bench.photographs import names


@pytest.mark.parametrize(
    ("label", "caption"),
    [
        ("dress", "Two dresses on a chair"),
        ("red-beet", "a red beet on wood"),
        ("hat", "a blue cap"),
        ("shoes", "a hiking boot"),
        ("t-shirt", "a white t-shirt"),
    ],
)
def test_named(label: str, caption: str) -> None:
    assert names(label, caption)


@pytest.mark.parametrize(
    ("label", "caption"),
    [("dress", "an address label"), ("hat", "what a chat"), ("apple", "a pineapple")],
)
def test_not_named(label: str, caption: str) -> None:
    assert not names(label, caption)
