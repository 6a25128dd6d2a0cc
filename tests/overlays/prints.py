"""Kinds that write: contact details, listed words, harmless print."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image

from tests.overlays import banned, ink, phrases
from tests.overlays.drawn import WORDS, Drawn, Family

Draw = Callable[[Image.Image, random.Random], Drawn]


def contact(name: str) -> Draw:
    def draw(picture: Image.Image, rng: random.Random) -> Drawn:
        text, way = phrases.CONTACTS[name](rng)
        return Drawn(ink.write(picture, text, rng), frozenset({Family.CONTACT, Family.ADDED_TEXT}), way, text)

    return draw


def off_platform(picture: Image.Image, rng: random.Random) -> Drawn:
    """ "Order via WhatsApp": wording that leads buyers away, which the contact rules speak of too."""
    language = rng.choice(banned.LANGUAGES)
    text = rng.choice([term for term in banned.terms("off_platform", language) if len(term) <= 26])
    return Drawn(ink.write(picture, text, rng), frozenset({Family.CONTACT, Family.ADDED_TEXT}), language, text)


def listed(name: str) -> Draw:
    def draw(picture: Image.Image, rng: random.Random) -> Drawn:
        text, way = banned.banned(name, rng)
        return Drawn(ink.write(picture, text, rng), frozenset({WORDS[name], Family.ADDED_TEXT}), way, text)

    return draw


def harmless(picture: Image.Image, rng: random.Random) -> Drawn:
    """Added text, and nothing worse."""
    name = rng.choice(sorted(phrases.HARMLESS))
    text = phrases.HARMLESS[name](rng)
    return Drawn(ink.write(picture, text, rng), frozenset({Family.ADDED_TEXT}), name, text)


def harmless_list(picture: Image.Image, rng: random.Random) -> Drawn:
    """Three lines of harmless print under one another, one of them twice: sizes and prices repeat honestly."""
    first, second = (phrases.HARMLESS[name](rng) for name in rng.sample(sorted(phrases.HARMLESS), 2))
    out = picture
    for text, y in ((first, 0.12), (second, 0.3), (first, 0.86)):
        out = ink.write(out, text, rng, y)
    return Drawn(out, frozenset({Family.ADDED_TEXT}), "three lines", f"{first} | {second}")
