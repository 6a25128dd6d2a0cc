"""Every error the story can meet, named for what happens next.

ShelfguardError
├── InputRejected      the photo or the job cannot be used; never retried; the seller is told what to do
├── Unavailable        something we need is away (storage, network, model); tried again later
├── LeaseLost          another worker holds the row now; nothing was changed
├── Conflict           the same idempotency key came with another body
├── NotFound           no such job, product, tenant, token or endpoint
├── Forbidden          the caller is known but may not do this
├── TooManyTries       somebody guesses passwords; later again
├── CheckpointRefused  weights or adapter files that must not be loaded
├── ExtraMissing       a setting asks for a part that is not installed
├── SettingsRefused    settings that contradict each other or cannot work
├── TaxonomyRefused    files that are no taxonomy of categories
├── PolicyInvalid      a policy that does not check; the one before it stays live
└── RuleFailed         a rule that could not be evaluated for one photo; a person looks at that photo
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ShelfguardError(Exception):
    """Base of all errors that Shelfguard raises on purpose. They travel between processes with their fields."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, dict(self.__dict__))


def _rebuilt(kind: type[ShelfguardError], args: tuple[Any, ...], fields: dict[str, Any]) -> ShelfguardError:
    """What pickle would do if every error took its message alone."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class InputRejected(ShelfguardError):
    """The input cannot be used, now or later.

    `code` is stable and machine-readable; `message` is one sentence a seller can act on.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Unavailable(ShelfguardError):
    """A dependency did not answer. The work is kept and tried again."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} is unavailable: {why}")
        self.what = what
        self.why = why


class LeaseLost(ShelfguardError):
    """The lease ran out or was taken over, so this holder may change nothing."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"The lease on job {job_id} is no longer ours; its result was discarded.")
        self.job_id = job_id


class Conflict(ShelfguardError):
    """An idempotency key that is already taken by a different body (draft-ietf-httpapi-idempotency-key)."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency key {key!r} was used before with a different body. "
            "Send the same body again, or choose a new key."
        )
        self.key = key


class NotFound(ShelfguardError):
    """Something named does not exist (or is not visible to the caller)."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"There is no {kind} {name!r}.")
        self.kind = kind
        self.name = name


class Forbidden(ShelfguardError):
    """The caller is known, but this is not theirs to do."""

    def __init__(self, action: str, remedy: str) -> None:
        super().__init__(f"Not allowed: {action}. {remedy}")
        self.action = action
        self.remedy = remedy


class TooManyTries(ShelfguardError):
    """Too many tries to log in within a while."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many tries to log in. Wait {-(-seconds // 60)} minutes, then try again.")
        self.seconds = seconds


class CheckpointRefused(ShelfguardError):
    """A checkpoint or adapter directory that must not be loaded; says which key or file and the remedy."""

    def __init__(self, path: str, why: str, remedy: str) -> None:
        super().__init__(f"{path}: {why} {remedy}")
        self.path = path
        self.why = why
        self.remedy = remedy


class ExtraMissing(ShelfguardError):
    """A setting asks for something that an optional extra of the distribution brings."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed. Install it: pip install 'shelfguard[{extra}]'")
        self.what = what
        self.extra = extra


class SettingsRefused(ShelfguardError):
    """A setting that cannot work; says which, why and the remedy."""

    def __init__(self, name: str, why: str, remedy: str) -> None:
        super().__init__(f"{name}: {why.rstrip('.')}. {remedy}")
        self.name = name
        self.remedy = remedy


class TaxonomyRefused(ShelfguardError):
    """Files that cannot be read as a taxonomy; says which and why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"{path}: {why}. Give a folder with Shopify's release, or a file that `shelfguard taxonomy load` wrote."
        )
        self.path = path
        self.why = why


class PolicyInvalid(ShelfguardError):
    """A policy that does not check. `problems` has one sentence each, with file, line and remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("The policy was refused:\n" + "\n".join(f"  - {problem}" for problem in problems))
        self.problems = tuple(problems)


class RuleFailed(ShelfguardError):
    """A rule whose condition could not be evaluated; `decide` turns it into a review with code RULE_ERROR."""
