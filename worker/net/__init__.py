"""Guarded outbound HTTP: for addresses that strangers give us (photos to fetch, webhooks to deliver).

An address is checked as text, its host is resolved once, every answer is checked, and the connection goes to a checked
address. Redirects are followed by hand, each checked again.
"""

from __future__ import annotations

from worker.net.client import Fetched, GuardedHttp
from worker.net.urls import Target, parse

__all__ = ["Fetched", "GuardedHttp", "Target", "parse"]
