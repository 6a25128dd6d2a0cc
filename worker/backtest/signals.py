"""Signals of past decisions: as the receipt holds them where that is sound, else computed from the observation."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from worker.backtest.changes import words_behind
from worker.policy.loading import LoadedPolicy
from worker.policy.signals import Item, Signal, Subject, registered
from worker.storage.history import PastDecision, Seen


@dataclass(slots=True)
class Values:
    """Signals by name; those that are still to be computed; those that could not be, with the reason."""

    ready: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)


class Receipts:
    """Takes signals from receipts for one pair of policies."""

    def __init__(self, policies: Collection[LoadedPolicy]) -> None:
        self._policies = {policy.policy.version: policy for policy in policies}
        # Files' digests tell whether words are the same unless one of the two gave its lists other names.
        digests = {_versions(policy) for policy in policies}
        self._digests_tell = len({words_behind("", policy) for policy in policies}) == len(digests)

    def take(self, past: PastDecision, names: Iterable[str], policy: LoadedPolicy) -> Values:
        """What the receipt gives. A signal of another shape than today's (a field more) counts as missing."""
        same_files = self._digests_tell and past.words == policy.lexicon.versions
        maker = self._policies.get(past.policy_version or "")
        ready, missing = dict[str, Any](), list[str]()
        for name in names:
            value = past.signals.get(name)
            if value is not None and _fits(name, value) and (same_files or _same_words(name, maker, policy)):
                ready[name] = value
            else:
                missing.append(name)
        return Values(ready, tuple(missing))


def _same_words(name: str, maker: LoadedPolicy | None, policy: LoadedPolicy) -> bool:
    """Whether the policy that made a decision, if we have it, had the words that this signal looks at."""
    behind = words_behind(name, policy)
    return behind is None or (maker is not None and behind == words_behind(name, maker))


def _versions(policy: LoadedPolicy) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(policy.lexicon.versions.items()))


def complete(values: Values, seen: Seen, policy: LoadedPolicy) -> None:
    """Compute what is missing. A signal that cannot be computed is noted as failed, never taken for empty."""
    subject = Subject(seen.job, seen.photo, seen.seen, policy.lexicon)
    signals = registered()
    for name in values.missing:
        try:
            values.ready[name] = signals[name].compute(subject)
        except Exception as error:  # whatever an observation of another time leads to
            values.failed[name] = f"{type(error).__name__}: {error}"
    values.missing = ()


def _fits(name: str, value: Any) -> bool:
    fields = _fields()[name]
    if fields is None:
        return True
    items = value if isinstance(value, list) else [value]
    return all(item.keys() == fields for item in items)


@cache
def _fields() -> dict[str, frozenset[str] | None]:
    """The keys of each signal's items; None for signals that are one plain value."""
    return {name: _keys(one) for name, one in registered().items()}


def _keys(one: Signal) -> frozenset[str] | None:
    return frozenset(field.name for field in one.type.fields) if isinstance(one.type, Item) else None
