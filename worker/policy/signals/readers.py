"""Signals about a second reader of the text in the picture: what it read, and what both agree on.

Empty where one reader read alone: its words are then in `text`, `text_terms` and `contacts`, whoever it was. To ask
that both saw the same, compare: `contacts.filter(c, second_contacts.exists(s, s.value == c.value))`.
"""

from __future__ import annotations

from typing import Any

from domain.agreement import agreed_lines
from worker.policy.signals.registry import Kind, signal
from worker.policy.signals.subject import MOST_ITEMS, Subject
from worker.policy.signals.writing import CONTACT, LINE, TERM, contacts_read, lines_read, places_of, terms_read


@signal(LINE, many=True, cost=15)
def second_text(subject: Subject) -> list[dict[str, Any]]:
    """Lines of text in the picture as a second reader read them, in reading order."""
    return lines_read(subject.seen.second_lines, _second(subject), subject)


@signal(LINE, many=True, cost=25)
def agreed_text(subject: Subject) -> list[dict[str, Any]]:
    """Lines that both readers read with the same letters at the same place; the lower score of the two."""
    seen = subject.seen
    agreed = agreed_lines(seen.lines[:MOST_ITEMS], seen.second_lines[:MOST_ITEMS])
    return lines_read(agreed, f"{seen.text_reader}+{_second(subject)}", subject)


@signal(TERM, many=True, cost=60)
def second_text_terms(subject: Subject) -> list[dict[str, Any]]:
    """Terms of the policy's word lists in what a second reader read."""
    return terms_read(places_of(subject.seen.second_lines), _second(subject), subject)


@signal(CONTACT, many=True, cost=90)
def second_contacts(subject: Subject) -> list[dict[str, Any]]:
    """Telephone numbers, web and e-mail addresses and social names in what a second reader read."""
    return contacts_read(places_of(subject.seen.second_lines), _second(subject), subject)


@signal(Kind.FLAG, cost=1)
def text_incomplete(subject: Subject) -> bool:
    """True when a reader says that there may be text it did not read: too much of it, or the picture made it fail."""
    second = subject.seen.second_reading
    return second is not None and second.incomplete is not None


def _second(subject: Subject) -> str:
    second = subject.seen.second_reading
    return second.reader if second else ""
