"""Colour words in four languages, as families that people tell apart, and which families a photo may confuse."""

from __future__ import annotations

from functools import cache

from worker.policy.words.lists import WordList
from worker.policy.words.terms import Hit, TermMatcher

MANY = "many"  # colourful things: any colour agrees with them
_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "black": "black,jet black",
        "white": "white,off-white,ivory",
        "grey": "grey,gray,charcoal,anthracite",
        "red": "red,crimson,scarlet,burgundy,maroon",
        "pink": "pink,fuchsia,magenta",
        "orange": "orange,coral",
        "yellow": "yellow,mustard",
        "green": "green,olive,khaki,mint green",
        "blue": "blue,navy,navy blue",
        "purple": "purple,violet,lilac,lavender",
        "brown": "brown,chocolate brown,tan brown",
        "beige": "beige,cream-coloured,cream-colored",
        "gold": "gold,golden",
        "silver": "silver",
        "turquoise": "turquoise,teal,aqua",
        MANY: "multicolour,multicolor,multicoloured,multicolored,multi-colour,colourful,colorful,rainbow,patchwork",
    },
    "de": {
        "black": "schwarz,tiefschwarz",
        "white": "weiß,cremeweiß,elfenbein",
        "grey": "grau,hellgrau,dunkelgrau,anthrazit",
        "red": "rot,dunkelrot,hellrot,weinrot,bordeaux",
        "pink": "rosa,pinkfarben,altrosa",
        "orange": "orangefarben",
        "yellow": "gelb,senfgelb",
        "green": "grün,dunkelgrün,hellgrün,olivgrün",
        "blue": "blau,hellblau,dunkelblau,marineblau",
        "purple": "lila,violett,flieder",
        "brown": "braun,dunkelbraun,hellbraun",
        "gold": "goldfarben,golden",
        "silver": "silberfarben,silbern",
        "turquoise": "türkis,petrol",
        MANY: "bunt,mehrfarbig",
    },
    "fr": {
        "black": "noir",
        "white": "blanc,blanche,écru,ivoire",
        "grey": "gris,grise",
        "red": "rouge,rouge bordeaux",
        "pink": "rose",
        "yellow": "jaune",
        "green": "vert,verte,kaki",
        "blue": "bleu,bleue,bleu marine",
        "purple": "violet,violette,mauve",
        "brown": "marron,brun,brune",
        "gold": "doré,dorée",
        "silver": "argenté,argentée",
        MANY: "multicolore",
    },
    "es": {
        "black": "negro,negra",
        "white": "blanco,blanca",
        "grey": "gris,grises",
        "red": "rojo,roja,granate",
        "pink": "rosa,fucsia",
        "orange": "naranja",
        "yellow": "amarillo,amarilla,mostaza",
        "green": "verde,caqui",
        "blue": "azul,azul marino",
        "purple": "morado,morada,violeta",
        "brown": "marrón,marrones",
        "gold": "dorado,dorada",
        "silver": "plateado,plateada",
        "turquoise": "turquesa",
        MANY: "multicolor,colorido",
    },
}
# Words that hold a colour's name and mean no colour of the thing.
_NO_COLOUR = (
    *("gold plated", "gold filled", "white gold", "rose gold", "sterling silver", "silver plated", "925 silver"),
    *("orange juice", "red wine", "white wine", "green tea", "black tea", "black forest", "white noise", "red light"),
    *("green screen", "blue light", "black friday", "rose gold plated", "pink floyd", "red bull", "or blanc"),
)
# Families that light, white balance or taste confuse, each pair once.
_NEAR = (
    *("black grey", "black blue", "black brown", "black purple", "black green", "white beige", "white grey"),
    *("white silver", "grey silver", "grey blue", "grey beige", "grey green", "grey brown", "red pink", "red orange"),
    *("red brown", "red purple", "pink purple", "pink orange", "pink beige", "orange yellow", "orange brown"),
    *("orange gold", "yellow gold", "yellow beige", "yellow green", "green turquoise", "green blue", "green brown"),
    *("blue turquoise", "blue purple", "brown beige", "brown gold", "beige gold", "silver blue"),
)
_CONFUSED = frozenset(frozenset(pair.split()) for pair in _NEAR)
_ANCHORS: dict[str, tuple[int, int, int]] = {
    "black": (20, 20, 20),
    "white": (245, 245, 245),
    "grey": (128, 128, 128),
    "red": (200, 30, 35),
    "pink": (240, 130, 175),
    "orange": (240, 130, 30),
    "yellow": (245, 215, 50),
    "green": (50, 140, 60),
    "blue": (35, 80, 180),
    "purple": (120, 50, 150),
    "brown": (110, 70, 40),
    "beige": (220, 200, 165),
    "turquoise": (50, 185, 185),
}


@cache
def _matcher() -> TermMatcher:
    lists = [
        WordList(family, tuple(words.split(",")), language)
        for language, families in _WORDS.items()
        for family, words in families.items()
    ]
    return TermMatcher(lists, _NO_COLOUR, hostile=False)


def colours_named(text: str, languages: frozenset[str] | None = None) -> list[Hit]:
    """Colour words in reading order; `list` of a hit is the family. None: words of all languages."""
    return _matcher().find(text, languages)


def confusable(one: str, other: str) -> bool:
    """Whether a photo of the one may look like the other."""
    return one == other or MANY in (one, other) or frozenset((one, other)) in _CONFUSED


def family_of(rgb: tuple[int, int, int]) -> str:
    """The family whose typical colour is nearest, in plain sRGB."""
    return min(_ANCHORS, key=lambda family: sum((a - b) ** 2 for a, b in zip(_ANCHORS[family], rgb, strict=True)))
