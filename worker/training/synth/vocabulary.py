"""The words scenes are described with: classes, groups, colours, and a list of product words for lettering."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CLASSES_FILE = Path(__file__).with_name("classes.json")

# Tints an object can be given, as sRGB; the natural drawing has no colour word.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (240, 128, 30),
    "yellow": (242, 206, 50),
    "green": (52, 158, 74),
    "blue": (40, 98, 210),
    "purple": (128, 62, 186),
    "pink": (240, 120, 178),
    "brown": (128, 82, 46),
    "black": (44, 44, 48),
    "grey": (140, 142, 148),
}

# What objects are tinted in: black and grey would hide what many of them are.
TINTS = tuple(COLOURS)[:8]

# Backgrounds may also be white or beige, which no object is tinted in: a white tint would equal a pale natural one.
BACKDROPS: dict[str, tuple[int, int, int]] = {
    **COLOURS,
    "white": (246, 246, 244),
    "beige": (226, 208, 176),
}

PLURALS = frozenset(
    {"jeans", "shorts", "gloves", "socks", "sunglasses", "glasses", "headphones", "grapes", "scissors", "dice"}
    | {"banknotes", "crossed swords"}
)
MASS = frozenset(
    {"bread", "cheese", "soap", "honey", "milk", "canned food", "beer", "sake", "nail polish", "ice cream"}
)

# What a kind of goods is usually made of; kinds that are made of many things are left out.
MATERIAL_OF: dict[str, str] = {
    name: material
    for material, names in {
        "leather": "dress shoe,boot,hiking boot,handbag,purse,clutch bag,suitcase,boxing glove,football",
        "cotton": "t-shirt,shirt,blouse,socks,lab coat,shorts",
        "denim": "jeans",
        "silk": "kimono,sari",
        "wool": "scarf,gloves,coat",
        "gold": "ring,necklace,crown,coin",
        "steel": "kitchen knife,dagger,crossed swords,axe,spoon,frying pan,fork and knife,scissors,razor,key",
        "glass": "wine glass,whisky glass,mirror,light bulb,champagne bottle",
        "wood": "chair,door,guitar,violin,pencil,broom,bow and arrow,drum",
        "ceramic": "coffee cup,teapot,bathtub",
        "plastic": "toothbrush,bucket,comb,toy gun,credit card,lotion bottle",
        "rubber": "flip-flop,basketball,plunger",
        "paper": "book,banknotes,joker card,juice box",
        "metal": "trumpet,bicycle,canned food",
    }.items()
    for name in names.split(",")
}

# What shops print on pictures; half of the lettering in scenes comes from here, the rest is random characters.
SHOP_WORDS = [
    "sale",
    "new",
    "offer",
    "hot",
    "best",
    "price",
    "free",
    "gift",
    "only",
    "now",
    "today",
    "save",
    "half",
    "off",
    "deal",
    "shop",
    "store",
    "online",
    "order",
    "call",
    "mail",
    "visit",
    "web",
    "site",
    "contact",
    "phone",
    "shipping",
    "delivery",
    "fast",
    "express",
    "limited",
    "edition",
    "original",
    "genuine",
    "replica",
    "fake",
    "copy",
    "quality",
    "premium",
    "luxury",
    "classic",
    "modern",
    "vintage",
    "retro",
    "sport",
    "kids",
    "women",
    "men",
    "baby",
    "home",
    "garden",
    "kitchen",
    "bath",
    "beauty",
    "fashion",
    "style",
    "trend",
    "season",
    "summer",
    "winter",
    "spring",
    "autumn",
    "weekend",
    "special",
    "bonus",
    "extra",
    "pack",
    "set",
    "pair",
    "box",
    "bag",
    "bottle",
    "size",
    "small",
    "medium",
    "large",
    "mini",
    "maxi",
    "super",
    "ultra",
    "power",
    "energy",
    "light",
    "dark",
    "fresh",
    "natural",
    "organic",
    "bio",
    "eco",
    "green",
    "pure",
    "cotton",
    "leather",
    "silk",
    "wool",
    "denim",
    "linen",
    "steel",
    "gold",
    "silver",
    "glass",
    "wood",
    "plastic",
    "paper",
    "rubber",
    "ceramic",
    "metal",
    "red",
    "blue",
    "green",
    "yellow",
    "orange",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "grey",
    "warranty",
    "certified",
    "approved",
    "tested",
    "safe",
    "made",
    "usa",
    "italy",
    "japan",
    "france",
    "germany",
    "china",
    "india",
    "brand",
    "label",
    "logo",
    "model",
    "item",
    "product",
    "number",
    "code",
    "stock",
    "click",
    "here",
    "buy",
    "shop",
    "follow",
    "like",
    "share",
    "subscribe",
    "whatsapp",
    "telegram",
    "instagram",
    "facebook",
    "email",
    "info",
    "help",
    "first",
    "copy",
    "mirror",
    "counterfeit",
    "imitation",
    "unauthorized",
    "sample",
    "prototype",
    "weapon",
    "knife",
    "gun",
    "ammo",
    "tobacco",
    "vape",
    "cannabis",
    "alcohol",
    "beer",
    "wine",
    "adult",
    "only",
    "drug",
    "pill",
    "cure",
    "miracle",
    "detox",
    "guaranteed",
    "weight",
    "loss",
    "money",
    "back",
    "cash",
    "crypto",
    "bitcoin",
    "refund",
    "return",
    "exchange",
    "discount",
    "clearance",
    "outlet",
    "promo",
    "coupon",
    "voucher",
    "bargain",
    "cheap",
    "lowest",
    "top",
    "rated",
    "star",
    "five",
]

MATERIALS = [
    "cotton",
    "leather",
    "silk",
    "wool",
    "denim",
    "linen",
    "steel",
    "gold",
    "silver",
    "glass",
    "wood",
    "plastic",
    "paper",
    "rubber",
    "ceramic",
    "metal",
]
PATTERNS = (
    "plain",
    "gradient",
    "striped",
    "dotted",
    "checked",
    "wooden",
    "speckled",
    "woven",
    "blurred photo",
    "photo",
)


@dataclass(frozen=True)
class ClassName:
    """One kind of object: its name, its catalogue group and the emoji that draws it."""

    name: str
    group: str
    codepoint: str


@cache
def classes() -> tuple[ClassName, ...]:
    """The classes in file order; a class id is the place in this tuple."""
    rows = json.loads(CLASSES_FILE.read_text())["classes"]
    return tuple(ClassName(row["name"], row["group"], row["codepoint"]) for row in rows)


def with_article(noun: str, name: str) -> str:
    """ "a red sneaker", "an apple", but "blue jeans" and "bread": `name` decides whether an article fits `noun`."""
    if name in PLURALS or name in MASS:
        return noun
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
