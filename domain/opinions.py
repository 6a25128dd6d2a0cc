"""Second opinions: what a rule asks another model about an uncertain photo, and what came back.

An opinion is data in a receipt like any signal: weighing it again needs nobody to be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class Answer(StrEnum):
    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


class Failure(StrEnum):
    """Why there is no answer. The verdict of the rules stays."""

    TIMED_OUT = "timed_out"  # the endpoint did not answer in time
    AWAY = "away"  # no connection, or one that broke
    BUSY = "busy"  # HTTP 429
    SERVER_ERROR = "server_error"  # HTTP 5xx
    NOT_ACCEPTED = "not_accepted"  # any other status, redirects among them
    TOO_LONG = "too_long"  # more bytes than are read, or cut off before its end
    UNREADABLE = "unreadable"  # not what the protocol or the schema says
    DECLINED = "declined"  # the model refuses to answer
    BUDGET_SPENT = "budget_spent"  # the tenant's calls, cost or seconds of the day
    PHOTO_TIME_SPENT = "photo_time_spent"
    PAUSED = "paused"  # the endpoint failed again and again; it is left alone for a while
    PICTURE_TOO_LARGE = "picture_too_large"
    UNEXPECTED = "unexpected"  # an error of our own, in the log


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """What a rule asks. `approve_when` is the answer that approves; its opposite sends to review."""

    question: str
    approve_when: Answer
    at_least: float  # confidence, 0 to 1, under which an answer changes nothing

    def settles(self, opinion: Opinion) -> bool | None:
        """True = approve, False = review, None = the rule's own action stays."""
        if opinion.answer is None or opinion.answer is Answer.UNSURE or opinion.confidence < self.at_least:
            return None
        return opinion.answer is self.approve_when


@dataclass(frozen=True, slots=True)
class Opinion:
    """One answer, or the failure in its place. confidence is the model's own word, 0 to 1; it is not calibrated.

    cost_micros: millionths of the unit that prices are set in; 0 where the answer was known from before.
    """

    question: str
    model: str
    prompt: str  # the version of our words around the question
    answer: Answer | None = None
    confidence: float = 0.0
    reason: str = ""
    failure: Failure | None = None
    cached: bool = False
    cost_micros: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "answer": None if self.answer is None else self.answer.value,
            "failure": None if self.failure is None else self.failure.value,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError for a form of another time."""
        answer, failure = data["answer"], data["failure"]
        parts = {"answer": answer and Answer(answer), "failure": failure and Failure(failure)}
        return cls(**{**data, **parts})


@dataclass(frozen=True, slots=True)
class Spending:
    """Calls, their cost (millionths of the unit that prices are set in) and their time, of one tenant in one day."""

    calls: int
    micros: int
    milliseconds: int


NOTHING_SPENT = Spending(0, 0, 0)


def opinions_in(receipt: Mapping[str, Any]) -> dict[str, Opinion]:
    """The opinions a receipt holds, by question; none in receipts from before there were any."""
    return {question: Opinion.from_json(data) for question, data in receipt.get("opinions", {}).items()}
