"""The command line's own HTTP client: to SHELFGUARD_API_URL, else to the local system."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from domain.errors import InputRejected, ShelfguardError, Unavailable
from domain.jobs import JobState
from worker.settings import ClientSettings

_TRIES = 5
_TERMINAL = {state.value for state in JobState if state.terminal}


class ApiClient:
    """Speaks to one Shelfguard API. Use as a context manager."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=httpx.Timeout(30, connect=5)
        )

    @classmethod
    def find(cls, settings: ClientSettings | None = None) -> Self:
        """The API that the environment names, else the local one. Raises ShelfguardError when there is neither."""
        chosen = settings or ClientSettings()
        if chosen.api_url:
            if chosen.api_token is None:
                raise ShelfguardError("SHELFGUARD_API_URL is set but SHELFGUARD_API_TOKEN is not; set both.")
            return cls(chosen.api_url, chosen.api_token.get_secret_value())
        up = read_up(chosen.state_dir)
        # Somebody else's token, such as that of a second person, goes before the one that came with the local system.
        return cls(up["api"], chosen.api_token.get_secret_value() if chosen.api_token else up["token"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, job: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Send a job; trying again is safe, because the key makes it the same job."""
        return self._json(lambda: self._http.post("/v1/jobs", json=job, headers={"Idempotency-Key": key}))

    def job(self, job_id: str) -> dict[str, Any]:
        return self._json(lambda: self._http.get(f"/v1/jobs/{job_id}"))

    def find_jobs(self, **wanted: str) -> list[dict[str, Any]]:
        """Jobs by tenant, state or idempotency_key (for a job sent by task name: its task id); newest first."""
        found: list[dict[str, Any]] = self._json(lambda: self._http.get("/v1/jobs", params=wanted))["items"]
        return found

    def annotated(self, job_id: str) -> bytes:
        return self._call(lambda: self._http.get(f"/v1/jobs/{job_id}/annotated")).content

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """Any other call, once: what makes something new must not be sent twice."""
        return self._call(lambda: self._http.request(method, path, json=body, params=query), tries=1).json()

    def read(self, path: str, **query: str | None) -> dict[str, Any]:
        """Any other page of JSON; a query of None is left out."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._json(lambda: self._http.get(path, params=wanted))

    def wait(self, job_id: str, seconds: float) -> dict[str, Any]:
        """Poll until the job has ended. Raises Unavailable after `seconds`."""
        until = time.monotonic() + seconds
        pause = 0.1
        while True:
            job = self.job(job_id)
            if job["state"] in _TERMINAL:
                return job
            if time.monotonic() > until:
                raise Unavailable(
                    "the result", f"job {job_id} is still {job['state']} after {seconds:.0f} s; it goes on"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def _json(self, call: Callable[[], httpx.Response]) -> dict[str, Any]:
        answer: dict[str, Any] = self._call(call).json()
        return answer

    def _call(self, call: Callable[[], httpx.Response], tries: int = _TRIES) -> httpx.Response:
        """Call, again after 429, 5xx and broken connections. Raises InputRejected for other refusals."""
        why = ""
        for attempt in range(tries):
            if attempt:
                time.sleep(0.3 * 2**attempt)
            try:
                answer = call()
            except httpx.TransportError as error:
                why = f"{type(error).__name__}: {error}"
                continue
            if answer.status_code < 400:
                return answer
            if answer.status_code != 429 and answer.status_code < 500:
                raise _refusal(answer)
            why = f"it answered {answer.status_code}"
        raise Unavailable(f"the API at {self._http.base_url}", why)


@contextmanager
def pointing_to(where: str) -> Iterator[None]:
    """Where a name is not known to the API, say as well where one that is can be found."""
    try:
        yield
    except InputRejected as why:
        if not why.code.startswith("no_such_"):
            raise
        raise InputRejected(why.code, f"{why.message} {where}") from None


def read_up(state_dir: Path) -> dict[str, Any]:
    """What `make up` wrote. Raises ShelfguardError with the remedy when the local system is not up."""
    try:
        up: dict[str, Any] = json.loads((state_dir / "up.json").read_text())
    except FileNotFoundError:
        raise ShelfguardError(
            "No system to talk to: run `make up`, or set SHELFGUARD_API_URL and SHELFGUARD_API_TOKEN."
        ) from None
    return up


def _refusal(answer: httpx.Response) -> InputRejected:
    try:
        problem = answer.json()
        return InputRejected(str(problem.get("code", answer.status_code)), str(problem.get("detail", answer.text)))
    except ValueError:
        return InputRejected(str(answer.status_code), answer.text[:500])
