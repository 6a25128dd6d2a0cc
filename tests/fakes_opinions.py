"""In-memory parts of second opinions; they pass the contract suite of the real ones (tests/contracts)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from domain.errors import Unavailable
from domain.opinions import NOTHING_SPENT, Answer, Opinion, Spending
from domain.ports import AskedPhoto, OpinionKey
from worker.opinion.answer import Said, Usage
from worker.opinion.prompt import Wording


@dataclass
class MemoryOpinions:
    """domain.ports.OpinionStore"""

    kept: dict[OpinionKey, str] = field(default_factory=dict)
    used: dict[tuple[str, date], Spending] = field(default_factory=dict)
    away: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, key: OpinionKey) -> Opinion | None:
        self._answer()
        return Opinion.from_json(json.loads(self.kept[key])) if key in self.kept else None

    def keep(self, key: OpinionKey, opinion: Opinion) -> None:
        self._answer()
        self.kept[key] = json.dumps(opinion.as_json())

    def forget(self, tenant: str, sha256: str) -> int:
        self._answer()
        gone = [key for key in self.kept if (key.tenant, key.sha256) == (tenant, sha256)]
        for key in gone:
            del self.kept[key]
        return len(gone)

    def reserve(self, tenant: str, day: date, wanted: Spending, limit: Spending) -> bool:
        self._answer()
        with self.lock:
            after = _plus(self.spent(tenant, day), wanted, NOTHING_SPENT)
            fits = (after.calls, after.micros, after.milliseconds) == (
                min(after.calls, limit.calls),
                min(after.micros, limit.micros),
                min(after.milliseconds, limit.milliseconds),
            )
            if fits:
                self.used[tenant, day] = after
            return fits

    def settle(self, tenant: str, day: date, reserved: Spending, used: Spending) -> None:
        self._answer()
        with self.lock:
            self.used[tenant, day] = _plus(self.spent(tenant, day), used, reserved)

    def spent(self, tenant: str, day: date) -> Spending:
        return self.used.get((tenant, day), NOTHING_SPENT)

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("the store of opinions", "away")


def _plus(one: Spending, more: Spending, less: Spending) -> Spending:
    return Spending(
        one.calls + more.calls - less.calls,
        one.micros + more.micros - less.micros,
        one.milliseconds + more.milliseconds - less.milliseconds,
    )


@dataclass
class FakeEndpoint:
    """Answers with `said`, or raises `failure`; `asked` are the questions."""

    said: Said = field(default_factory=lambda: Said(answer="no", confidence=0.9, reason="A toy."))
    usage: Usage | None = field(default_factory=lambda: Usage(prompt_tokens=900, completion_tokens=40))
    failure: Exception | None = None
    wording: Wording = field(default_factory=lambda: Wording("fake-vlm"))
    asked: list[str] = field(default_factory=list)

    def ask(self, asked: AskedPhoto, question: str, picture: bytes, timeout_s: float) -> tuple[Said, Usage | None]:
        self.asked.append(question)
        if self.failure is not None:
            raise self.failure
        return self.said, self.usage


@dataclass
class FakeAdvice:
    """domain.ports.Advice: one opinion for every question, or an exception that is raised."""

    answer: Answer | Exception = Answer.NO
    confidence: float = 0.9
    asked: list[AskedPhoto] = field(default_factory=list)

    def ask(self, asked: AskedPhoto, questions: Sequence[str], picture: Callable[[], bytes]) -> Mapping[str, Opinion]:
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {one: Opinion(one, "fake-vlm", "1", self.answer, self.confidence, "So I see.") for one in questions}
