"""What a signal is: a named, typed, documented value that rules may read. New signals are one decorated function each.

Types are declared here, once: the condition compiler builds its environment from them, so a rule that misspells a field
or compares text with a number is refused when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker.policy.signals.subject import Subject


class Kind(StrEnum):
    TEXT = "string"
    NUMBER = "double"
    COUNT = "int"
    FLAG = "bool"
    NUMBERS = "list(double)"
    TEXTS = "list(string)"


SHARE = "0..1"  # unit of scores and shares; literals beyond it are refused in rules


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: Kind
    unit: str
    doc: str


@dataclass(frozen=True, slots=True)
class Item:
    """A record with fields. `kind` says in evidence what it is."""

    kind: str
    fields: tuple[Field, ...]

    @property
    def type_name(self) -> str:
        return "signal." + "".join(part.capitalize() for part in self.kind.split("_"))


@dataclass(frozen=True, slots=True)
class Signal:
    """cost is the typical time in microseconds for a photo with two objects and two lines of text, on one slow core.

    An optional signal's `compute` may give None for "not measured". A rule that reads it then fails for that photo, so
    that nothing passes because nobody looked.
    """

    name: str
    type: Kind | Item
    many: bool
    unit: str
    cost: int
    doc: str
    compute: Callable[[Subject], Any]
    optional: bool = False

    @property
    def type_name(self) -> str:
        name = self.type.type_name if isinstance(self.type, Item) else self.type.value
        return f"list({name})" if self.many else name

    def empty(self) -> Any:
        """The value for a photo in which there is nothing of the sort."""
        if self.many:
            return []
        if isinstance(self.type, Item):
            return {field.name: EMPTY[field.kind]() for field in self.type.fields}
        return EMPTY[self.type]()


EMPTY: dict[Kind, Callable[[], Any]] = {
    Kind.TEXT: str,
    Kind.NUMBER: float,
    Kind.COUNT: int,
    Kind.FLAG: bool,
    Kind.NUMBERS: list,
    Kind.TEXTS: list,
}

_REGISTRY: dict[str, Signal] = {}


def signal(
    type: Kind | Item, *, many: bool = False, unit: str = "", cost: int, optional: bool = False
) -> Callable[[Callable[[Subject], Any]], Callable[[Subject], Any]]:
    """Register a function as the signal of its own name; its docstring is what authors of rules read."""

    def register(compute: Callable[[Subject], Any]) -> Callable[[Subject], Any]:
        name = compute.__name__
        if name in _REGISTRY:
            raise ValueError(f"signal {name!r} is registered twice; rename one of the two functions")
        doc = " ".join((compute.__doc__ or "").split())
        _REGISTRY[name] = Signal(name, type, many, unit, cost, doc, compute, optional)
        return compute

    return register


def registered() -> dict[str, Signal]:
    """All signals by name, in order of registration."""
    return dict(_REGISTRY)
