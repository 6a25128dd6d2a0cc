"""Asking, within limits: what was answered before, then the breaker, the budget, and only then the endpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from domain.errors import Unavailable
from domain.opinions import NOTHING_SPENT, Failure, Opinion, Spending
from domain.ports import AskedPhoto, OpinionKey, OpinionStore
from worker.opinion.answer import OpinionFailed, Usage
from worker.opinion.breaker import Breaker
from worker.opinion.endpoint import Endpoint
from worker.opinion.prompt import PROMPT_VERSION, digest
from worker.telemetry import log

# The endpoint's trouble, not the photo's: these count towards leaving it alone.
_TROUBLE = frozenset({Failure.TIMED_OUT, Failure.AWAY, Failure.BUSY, Failure.SERVER_ERROR, Failure.NOT_ACCEPTED})


@dataclass(frozen=True, slots=True)
class Prices:
    """For a million tokens, in the operator's currency. reserve_in: tokens set aside for a question and its picture."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0
    reserve_in: int = 4_000

    def micros(self, tokens_in: int, tokens_out: int) -> int:
        """Millionths of the currency's unit, rounded up."""
        return math.ceil(tokens_in * self.tokens_in + tokens_out * self.tokens_out)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds of one call and of all calls for a photo; what a tenant may spend in a day (UTC)."""

    call_seconds: float
    photo_seconds: float
    daily: Spending


@dataclass
class Opinions:
    """domain.ports.Advice. Safe to share between threads."""

    store: OpinionStore
    endpoint: Endpoint
    bounds: Bounds
    prices: Prices = field(default_factory=Prices)
    breaker: Breaker = field(default_factory=Breaker)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic

    def ask(self, asked: AskedPhoto, questions: Sequence[str], picture: Callable[[], bytes]) -> Mapping[str, Opinion]:
        until = self.monotonic() + self.bounds.photo_seconds
        return {question: self._one(asked, question, picture, until) for question in questions}

    def _one(self, asked: AskedPhoto, question: str, picture: Callable[[], bytes], until: float) -> Opinion:
        key = OpinionKey(asked.job.tenant, asked.photo.sha256, digest(asked, question, self.endpoint.wording))
        if known := self.store.find(key):
            return replace(known, cached=True, cost_micros=0)
        bare = Opinion(question, self.endpoint.wording.model, PROMPT_VERSION)
        try:
            opinion = self._called(asked, bare, picture(), until)
        except OpinionFailed as why:
            opinion = _failed(bare, why)
        if opinion.failure is None:
            self._keep(key, opinion)
        return opinion

    def _called(self, asked: AskedPhoto, bare: Opinion, copy: bytes, until: float) -> Opinion:
        """Raises OpinionFailed where nobody was asked; a failure of the endpoint is an opinion with its cost."""
        seconds = min(self.bounds.call_seconds, until - self.monotonic())
        if seconds <= 0:
            raise OpinionFailed(Failure.PHOTO_TIME_SPENT, "other questions took all the time for this photo")
        with self._place(asked.job.tenant, seconds) as place:
            if not self.breaker.lets_through():
                raise OpinionFailed(Failure.PAUSED, "the endpoint failed again and again")
            began = self.monotonic()
            opinion, usage, billed = self._answered(asked, bare, copy, seconds)
            place.used = Spending(1, self._cost(usage, billed), math.ceil((self.monotonic() - began) * 1000))
        return replace(opinion, cost_micros=place.used.micros)

    def _answered(
        self, asked: AskedPhoto, bare: Opinion, copy: bytes, seconds: float
    ) -> tuple[Opinion, Usage | None, bool]:
        """The opinion, what the server counted, and whether it may be charged for."""
        try:
            said, usage = self.endpoint.ask(asked, bare.question, copy, seconds)
        except OpinionFailed as why:
            self.breaker.failed() if why.failure in _TROUBLE else self.breaker.went_well()
            return _failed(bare, why), why.usage, why.billed
        except Exception as error:
            log.exception("second_opinion_unexpected")
            self.breaker.failed()
            return _failed(bare, OpinionFailed(Failure.UNEXPECTED, type(error).__name__)), None, True
        self.breaker.went_well()
        answered = replace(bare, answer=said.verdict(), confidence=said.confidence, reason=said.words())
        return answered, usage, True

    @contextmanager
    def _place(self, tenant: str, seconds: float) -> Iterator[_Place]:
        """A place under the tenant's limits for the day; what was not used is given back. Raises OpinionFailed."""
        day = self.now().date()
        reserved = Spending(1, self._cost(None, billed=True), math.ceil(seconds * 1000))
        if not self.store.reserve(tenant, day, reserved, self.bounds.daily):
            raise OpinionFailed(Failure.BUDGET_SPENT, f"of {tenant} on {day}")
        place = _Place()
        try:
            yield place
        finally:
            try:
                self.store.settle(tenant, day, reserved, place.used)
            except Unavailable as why:  # the reservation stays counted: too much rather than too little
                log.warning("second_opinion_not_settled", tenant=tenant, why=str(why))

    def _cost(self, usage: Usage | None, billed: bool) -> int:
        """By what the server counted; where it says nothing, what was set aside."""
        if usage is not None:
            return self.prices.micros(usage.prompt_tokens, usage.completion_tokens)
        return self.prices.micros(self.prices.reserve_in, self.endpoint.wording.most_answer) if billed else 0

    def _keep(self, key: OpinionKey, opinion: Opinion) -> None:
        try:
            self.store.keep(key, opinion)
        except Unavailable as why:  # costs no more than another call some day
            log.warning("second_opinion_not_kept", why=str(why))


@dataclass
class _Place:
    used: Spending = NOTHING_SPENT


def _failed(bare: Opinion, why: OpinionFailed) -> Opinion:
    log.warning("second_opinion_failed", failure=why.failure.value, why=why.detail)
    return replace(bare, failure=why.failure)
