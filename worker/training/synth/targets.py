"""What Florence-2 should answer about a scene, in its own grammar.

`pairs(rendered, task, rng)` gives the prompt as users write it (`<OD>`, `<OPEN_VOCABULARY_DETECTION>a cup`) and the
answer as the model must write it, places as `<loc_0>` to `<loc_999>`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from worker.training.synth.scenes import Item, Rendered
from worker.training.synth.vocabulary import MASS, PLURALS, classes, with_article

BINS = 1000


def places(shares: Iterable[float]) -> str:
    """Shares of width or height as place tokens."""
    return "".join(f"<loc_{min(BINS - 1, max(0, int(share * BINS)))}>" for share in shares)


def listed(parts: list[str]) -> str:
    """ "a cup", "a cup and a hat", "a cup, a hat and a key"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def noun(item: Item) -> str:
    """The object with colour and article."""
    return with_article(item.phrase, item.kind.name)


def caption(rendered: Rendered) -> str:
    scene = rendered.scene
    return f"{listed([noun(item) for item in scene.items])} on {scene.backdrop.phrase}"


def position(x: float, y: float) -> str:
    """ "in the centre", "at the top left": where a point lies in thirds of the picture."""
    row = "top" if y < 0.36 else "bottom" if y > 0.64 else ""
    column = "left" if x < 0.36 else "right" if x > 0.64 else ""
    if not row and not column:
        return "in the centre"
    return f"at the {row} {column}".strip() if row and column else f"at the {row or column}"


def detailed(rendered: Rendered) -> str:
    scene = rendered.scene
    parts = [f"{noun(item)} {position(*middle)}" for item, middle in zip(scene.items, middles(rendered), strict=True)]
    sentence = f"{listed(parts)} on {scene.backdrop.phrase}"
    return f"{sentence[0].upper()}{sentence[1:]}{_lettering(rendered)}."


def _lettering(rendered: Rendered) -> str:
    """Says that there is text, not what: reading is the business of the text tasks."""
    if not rendered.scene.lines:
        return ""
    return ", with text " + listed(sorted({position(line.x, line.y) for line in rendered.scene.lines}))


def middles(rendered: Rendered) -> list[tuple[float, float]]:
    return [(float(x1 + x2) / 2, float(y1 + y2) / 2) for x1, y1, x2, y2 in rendered.boxes]


def more_detailed(rendered: Rendered) -> str:
    scene = rendered.scene
    count = ("one object", "two objects", "three objects")[len(scene.items) - 1]
    sentences = [f"The image shows {count} on {scene.backdrop.phrase}."]
    for item, box, middle in zip(scene.items, rendered.boxes, middles(rendered), strict=True):
        size = float(max(box[2] - box[0], box[3] - box[1]))
        extent = "large" if size > 0.55 else "small" if size < 0.3 else "medium"
        subject = noun(item)
        verb = "are" if item.kind.name in PLURALS else "is"
        sentences.append(f"{subject[0].upper()}{subject[1:]} {verb} {position(*middle)}, {extent} in size.")
    if scene.lines:
        sentences.append(f"There is text {_lettering(rendered).removeprefix(', with text ')}.")
    return " ".join(sentences)


def detection(rendered: Rendered) -> str:
    return "".join(f"{item.kind.name}{places(box)}" for item, box in _each(rendered))


def dense_captions(rendered: Rendered) -> str:
    return "".join(f"{item.phrase}{places(box)}" for item, box in _each(rendered))


def proposals(rendered: Rendered) -> str:
    return "".join(places(box) for _, box in _each(rendered))


def _each(rendered: Rendered) -> list[tuple[Item, list[float]]]:
    return [(item, [float(v) for v in box]) for item, box in zip(rendered.scene.items, rendered.boxes, strict=True)]


def read(rendered: Rendered) -> str:
    return " ".join(line.text for line in rendered.scene.lines)


def read_with_regions(rendered: Rendered) -> str:
    lines = zip(rendered.scene.lines, rendered.quads, strict=True)
    return "".join(f"{line.text}{places(float(v) for v in quad)}" for line, quad in lines)


WITHOUT_INPUT: dict[str, Callable[[Rendered], str]] = {
    "<CAPTION>": caption,
    "<DETAILED_CAPTION>": detailed,
    "<MORE_DETAILED_CAPTION>": more_detailed,
    "<OD>": detection,
    "<DENSE_REGION_CAPTION>": dense_captions,
    "<REGION_PROPOSAL>": proposals,
    "<OCR>": read,
    "<OCR_WITH_REGION>": read_with_regions,
}
READING = frozenset({"<OCR>", "<OCR_WITH_REGION>", "<REGION_TO_OCR>"})


def open_vocabulary(rendered: Rendered, rng: random.Random) -> tuple[str, str]:
    """A phrase that is there, by name, colour or group; or one that is not, whose answer is empty."""
    items = rendered.scene.items
    names = {item.kind.name for item in items}
    if rng.random() < 0.4:
        phrase = rng.choice([kind.name for kind in classes() if kind.name not in names])
        found: list[tuple[Item, list[float]]] = []
    else:
        wanted = rng.choice(items)
        way = rng.random()
        if way < 0.7:
            phrase, found = wanted.kind.name, [p for p in _each(rendered) if p[0].kind.name == wanted.kind.name]
        else:
            phrase, found = wanted.phrase, [p for p in _each(rendered) if p[0].phrase == wanted.phrase]
    if rng.random() < 0.3 and phrase not in MASS and phrase not in PLURALS:
        return f"<OPEN_VOCABULARY_DETECTION>{with_article(phrase, phrase)}", _boxed(phrase, found)
    return f"<OPEN_VOCABULARY_DETECTION>{phrase}", _boxed(phrase, found)


def _boxed(phrase: str, found: list[tuple[Item, list[float]]]) -> str:
    return phrase + "".join(places(box) for _, box in found) if found else ""


def grounding(rendered: Rendered, rng: random.Random) -> tuple[str, str]:
    answer = "".join(f"{noun(item)}{places(box)}" for item, box in _each(rendered))
    return f"<CAPTION_TO_PHRASE_GROUNDING>{caption(rendered)}", answer


def region_category(rendered: Rendered, rng: random.Random) -> tuple[str, str]:
    item, box = rng.choice(_each(rendered))
    return f"<REGION_TO_CATEGORY>{places(box)}", item.kind.name


def region_description(rendered: Rendered, rng: random.Random) -> tuple[str, str]:
    item, box = rng.choice(_each(rendered))
    return f"<REGION_TO_DESCRIPTION>{places(box)}", noun(item)


WITH_INPUT: dict[str, Callable[[Rendered, random.Random], tuple[str, str]]] = {
    "<OPEN_VOCABULARY_DETECTION>": open_vocabulary,
    "<CAPTION_TO_PHRASE_GROUNDING>": grounding,
    "<REGION_TO_CATEGORY>": region_category,
    "<REGION_TO_DESCRIPTION>": region_description,
}


def pair(rendered: Rendered, task: str, rng: random.Random) -> tuple[str, str]:
    """The prompt and the answer of one task on one scene."""
    if task in WITHOUT_INPUT:
        return task, WITHOUT_INPUT[task](rendered)
    return WITH_INPUT[task](rendered, rng)
