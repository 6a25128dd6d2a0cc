"""What settings choose for commands that need no servers."""

from __future__ import annotations

from domain.taxonomy import Taxonomy
from worker.settings import PolicySettings
from worker.taxonomy.files import compact_or_shipped


def chosen_taxonomy() -> Taxonomy:
    """What SHELFGUARD_TAXONOMY names, which workers judge by; else the shipped one. Raises TaxonomyRefused."""
    return compact_or_shipped(PolicySettings().taxonomy)
