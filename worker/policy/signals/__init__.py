"""Signals: numbers and labels that rules read, computed once for each photo. `compute` gives them as plain data."""

from __future__ import annotations

from typing import Any

from worker.policy.signals import listing, pictures, readers, things, writing
from worker.policy.signals.registry import SHARE, Field, Item, Kind, Signal, registered, signal
from worker.policy.signals.subject import Subject

__all__ = ["SHARE", "Field", "Item", "Kind", "Signal", "Subject", "compute", "registered", "signal"]

_PROVIDERS = (pictures, things, writing, readers, listing)  # importing a provider registers its signals


def compute(subject: Subject) -> dict[str, Any]:
    """Every registered signal by name: only text, numbers, flags, lists and maps, ready for JSON."""
    return {name: one.compute(subject) for name, one in registered().items()}
