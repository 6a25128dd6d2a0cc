"""Signals about what is depicted: objects detected or asked for by name, captions, object names in captions."""

from __future__ import annotations

from typing import Any

from domain.observations import Box
from worker.policy.signals.registry import SHARE, Field, Item, Kind, signal
from worker.policy.signals.subject import MOST_ITEMS, Subject

OBJECT = Item(
    "object",
    (
        Field("label", Kind.TEXT, "", "the detector's word, or the name that was asked for"),
        Field("group", Kind.TEXT, "", "group of the policy's vocabulary, or empty"),
        Field("score", Kind.NUMBER, SHARE, "probability, of the second reading if any; 1.0 where the task gives none"),
        Field("box", Kind.NUMBERS, "px", "x1, y1, x2, y2 of the upright image"),
        Field("share_of_picture", Kind.NUMBER, SHARE, "area of the box"),
    ),
)
MENTION = Item(
    "mention",
    (
        Field("label", Kind.TEXT, "", "the vocabulary's name"),
        Field("group", Kind.TEXT, "", "its group"),
        Field("text", Kind.TEXT, "", "the caption it was found in"),
    ),
)


@signal(OBJECT, many=True, cost=12)
def objects(subject: Subject) -> list[dict[str, Any]]:
    """Detected objects, and those asked for by name that a second reading confirmed; surest first."""
    found: list[dict[str, Any]] = []
    for item in (*subject.seen.objects, *subject.seen.open_vocabulary):
        # No score means the task gave none, not that the box is doubtful; leaving it out would approve in silence.
        score = 1.0 if item.surest is None else item.surest
        group = subject.lexicon.vocabulary.group_of(item.label)
        found.append(
            {
                "label": item.label,
                "group": group,
                "score": score,
                "box": list(item.box),
                "share_of_picture": share_of_picture(item.box, subject),
            }
        )
    # Objects a rule may speak of come first, so that a crowd of harmless ones cannot push them over the bound.
    found.sort(key=lambda item: (item["group"] == "", -item["score"], item["label"], item["box"]))
    return found[:MOST_ITEMS]


@signal(Kind.TEXT, cost=2)
def caption(subject: Subject) -> str:
    """The longest caption."""
    return subject.captions[0] if subject.captions else ""


@signal(MENTION, many=True, cost=25)
def caption_objects(subject: Subject) -> list[dict[str, Any]]:
    """Names of the policy's vocabulary in any caption, whole words and plurals, each once."""
    found: dict[str, dict[str, Any]] = {}
    for text in subject.captions:
        for hit in subject.lexicon.vocabulary.mentions(text):
            found.setdefault(hit.term, {"label": hit.term, "group": hit.list, "text": text})
    return list(found.values())[:MOST_ITEMS]


@signal(Kind.FLAG, cost=1)
def empty_look(subject: Subject) -> bool:
    """True when the model described nothing: no caption, no object, no text."""
    seen = subject.seen
    return not subject.captions and not seen.objects and not seen.text.strip() and not seen.second_lines


def share_of_picture(box: Box, subject: Subject) -> float:
    """The box's area through the picture's, at most 1."""
    x1, y1, x2, y2 = box
    return round(min(1.0, max(0.0, x2 - x1) * max(0.0, y2 - y1) / subject.area), 6)
