"""The shape of policy files: what a rule must say besides its condition. Pydantic checks it, strictly."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from domain.moderation import ALL_CHANNELS, CHANNELS
from worker.policy.scenes import Scene
from worker.policy.shorthand import LIMIT, limits_in, number, with_limits
from worker.policy.statement_terms import StatementCategory, StatementKeyword

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
RuleId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$", max_length=80)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\.(yaml|txt)$", max_length=120)]
Expression = Annotated[str, Field(min_length=1)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]  # ISO 639
ANY = "any"  # in the place of a language: searched whatever the text's language is


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _moment(value: object) -> object:
    """A date means its first instant in UTC; a time without a zone is UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.combine(value, time(), UTC) if isinstance(value, date) else value


def _sentence(message: str) -> str:
    if "\n" in message.strip() or not message.strip().endswith("."):
        raise ValueError("the message is one sentence on one line, ending in a full stop, that a seller can act on")
    return message.strip()


def _in_english(value: object) -> object:
    return {"en": value} if isinstance(value, str) else value


def _of_any_language(value: object) -> object:
    return {"files": {ANY: value}} if isinstance(value, str) else value


Sentence = Annotated[str, Field(min_length=10, max_length=240), AfterValidator(_sentence)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]


def _number(limit: str) -> str:
    number(limit)
    return limit


def _count(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Limit = Annotated[str, Field(pattern=LIMIT), BeforeValidator(_count), AfterValidator(_number)]  # 2, "500 px", "85 %"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Source(_Strict):
    """Where a rule is from. read: the day that somebody looked.

    sure: "official" is the channel's own page; "reported" is what others say of it, copies of its page included;
    "inferred" is ours, from what it says.
    """

    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+\.[^\s]+$", max_length=300)]
    read: date
    sure: Literal["official", "reported", "inferred"]
    note: Annotated[str, Field(min_length=10, max_length=300)] | None = None

    @field_validator("read", mode="before")
    @classmethod
    def _day(cls, read: object) -> object:
        if isinstance(read, datetime):
            raise ValueError("read is a day such as 2026-11-21, without a time")
        return read


def _known_channels(channels: list[str]) -> list[str]:
    for channel in channels:
        if channel not in (*CHANNELS, ALL_CHANNELS):
            raise ValueError(f'there is no channel {channel!r}; known are {", ".join(CHANNELS)} and "*"')
    return channels


class NotChecked(_Strict):
    """What channels ask for and no rule checks, so that nobody takes an approval for more than it is."""

    channels: Annotated[list[str], Field(min_length=1), AfterValidator(_known_channels)]
    asks: Sentence
    why: Sentence
    source: Source


class Scope(_Strict):
    tenants: list[Annotated[str, Field(min_length=1, max_length=80)]] = ["*"]
    channels: list[str] = [ALL_CHANNELS]
    categories: list[Annotated[str, Field(pattern=r"^(\*|[a-z]{2}(-\d+)*)$")]] = ["*"]  # subtrees of the taxonomy

    @field_validator("tenants", "channels", "categories")
    @classmethod
    def _not_empty(cls, names: list[str]) -> list[str]:
        if not names:
            raise ValueError('an empty list is a rule that never applies; leave it out, write "*", or use mode: draft')
        return names

    @field_validator("channels")
    @classmethod
    def _known(cls, channels: list[str]) -> list[str]:
        return _known_channels(channels)


def _yes_or_no(value: object) -> object:
    """YAML reads a bare yes or no as a truth value."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


class SecondOpinionEnvelope(_Strict):
    """A question that another model is asked before people see the photo. off unless the site names an endpoint."""

    question: Annotated[str, Field(min_length=10, max_length=300, pattern=r"^[^\n\r]*\?$")]
    approve_when: Annotated[Literal["yes", "no"], BeforeValidator(_yes_or_no)]  # its opposite sends to review
    at_least: Annotated[float, Field(ge=0.5, le=1)] = 0.8  # confidence


class InlineTest(_Strict):
    """A scene and whether the rule must match it."""

    given: Scene
    expect: Literal["match", "no_match"]


class RuleEnvelope(_Strict):
    """One rule. It matches where `when` (true if left out) holds and `causes` yields evidence.

    Once validated, both have the rule's `limits` written out in them.
    """

    id: RuleId
    version: Annotated[int, Field(ge=1)]
    policy_code: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]*(-[A-Z0-9]+)*$", max_length=60)]
    scope: Scope = Scope()
    effective_from: Moment = None
    effective_to: Moment = None
    severity: Literal[0, 2, 4, 6]
    action: Literal["approve", "review", "reject"]
    mode: Literal["draft", "shadow", "live"]
    on_error: Literal["review"] = "review"
    message: Annotated[dict[Language, Sentence], BeforeValidator(_in_english)]  # in English, or by language
    # Of one tenant's photos in a day (UTC); what the rule would reject beyond that goes to review, with an alarm.
    max_daily_rejections: Annotated[int, Field(ge=1)] | None = None
    second_opinion: SecondOpinionEnvelope | None = None
    # What the decision is reported as to the EU's transparency database.
    statement_category: StatementCategory | None = None
    statement_keywords: Annotated[list[StatementKeyword], Field(max_length=5)] = []
    source: Source | None = None  # who asks for this, where a channel does
    limits: dict[Name, Limit] = {}  # numbers that `when` and `causes` read as limit.<name>
    when: Expression | None = None
    causes: Annotated[list[Expression], BeforeValidator(_one_or_more), Field(min_length=1, max_length=10)]
    tests: list[InlineTest]

    @field_validator("message")
    @classmethod
    def _has_english(cls, message: dict[str, str]) -> dict[str, str]:
        if "en" not in message:
            raise ValueError("the message has no English (en), which every other language falls back to; add it")
        return message

    @model_validator(mode="after")
    def _no_contradiction(self) -> RuleEnvelope:
        if self.effective_from and self.effective_to and self.effective_to <= self.effective_from:
            raise ValueError("effective_to is not after effective_from, so it would never apply; correct the dates")
        if self.max_daily_rejections is not None and self.action != "reject":
            raise ValueError("max_daily_rejections is for rules that reject; remove it, or set action: reject")
        if self.second_opinion is not None and self.action == "reject":
            raise ValueError("second_opinion is for rules that approve or review; remove it, or change the action")
        if (self.action == "approve") != (self.severity == 0):
            raise ValueError(
                "action and severity contradict each other; approve has severity 0, review and reject have 2, 4 or 6"
            )
        expected = {test.expect for test in self.tests}
        if expected != {"match", "no_match"}:
            raise ValueError("tests need at least one scene with expect: match and one with expect: no_match")
        return self

    @model_validator(mode="after")
    def _written_out(self) -> RuleEnvelope:
        sources = [*([self.when] if self.when else []), *self.causes]
        read = frozenset[str]().union(*map(limits_in, sources))
        if unread := [name for name in self.limits if name not in read]:
            raise ValueError(f"nothing reads limit.{unread[0]}, so lists would show a number that is not checked")
        when = with_limits(self.when, self.limits) if self.when else None
        causes = [with_limits(source, self.limits) for source in self.causes]
        return self.model_copy(update={"when": when, "causes": causes})


class WordListFiles(_Strict):
    """One list by language; "any" is searched whatever the language. fuzzy: also misread and mistyped words."""

    files: Annotated[dict[Language, FileName], Field(min_length=1)]
    fuzzy: bool = False


class PolicyFile(_Strict):
    """A policy, or a part that another includes."""

    policy: Name
    include: list[FileName] = []
    thresholds: dict[Name, float] = {}
    vocabulary: list[FileName] = []
    wordlists: dict[Name, Annotated[WordListFiles, BeforeValidator(_of_any_language)]] = {}
    allowed_phrases: list[FileName] = []
    kinds: list[FileName] = []  # vocabularies of goods, to compare listing and picture
    brands: list[FileName] = []
    known_words: list[FileName] = []  # never taken for a misspelling of a listed word
    not_checked: list[NotChecked] = []
    rules: list[RuleEnvelope] = []

    @field_validator("thresholds")
    @classmethod
    def _in_range(cls, thresholds: dict[str, float]) -> dict[str, float]:
        wrong = [name for name, value in thresholds.items() if not 0 <= value <= 1]  # NaN is wrong too
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: a threshold is a number from 0 to 1")
        return thresholds


class VocabularyFile(_Strict):
    """Names of objects by group, and phrases that name something harmless."""

    groups: dict[Name, list[str]]
    subtrees: dict[Name, list[Annotated[str, Field(pattern=r"^[a-z]{2}(-\d+)*$")]]] = {}  # group -> categories
    innocent: list[str] = []
