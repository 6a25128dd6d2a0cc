"""What a stored observation cannot answer. A rule that reads such a signal was not tried, which is not "no match"."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from domain.observations import TEXT_TASKS, Observation, Task
from worker.storage.history import Seen


def _objects(seen: Observation) -> str | None:
    return None if Task.OD in seen.results else "objects were not asked for"


def _captions(seen: Observation) -> str | None:
    asked = any(task.value.endswith("caption") for task in seen.results)
    return None if asked else "no caption was asked for"


def _text(seen: Observation) -> str | None:
    read = seen.second_reading is not None or any(task in seen.results for task in TEXT_TASKS)
    return None if read else "text was not read"


def _second_reader(seen: Observation) -> str | None:
    return None if seen.second_reading is not None else "no second reader read the text"


def _second_opinion(seen: Observation) -> str | None:
    second = seen.second_reading
    two = second is not None and second.reader != seen.text_reader
    return None if two else "the text was read by one reader alone"


# Signals that need more than any job and photo have. A test holds that every registered signal is here or in ALWAYS.
NEEDS: Mapping[str, Callable[[Observation], str | None]] = {
    "objects": _objects,
    "caption": _captions,
    "caption_objects": _captions,
    "text": _text,
    "text_share": _text,
    "text_terms": _text,
    "contacts": _text,
    "second_text": _second_opinion,
    "second_text_terms": _second_opinion,
    "second_contacts": _second_opinion,
    "agreed_text": _second_opinion,
    "text_incomplete": _second_reader,
}
ALWAYS = frozenset({"image", "pixels", "empty_look", "seller", "seller_terms", "seller_contacts"})


def unobserved(seen: Seen) -> dict[str, str]:
    """Signals that this observation cannot give, with the reason."""
    reasons = {name: why(seen.seen) for name, why in NEEDS.items()}
    return {name: reason for name, reason in reasons.items() if reason}
