"""What Florence-2 should answer about a scene where a task has an input: a phrase, a region, or a question.

`pair(rendered, task, rng)` gives, for any task, the prompt as users write it (`<OPEN_VOCABULARY_DETECTION>a cup`) and
the answer as the model must write it. A phrase for something that is not there has an empty answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from worker.training.synth.outlines import polygons
from worker.training.synth.scenes import Item, Rendered
from worker.training.synth.targets import WITHOUT_INPUT, as_said, caption, each, noun, places
from worker.training.synth.vocabulary import MASS, MATERIAL_OF, PLURALS, TINTS, classes, with_article

Pair = tuple[str, str]
Placed = tuple[Item, list[float]]

READING = frozenset({"<OCR>", "<OCR_WITH_REGION>", "<REGION_TO_OCR>"})
ABSENT = 0.4  # share of phrases for what is not there: Florence-2 itself never says so, ours has to learn it
# Never where a mask is asked for: an end is one token, a place is spread over many, so that an answer which may be
# empty is written as empty whenever the place is not certain.
ABSENT_MASK = 0.0
WITH_ARTICLE = 0.3
LOOSE = 0.03  # regions asked about are as loosely drawn as people draw them: shares of the picture


def phrase_for(rendered: Rendered, rng: random.Random, absent: float = ABSENT) -> tuple[str, list[Placed]]:
    """A phrase and the objects it names: none in a share of cases, often for a near miss (the colour is another's)."""
    if rng.random() < absent:
        return _absent(rendered, rng), []
    wanted = rng.choice(rendered.scene.items)
    way = rng.random()
    if way < 0.55:
        return wanted.kind.name, [p for p in each(rendered) if p[0].kind.name == wanted.kind.name]
    if way < 0.75:
        return wanted.phrase, [p for p in each(rendered) if p[0].phrase == wanted.phrase]
    if way < 0.88:
        return wanted.kind.group, [p for p in each(rendered) if p[0].kind.group == wanted.kind.group]
    made_of = MATERIAL_OF.get(wanted.kind.name)
    phrase = f"{made_of} {wanted.kind.name}" if made_of else wanted.kind.name
    return phrase, [p for p in each(rendered) if p[0].kind.name == wanted.kind.name]


def _absent(rendered: Rendered, rng: random.Random) -> str:
    items = rendered.scene.items
    names, groups = {item.kind.name for item in items}, {item.kind.group for item in items}
    way = rng.random()
    coloured = [item for item in items if item.colour]
    if way < 0.15 and coloured:
        item = rng.choice(coloured)
        other = rng.choice([c for c in TINTS if all(c != i.colour for i in items if i.kind.name == item.kind.name)])
        return f"{other} {item.kind.name}"
    if way < 0.25:
        return rng.choice(sorted({kind.group for kind in classes()} - groups))
    name = rng.choice([kind.name for kind in classes() if kind.name not in names])
    return f"{rng.choice(TINTS)} {name}" if way < 0.4 else name


def _worded(phrase: str, rng: random.Random) -> str:
    bare = phrase.split(" ")[-1] in MASS | PLURALS or phrase in MASS | PLURALS
    groups = {kind.group for kind in classes()}
    if bare or phrase in groups or rng.random() >= WITH_ARTICLE:
        return phrase
    return with_article(phrase, phrase)


def open_vocabulary(rendered: Rendered, rng: random.Random) -> Pair:
    phrase, found = phrase_for(rendered, rng)
    answer = phrase + "".join(places(box) for _, box in found) if found else ""
    return f"<OPEN_VOCABULARY_DETECTION>{_worded(phrase, rng)}", answer


def grounding(rendered: Rendered, rng: random.Random) -> Pair:
    answer = "".join(f"{noun(item)}{places(box)}" for item, box in as_said(rendered))
    return f"<CAPTION_TO_PHRASE_GROUNDING>{caption(rendered)}", answer


def outlined(rendered: Rendered, item: Item) -> str:
    """The visible part of one object as polygons."""
    mask = rendered.instances == rendered.scene.items.index(item) + 1
    return "<sep>".join(places(float(share) for share in outline.flatten()) for outline in polygons(mask))


def referring_segmentation(rendered: Rendered, rng: random.Random) -> Pair:
    phrase, found = phrase_for(rendered, rng, ABSENT_MASK)
    drawn = [outlined(rendered, item) for item, _ in found]
    answer = drawn[0] if len(drawn) == 1 else "".join(f"<poly>{outline}</poly>" for outline in drawn)
    return f"<REFERRING_EXPRESSION_SEGMENTATION>{_worded(phrase, rng)}", answer


def _region(box: list[float], rng: random.Random) -> str:
    return places(min(1.0, max(0.0, share + rng.uniform(-LOOSE, LOOSE))) for share in box)


def region_segmentation(rendered: Rendered, rng: random.Random) -> Pair:
    item, box = rng.choice(each(rendered))
    return f"<REGION_TO_SEGMENTATION>{_region(box, rng)}", outlined(rendered, item)


def region_category(rendered: Rendered, rng: random.Random) -> Pair:
    item, box = rng.choice(each(rendered))
    return f"<REGION_TO_CATEGORY>{_region(box, rng)}", item.kind.name


def region_description(rendered: Rendered, rng: random.Random) -> Pair:
    """The object with what its kind is usually made of, and the group of goods it belongs to."""
    item, box = rng.choice(each(rendered))
    made_of = MATERIAL_OF.get(item.kind.name)
    answer = f"{noun(item)}{f' made of {made_of}' if made_of else ''}, {item.kind.group}"
    return f"<REGION_TO_DESCRIPTION>{_region(box, rng)}", answer


def region_reading(rendered: Rendered, rng: random.Random) -> Pair:
    """The text of one line; of an object's region only what is written across its middle, mostly nothing."""
    lines = rendered.scene.lines
    if lines and rng.random() < 0.8:
        chosen = rng.randrange(len(lines))
        corners = rendered.quads[chosen].reshape(4, 2)
        box = [float(v) for v in (*corners.min(0), *corners.max(0))]
        return f"<REGION_TO_OCR>{_region(box, rng)}", lines[chosen].text
    _, box = rng.choice(each(rendered))
    return f"<REGION_TO_OCR>{places(box)}", " ".join(_written_in(rendered, box))


def _written_in(rendered: Rendered, box: list[float]) -> list[str]:
    middles = [np.mean(quad.reshape(4, 2), axis=0) for quad in rendered.quads]
    inside = [box[0] <= x <= box[2] and box[1] <= y <= box[3] for x, y in middles]
    return [line.text for line, within in zip(rendered.scene.lines, inside, strict=True) if within]


def question(rendered: Rendered, rng: random.Random) -> Pair:
    """Questions that the picture alone answers: how many, is there one, which colour, what is written."""
    items, lines = rendered.scene.items, rendered.scene.lines
    way = rng.random()
    if way < 0.25:
        return "<VQA>How many objects are there?", ("one", "two", "three")[len(items) - 1]
    if way < 0.55:
        present = rng.random() < 0.5
        phrase = rng.choice(items).kind.name if present else _absent_name(rendered, rng)
        return f"<VQA>Is there {with_article(phrase, phrase)}?", "yes" if present else "no"
    coloured = [item for item in items if item.colour]
    if way < 0.8 and coloured:
        item = rng.choice(coloured)
        verb = "are" if item.kind.name in PLURALS else "is"
        return f"<VQA>What colour {verb} the {item.kind.name}?", str(item.colour)
    return "<VQA>Is there text in the picture?", "yes" if lines else "no"


def _absent_name(rendered: Rendered, rng: random.Random) -> str:
    names = {item.kind.name for item in rendered.scene.items}
    return rng.choice([kind.name for kind in classes() if kind.name not in names])


WITH_INPUT: dict[str, Callable[[Rendered, random.Random], Pair]] = {
    "<OPEN_VOCABULARY_DETECTION>": open_vocabulary,
    "<CAPTION_TO_PHRASE_GROUNDING>": grounding,
    "<REFERRING_EXPRESSION_SEGMENTATION>": referring_segmentation,
    "<REGION_TO_SEGMENTATION>": region_segmentation,
    "<REGION_TO_CATEGORY>": region_category,
    "<REGION_TO_DESCRIPTION>": region_description,
    "<REGION_TO_OCR>": region_reading,
    "<VQA>": question,
}


def pair(rendered: Rendered, task: str, rng: random.Random) -> Pair:
    """The prompt and the answer of one task on one scene."""
    if task in WITHOUT_INPUT:
        return task, WITHOUT_INPUT[task](rendered)
    return WITH_INPUT[task](rendered, rng)
