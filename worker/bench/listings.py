"""Listings to judge in measurements: what a camera and a seller say about ordinary goods. Seeded, the same every run.

Most are innocent; about one in four has something that a rule looks for, as a moderator's day has it.
"""

from __future__ import annotations

import random

from worker.policy.scenes import Scene, SceneLine, SceneObject, SceneSeller

GOODS = (
    *("sneaker", "ankle boot", "leather handbag", "wrist watch", "linen shirt", "denim jacket", "wool sweater"),
    *("coffee mug", "table lamp", "cast iron pan", "garden hose", "bath towel", "phone case", "usb cable", "backpack"),
    *("face cream", "shampoo", "green tea", "dark chocolate", "dog collar", "yoga mat", "desk chair", "picture frame"),
)
COLOURS = ("black", "white", "red", "navy", "beige", "olive", "grey", "pink", "turquoise", "brown")
BRANDS = ("Acme", "Nordlicht", "Maison Claire", "Hollis & Sons", "Kumo", "Tierra", "Polar", "Brightside")
PRINT = (
    *("100% cotton", "Made in Portugal", "500 ml", "Net Wt 12 oz (340g)", "EAN 4006381333931", "size M 38/40"),
    *(
        "dermatologically tested",
        "Best before 12.2027",
        "Hand wash only",
        "RECYCLE ME",
        "New Collection",
        "LOT 20251122",
    ),
    *("organic ingredients", "Keep out of reach of children", "230 V ~ 50 Hz 40 W", "Ref. 88-1204", "extra virgin"),
    *("since 1987", "stainless steel 18/10", "for sensitive skin", "machine washable", "with natural fragrance"),
)
TROUBLE = (
    *(
        "CALL +49 30 1234567",
        "BEST REPLICA WATCH",
        "www.cheap-bags.shop",
        "R3PL1CA",
        "insta: best.deals",
        "WhatsApp me",
    ),
    *("1:1 mirror quality", "sale (at) shop (dot) de", "counterfiet"),
)
TROUBLING = ("hunting knife", "pistol", "cigarette", "wine bottle", "pill bottle", "poker chip", "banknote", "toy gun")
DESCRIPTION = (
    "Soft, warm and made to last. Fits true to size; please measure before you order.",
    "Delivered in two working days, free returns within thirty days. Colour may differ slightly from the photo.",
    "A classic for every day, with a lining of recycled polyester and two inner pockets.",
    "Dishwasher safe, holds 350 ml, pairs well with the matching saucer sold separately.",
)


def some_print(chance: random.Random, lines: int) -> list[str]:
    """Lines of text as they stand on goods and packaging."""
    return [chance.choice((chance.choice(BRANDS), chance.choice(PRINT), chance.choice(PRINT))) for _ in range(lines)]


def some_scenes(count: int, seed: int = 1) -> list[Scene]:
    """Photos with their listings."""
    chance = random.Random(seed)
    return [_scene(chance) for _ in range(count)]


def _scene(chance: random.Random) -> Scene:
    good, colour = chance.choice(GOODS), chance.choice(COLOURS)
    names = [good, *chance.sample(GOODS, chance.randint(0, 3))]
    lines: list[str] = some_print(chance, chance.randint(0, 6))
    caption = f"a {colour} {good} on a white background"
    if chance.random() < 0.15:
        lines.append(chance.choice(TROUBLE))
    if chance.random() < 0.1:
        names.append(chance.choice(TROUBLING))
        caption = f"a {colour} {good} beside a {names[-1]}"
    return Scene(
        caption=caption,
        objects=[_object(chance, name) for name in names],
        text=[SceneLine(text=line, share=0.01) for line in lines],
        seller=SceneSeller(
            title=f"{chance.choice(BRANDS)} {good}, {colour}",
            description=chance.choice(DESCRIPTION),
            category="Apparel & Accessories",
            attributes={"colour": colour},
            locale=chance.choice(("en-GB", "de-DE", "fr-FR", "es-ES")),
        ),
    )


def _object(chance: random.Random, name: str) -> SceneObject:
    return SceneObject(label=name, score=round(chance.uniform(0.3, 0.99), 3), share=round(chance.uniform(0.05, 0.6), 3))
