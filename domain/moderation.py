"""Policy, Rule, Finding, Decision: judging an observation against a shop's rules.

Rules are data; evaluating their conditions is handed in (`Condition`), so that this module stays pure and every
engine that can answer "which causes?" can stand behind it. A decision keeps its causes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.opinions import SecondOpinion

Signals = Mapping[str, Any]
Evidence = Mapping[str, Any]
# Returns the causes of a match (empty = no match). Anything it raises sends the photo to review as RULE_ERROR.
Condition = Callable[[Signals], Sequence[Evidence]]

RULE_ERROR = "RULE_ERROR"
RULE_ERROR_MESSAGES = {
    "en": "A rule could not be evaluated, so a person looks at this photo.",
    "de": "Eine Regel konnte nicht ausgewertet werden, deshalb sieht sich ein Mensch dieses Foto an.",
    "fr": "Une règle n'a pas pu être évaluée ; une personne examine donc cette photo.",
    "es": "No se pudo evaluar una regla, por lo que una persona revisará esta foto.",
}
MOST_SCOPES = 1_000  # pairs of tenant and channel whose rules a policy remembers
CHANNELS = ("google_merchant", "amazon_main", "ebay", "meta", "etsy", "own_shop")
ALL_CHANNELS = "*"


class Verdict(StrEnum):
    APPROVE = "approve"
    REVIEW = "review"
    REJECT = "reject"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {Verdict.APPROVE: 0, Verdict.REVIEW: 1, Verdict.REJECT: 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The job's verdict is the worst of its channels'; no channel at all is an approval."""
    return max(verdicts, key=lambda verdict: verdict.rank, default=Verdict.APPROVE)


class Mode(StrEnum):
    DRAFT = "draft"
    SHADOW = "shadow"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy. severity is 0, 2, 4 or 6; action is the verdict a match asks for."""

    id: str
    version: int
    policy_code: str
    severity: int
    action: Verdict
    message: str
    condition: Condition
    channels: tuple[str, ...] = (ALL_CHANNELS,)
    tenants: tuple[str, ...] = ("*",)
    mode: Mode = Mode.LIVE
    effective_from: datetime | None = None
    effective_to: datetime | None = None
    translations: Mapping[str, str] = field(default_factory=dict)  # the message by language; `message` is English
    max_daily_rejections: int | None = None  # of one tenant's photos; beyond it a person looks instead
    second_opinion: SecondOpinion | None = None  # never of a rule that rejects

    def applies(self, tenant: str, channel: str, at: datetime) -> bool:
        """In scope and in force."""
        return self.covers(tenant, channel) and self.in_force(at)

    def covers(self, tenant: str, channel: str) -> bool:
        """In scope, and more than a draft."""
        return (
            self.mode is not Mode.DRAFT
            and ("*" in self.tenants or tenant in self.tenants)
            and (ALL_CHANNELS in self.channels or channel in self.channels)
        )

    def in_force(self, at: datetime) -> bool:
        """The end of the period is exclusive."""
        return (self.effective_from is None or self.effective_from <= at) and (
            self.effective_to is None or at < self.effective_to
        )

    def message_in(self, language: str) -> str:
        """What the seller reads; English where there is no translation."""
        return self.translations.get(language, self.message)


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules under one version, by their ids; `version` is a digest of the files, so that a receipt can name it."""

    id: str
    version: str
    rules: tuple[Rule, ...]
    _scopes: dict[tuple[str, str], tuple[Rule, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _asking: tuple[Rule, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(sorted(self.rules, key=lambda rule: rule.id)))
        object.__setattr__(self, "_asking", tuple(rule for rule in self.rules if rule.second_opinion is not None))

    @property
    def asking(self) -> tuple[Rule, ...]:
        """The rules that ask for a second opinion."""
        return self._asking

    def covering(self, tenant: str, channel: str) -> tuple[Rule, ...]:
        """The rules in scope, whatever their dates. Remembered: most photos of a shop ask for the same."""
        key = (tenant, channel)
        rules = self._scopes.get(key)
        if rules is None:
            if len(self._scopes) >= MOST_SCOPES:
                self._scopes.clear()
            rules = self._scopes[key] = tuple(rule for rule in self.rules if rule.covers(tenant, channel))
        return rules


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that matched on a channel, with what it matched on."""

    rule: str
    rule_version: int
    policy_code: str
    severity: int
    action: Verdict
    channel: str
    message: str
    evidence: tuple[Evidence, ...]
    shadow: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "rule_version": self.rule_version,
            "policy_code": self.policy_code,
            "severity": self.severity,
            "action": self.action.value,
            "channel": self.channel,
            "message": self.message,
            "evidence": [dict(item) for item in self.evidence],
            "shadow": self.shadow,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        return cls(**{**data, "action": Verdict(data["action"]), "evidence": tuple(data["evidence"])})


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict for each channel with its causes, and the receipt that says what it rests on."""

    channels: Mapping[str, Verdict]
    findings: tuple[Finding, ...]
    receipt: Mapping[str, Any] = field(default_factory=dict)
    # What rules with a finding here ask before people see the photo, by rule. Not part of what is stored.
    asks: Mapping[str, SecondOpinion] = field(default_factory=dict, compare=False)

    @property
    def verdict(self) -> Verdict:
        return worst(self.channels.values())

    @property
    def severity(self) -> int:
        return max((finding.severity for finding in self.findings if not finding.shadow), default=0)

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.value,
            "channels": {channel: verdict.value for channel, verdict in self.channels.items()},
            "findings": [finding.as_json() for finding in self.findings],
            "receipt": dict(self.receipt),
        }

    def same_effect(self, other: Decision) -> bool:
        """Whether sellers, shops and reviewers would be told the same; versions and shadow rules are not told."""
        return self._told() == other._told()

    def _told(self) -> object:
        findings = [finding.as_json() | {"rule_version": 0} for finding in self.findings if not finding.shadow]
        return dict(self.channels), sorted(findings, key=lambda item: (item["channel"], item["rule"]))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        return cls(
            channels={channel: Verdict(verdict) for channel, verdict in data["channels"].items()},
            findings=tuple(Finding.from_json(item) for item in data["findings"]),
            receipt=data["receipt"],
        )


def language_of(locale: str | None) -> str:
    """The language of a locale such as "de-AT" or "pt_BR", lower-case; an empty string where none is named."""
    return re.split(r"[-_]", locale or "", maxsplit=1)[0].strip().lower()


def decide(
    policy: Policy,
    signals: Signals,
    tenant: str,
    channels: Sequence[str],
    at: datetime,
    locale: str | None = None,
    spent: Collection[str] = (),
) -> Decision:
    """Judge one photo for each channel, with messages in the seller's language where there are any.

    `spent` are rules whose cap for the day is used up: what they would reject goes to review.
    Never raises: a rule that fails sends the photo to review.
    """
    causes: dict[str, Sequence[Evidence] | str] = {}
    verdicts: dict[str, Verdict] = {}
    findings: list[Finding] = []
    language = language_of(locale)
    for channel in channels:
        found: list[Finding] = []
        for rule in policy.covering(tenant, channel):
            if (rule.effective_from or rule.effective_to) and not rule.in_force(at):
                continue
            if (caused := causes.get(rule.id)) is None:
                caused = causes[rule.id] = _causes(rule, signals)
            if caused:
                finding = _finding(rule, channel, caused, language)
                found.append(_softened(finding) if rule.id in spent else finding)
        live = [finding.action for finding in found if not finding.shadow]
        verdicts[channel] = worst(live) if live else Verdict.APPROVE
        findings += found
    receipt = {"policy": policy.id, "policy_version": policy.version, "decided_at": at.isoformat()}
    asks = _asks(policy, findings)
    return Decision(verdicts, tuple(findings), receipt | {"locale": locale} if locale else receipt, asks)


def _asks(policy: Policy, findings: Sequence[Finding]) -> dict[str, SecondOpinion]:
    """The questions that could change the verdict: none while another rule rejects or wants a person to look."""
    asking = {rule.id: rule.second_opinion for rule in policy.asking}
    if not asking:
        return {}
    asks: dict[str, SecondOpinion] = {}
    for finding in findings:
        asked = None if finding.policy_code == RULE_ERROR else asking.get(finding.rule)
        if finding.shadow or (asked is None and finding.action is Verdict.APPROVE):
            continue
        if asked is None or finding.action is Verdict.REJECT:
            return {}
        asks[finding.rule] = asked
    return asks


def _causes(rule: Rule, signals: Signals) -> Sequence[Evidence] | str:
    """The causes, or the reason why the rule could not be evaluated."""
    try:
        return rule.condition(signals)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _softened(finding: Finding) -> Finding:
    return replace(finding, action=Verdict.REVIEW) if finding.action is Verdict.REJECT else finding


def _finding(rule: Rule, channel: str, causes: Sequence[Evidence] | str, language: str) -> Finding:
    failed = isinstance(causes, str)
    return Finding(
        rule=rule.id,
        rule_version=rule.version,
        policy_code=RULE_ERROR if failed else rule.policy_code,
        severity=rule.severity,
        action=Verdict.REVIEW if failed else rule.action,
        channel=channel,
        message=RULE_ERROR_MESSAGES.get(language, RULE_ERROR_MESSAGES["en"]) if failed else rule.message_in(language),
        evidence=({"kind": "error", "error": causes},) if isinstance(causes, str) else tuple(causes),
        shadow=rule.mode is Mode.SHADOW,
    )
