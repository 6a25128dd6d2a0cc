"""What Florence-2 should answer about a scene where a task needs no input, in its own grammar.

Places are `<loc_0>` to `<loc_999>`, shares of width and height in thousandths. `asked.py` has the tasks with an input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from worker.training.synth.scenes import Item, Rendered
from worker.training.synth.vocabulary import PLURALS, with_article

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
    return "".join(f"{item.kind.name}{places(box)}" for item, box in each(rendered))


def dense_captions(rendered: Rendered) -> str:
    return "".join(f"{item.phrase}{places(box)}" for item, box in each(rendered))


def proposals(rendered: Rendered) -> str:
    return "".join(places(box) for _, box in each(rendered))


def as_said(rendered: Rendered) -> list[tuple[Item, list[float]]]:
    """Objects with their boxes in the order of the captions: the largest first."""
    return [(item, [float(v) for v in box]) for item, box in zip(rendered.scene.items, rendered.boxes, strict=True)]


def each(rendered: Rendered) -> list[tuple[Item, list[float]]]:
    """Objects with their boxes from left to right.

    Of two things of about one size neither is plainly the larger: asked for that one first, the model named one and
    boxed the other. Which one lies further left can be seen.
    """
    return sorted(as_said(rendered), key=lambda one: one[1][0] + one[1][2])


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
