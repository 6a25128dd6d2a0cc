"""What a stored observation cannot answer. A rule that reads such a signal was not tried, which is not "no match"."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from domain.observations import TEXT_TASKS, Task
from worker.storage.history import RECALLED, Seen

Why = Callable[[Seen], str | None]


def _objects(whole: Seen) -> str | None:
    return None if Task.OD in whole.seen.results else "objects were not asked for"


def _captions(whole: Seen) -> str | None:
    asked = any(task.value.endswith("caption") for task in whole.seen.results)
    return None if asked else "no caption was asked for"


def _text(whole: Seen) -> str | None:
    read = whole.seen.second_reading is not None or any(task in whole.seen.results for task in TEXT_TASKS)
    return None if read else "text was not read"


def _second_reader(whole: Seen) -> str | None:
    return None if whole.seen.second_reading is not None else "no second reader read the text"


def _second_opinion(whole: Seen) -> str | None:
    second = whole.seen.second_reading
    two = second is not None and second.reader != whole.seen.text_reader
    return None if two else "the text was read by one reader alone"


def _inspection(whole: Seen) -> str | None:
    return None if whole.photo.inspection is not None else "pixels and codes were not inspected at intake"


def _first(*each: Why) -> Why:
    return lambda whole: next((why for one in each if (why := one(whole))), None)


# Signals that need more than any job and photo have. A test holds that every registered signal is here or in ALWAYS.
NEEDS: Mapping[str, Why] = {
    "objects": _objects,
    "caption": _captions,
    "caption_objects": _captions,
    "contradictions": _first(_objects, _captions),
    **dict.fromkeys(("text", "text_share", "text_terms", "watermarks", "placeholder", "unnamed_brands"), _text),
    **dict.fromkeys(("placed_text", "text_share_outside"), _text),
    "contacts": _first(_text, _inspection),
    **dict.fromkeys(("second_text", "second_text_terms", "second_contacts", "agreed_text"), _second_opinion),
    "text_incomplete": _second_reader,
    **dict.fromkeys(("background", "frame", "exposure", "panels", "colours", "codes", "provenance"), _inspection),
    **dict.fromkeys(("product", "hash_usable", *RECALLED), _inspection),
}
ALWAYS = frozenset(
    {"image", "pixels", "inspected", "empty_look", "seller", "seller_terms", "seller_contacts", "category"}
)


def unobserved(whole: Seen, recalled: Collection[str]) -> dict[str, str]:
    """Signals that this observation, and a receipt that has the `recalled` ones, cannot give; with the reason."""
    reasons = {name: why(whole) for name, why in NEEDS.items()}
    for name in RECALLED:
        if name not in recalled and reasons[name] is None:
            reasons[name] = "nothing was looked up when the decision was made"
    return {name: reason for name, reason in reasons.items() if reason}
