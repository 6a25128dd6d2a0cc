"""Signals of past decisions: as the receipt holds them where that is sound, else computed from the observation."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from worker.policy.loading import LoadedPolicy
from worker.policy.signals import Item, Signal, Subject, registered
from worker.storage.history import PastDecision, Seen


@dataclass(slots=True)
class Values:
    """Signals by name; those that are still to be computed; those that could not be, with the reason."""

    ready: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)


def take(past: PastDecision, names: Iterable[str], sound: Collection[str]) -> Values:
    """What the receipt gives, of signals that are `sound`: the same under the words they are wanted by. Of another
    shape than today's (a field more) they count as missing; null is a value, "not measured"."""
    ready, missing = dict[str, Any](), list[str]()
    for name in names:
        if name in past.signals and name in sound and _fits(name, past.signals[name]):
            ready[name] = past.signals[name]
        else:
            missing.append(name)
    return Values(ready, tuple(missing))


def complete(values: Values, seen: Seen, policy: LoadedPolicy) -> None:
    """Compute what is missing, from scores read as publishing reads them. A signal that cannot be computed is noted as
    failed, never taken for empty. What was known of the picture then stands in receipts alone: without, it is nothing.
    """
    subject = Subject(seen.job, seen.photo, seen.seen.calibrated(), policy.lexicon)
    signals = registered()
    for name in values.missing:
        try:
            values.ready[name] = subject.once(signals[name].compute)
        except Exception as error:  # whatever an observation of another time leads to
            values.failed[name] = f"{type(error).__name__}: {error}"
    values.missing = ()


def _fits(name: str, value: Any) -> bool:
    fields = _fields()[name]
    if fields is None or value is None:
        return True
    items = value if isinstance(value, list) else [value]
    return all(item.keys() == fields for item in items)


@cache
def _fields() -> dict[str, frozenset[str] | None]:
    """The keys of each signal's items; None for signals that are one plain value."""
    return {name: _keys(one) for name, one in registered().items()}


def _keys(one: Signal) -> frozenset[str] | None:
    return frozenset(field.name for field in one.type.fields) if isinstance(one.type, Item) else None
