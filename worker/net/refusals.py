"""Refusals about an address that a shop gave: a stable code, and a sentence that says what to do."""

from __future__ import annotations

from domain.errors import InputRejected

ADVICE = "check that it opens in a browser without logging in"


def invalid(why: str) -> InputRejected:
    return InputRejected("url_invalid", f"The address is not usable: {why}; send a full http or https address.")


def blocked(why: str) -> InputRejected:
    return InputRejected("url_blocked", f"The address is not allowed: {why}; send a public http or https address.")


def not_found(status: int) -> InputRejected:
    return InputRejected("url_not_found", f"There is nothing at the address (HTTP {status}); {ADVICE}.")


def refused(status: int) -> InputRejected:
    return InputRejected("url_refused", f"The server refused to send the file (HTTP {status}); {ADVICE}.")


def compressed() -> InputRejected:
    return InputRejected(
        "url_refused", "The server sent the file compressed although asked not to; serve the photo as it is."
    )


def wrong_type(kind: str) -> InputRejected:
    return InputRejected("url_not_an_image", f"The address gives {kind}, not a photo; send the photo's own address.")


def too_large(limit_bytes: int) -> InputRejected:
    return InputRejected(
        "too_large", f"The file is larger than {limit_bytes / 1e6:g} MB; make it smaller and send it again."
    )


def too_many_redirects(limit: int) -> InputRejected:
    return InputRejected(
        "too_many_redirects", f"The address redirects more than {limit} times; send the address it ends at."
    )
