"""What each role may do, as entries of the pages' navigation. Pages that come later add theirs here."""

from __future__ import annotations

from dataclasses import dataclass

from worker.storage.accounts import Role

EVERYBODY = frozenset(Role)
ADMINS = frozenset({Role.ADMIN})


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    path: str
    title: str
    about: str
    roles: frozenset[Role]


ENTRIES = (
    NavigationEntry("/", "Home", "What you may do here.", EVERYBODY),
    NavigationEntry("/people", "People", "Who may log in, and what they may do.", ADMINS),
    NavigationEntry("/audit", "Audit log", "Who did what, when.", ADMINS),
    NavigationEntry("/account", "Your account", "Your password, and where you are logged in.", EVERYBODY),
)


def navigation(role: Role) -> list[NavigationEntry]:
    """What somebody of this role sees, in order."""
    return [entry for entry in ENTRIES if role in entry.roles]
