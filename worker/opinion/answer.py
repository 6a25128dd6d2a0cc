"""Reading a chat completion strictly: whatever is not exactly an answer is a failure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.opinions import Answer, Failure
from worker.opinion.prompt import MOST_REASON

MOST_TOKENS = 10_000_000  # in one answer's usage; more is a server's mistake


class OpinionFailed(Exception):
    """No answer; `failure` says why, `detail` goes to the log. billed: the provider may charge for it all the same."""

    def __init__(self, failure: Failure, detail: str, *, billed: bool = False, usage: Usage | None = None) -> None:
        super().__init__(f"{failure.value}: {detail}")
        self.failure = failure
        self.detail = detail
        self.billed = billed
        self.usage = usage


class Said(BaseModel):
    """The model's answer."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    answer: Literal["yes", "no", "unsure"]
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    reason: Annotated[str, Field(max_length=MOST_REASON)]

    def verdict(self) -> Answer:
        return Answer(self.answer)

    def words(self) -> str:
        """On one line, without what does not print (control characters, overrides of direction, lone surrogates)."""
        return "".join(char for char in " ".join(self.reason.split()) if char.isprintable())


class Usage(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    prompt_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)]
    completion_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True)

    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    model_config = ConfigDict(strict=True)

    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    """Servers add fields of their own; those are left out."""

    model_config = ConfigDict(strict=True)

    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: Usage | None = None


def read(body: bytes) -> tuple[Said, Usage | None]:
    """The answer in a completion, and the tokens it took where the server counted them. Raises OpinionFailed."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError as error:
        raise OpinionFailed(Failure.UNREADABLE, _why(error), billed=True) from error
    choice, usage = completion.choices[0], completion.usage
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise OpinionFailed(Failure.DECLINED, (choice.message.refusal or "filtered")[:200], billed=True, usage=usage)
    if choice.finish_reason == "length":
        raise OpinionFailed(Failure.TOO_LONG, "the answer was cut off", billed=True, usage=usage)
    try:
        return Said.model_validate_json(choice.message.content or ""), usage
    except ValidationError as error:
        raise OpinionFailed(Failure.UNREADABLE, _why(error), billed=True, usage=usage) from error


def _why(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the answer'}: {first['msg']}"[:200]
