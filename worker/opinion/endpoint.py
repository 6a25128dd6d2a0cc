"""ChatEndpoint: one question to one OpenAI-compatible endpoint, and its failures by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from domain.errors import InputRejected, Unavailable
from domain.opinions import Failure
from domain.ports import AskedPhoto
from worker.net.client import GuardedHttp, Received, TimedOut
from worker.opinion.answer import OpinionFailed, Said, Usage, read
from worker.opinion.prompt import Wording, request

MOST_ANSWER_BYTES = 65_536
MOST_PICTURE_BYTES = 4_000_000  # a model copy has a tenth of it


class Endpoint(Protocol):
    @property
    def wording(self) -> Wording:
        """What is sent besides the question, for the cache's key."""

    def ask(self, asked: AskedPhoto, question: str, picture: bytes, timeout_s: float) -> tuple[Said, Usage | None]:
        """Raises OpinionFailed."""


@dataclass(frozen=True, slots=True)
class ChatEndpoint:
    """url: the API's base, e.g. https://api.example/v1. Redirects are not followed: the key goes to this host only."""

    http: GuardedHttp
    url: str
    wording: Wording
    api_key: str | None = field(default=None, repr=False)

    def ask(self, asked: AskedPhoto, question: str, picture: bytes, timeout_s: float) -> tuple[Said, Usage | None]:
        if len(picture) > MOST_PICTURE_BYTES:
            raise OpinionFailed(Failure.PICTURE_TOO_LARGE, f"{len(picture)} bytes")
        got = self._post(request(asked, question, picture, self.wording), timeout_s)
        _check_status(got.status)
        if got.cut_off:
            raise OpinionFailed(Failure.TOO_LONG, f"more than {MOST_ANSWER_BYTES} bytes", billed=True)
        return read(got.body)

    def _post(self, body: bytes, timeout_s: float) -> Received:
        address = self.url.rstrip("/") + "/chat/completions"
        try:
            return self.http.post_for(address, body, self._headers(), timeout_s=timeout_s, max_bytes=MOST_ANSWER_BYTES)
        except TimedOut as why:
            raise OpinionFailed(Failure.TIMED_OUT, str(why), billed=True) from why
        except (Unavailable, InputRejected) as why:
            raise OpinionFailed(Failure.AWAY, str(why)) from why

    def _headers(self) -> Mapping[str, str]:
        ours = {"Content-Type": "application/json", "Accept": "application/json"}
        return ours if self.api_key is None else {**ours, "Authorization": f"Bearer {self.api_key}"}


def _check_status(status: int) -> None:
    if status == 200:
        return
    failure = Failure.BUSY if status == 429 else Failure.SERVER_ERROR if status >= 500 else Failure.NOT_ACCEPTED
    raise OpinionFailed(failure, f"HTTP {status}")
