"""What a rule may write for short: `limit.name` for one of its numbers, `in_subtree(category, "id")` for a subtree.

Both are written out before CEL compiles them. A number is so written once, where lists of rules show it, and is the one
that is checked; and a subtree costs a look into a list instead of a call out of the evaluator. Strings and comments
stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

_PASSED_OVER = r"""r?"(?:\\.|[^"\\\n])*"|r?'(?:\\.|[^'\\\n])*'|//[^\n]*"""
_LIMIT = re.compile(rf"(?P<other>{_PASSED_OVER})|(?<![\w.])limit\.(?P<name>[a-z]\w*)")
_SUBTREE = re.compile(
    rf"""(?<![\w.])in_subtree\(\s*category\s*,\s*["'](?P<id>[^"'\\\n]*)["']\s*\)|(?P<other>{_PASSED_OVER})"""
)
_FUNCTION = re.compile(rf"(?P<other>{_PASSED_OVER})|(?<![\w.])in_subtree\b")
LIMIT = r"^\d{1,6}(\.\d{1,4})?( ?(px|Mpx|%|levels|:1))?$"
WHOLE = ("px", "")  # units of counts, which CEL never compares with numbers that may have a fraction


class ShorthandRefused(ValueError):
    """Shorthand that says nothing; the message says why and what to write."""


def number(limit: str) -> str:
    """The CEL literal of a limit such as "500 px", "85 %" or "1.2 :1". Raises ShorthandRefused."""
    found = re.match(r"[\d.]+", limit)
    value = Decimal(found[0] if found else "0")
    unit = limit[found.end() if found else 0 :].strip()
    if unit in WHOLE:
        if "." in limit:
            raise ShorthandRefused(f"{limit!r} is not a whole number; correct it, or give it a unit that has fractions")
        return str(value)
    plain = f"{(value / 100 if unit == '%' else value):f}"
    return plain if "." in plain else f"{plain}.0"


def with_limits(source: str, limits: Mapping[str, str]) -> str:
    """The expression with the rule's own numbers in it. Raises ShorthandRefused for a limit that it does not have."""

    def written(found: re.Match[str]) -> str:
        name = found["name"]
        if name is None:
            return found[0]
        if name not in limits:
            raise ShorthandRefused(f"there is no limit {name!r} in this rule; its limits are {', '.join(limits)}")
        return number(limits[name])

    return _LIMIT.sub(written, source)


def limits_in(source: str) -> frozenset[str]:
    """Names of the limits that an expression reads."""
    return frozenset(found["name"] for found in _LIMIT.finditer(source) if found["name"])


def subtrees_in(source: str) -> Iterator[str]:
    """Ids of the categories whose subtrees an expression asks for."""
    return (found["id"] for found in _SUBTREE.finditer(source) if found["id"] is not None)


def with_subtrees(source: str) -> str:
    """The expression with in_subtree() written out. Raises ShorthandRefused for any other use of the function."""
    plain = _SUBTREE.sub(
        lambda found: found[0] if found["id"] is None else f'("{found["id"]}" in category.ancestors)', source
    )
    if any(found["other"] is None for found in _FUNCTION.finditer(plain)):
        raise ShorthandRefused('in_subtree() takes the signal and an id in quotes: in_subtree(category, "fb-3")')
    return plain
