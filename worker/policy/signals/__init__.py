"""Signals: numbers and labels that rules read, computed once for each photo. `compute` gives them as plain data."""

from __future__ import annotations

from typing import Any

from worker.policy.signals import (
    categories,
    inspected,
    known,
    listing,
    marks,
    pictures,
    product,
    readers,
    things,
    writing,
)
from worker.policy.signals.registry import SHARE, Field, Item, Kind, Signal, registered, signal
from worker.policy.signals.subject import Subject

__all__ = ["SHARE", "Field", "Item", "Kind", "Signal", "Subject", "compute", "registered", "signal"]

# Importing a provider registers its signals.
_PROVIDERS = (
    pictures,
    inspected,
    categories,
    things,
    writing,
    product,
    marks,
    readers,
    known,
    listing,
)


def compute(subject: Subject) -> dict[str, Any]:
    """Every registered signal by name: only text, numbers, flags, lists, maps; None = not measured."""
    return {name: subject.once(one.compute) for name, one in registered().items()}
