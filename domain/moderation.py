"""Policy, Rule, Finding, Decision: judging an observation against a shop's rules.

Rules are data; evaluating their conditions is handed in (`Condition`), so that this module stays pure and every
engine that can answer "which causes?" can stand behind it. A decision keeps its causes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

Signals = Mapping[str, Any]
Evidence = Mapping[str, Any]
# Returns the causes of a match (empty = no match). Anything it raises sends the photo to review as RULE_ERROR.
Condition = Callable[[Signals], Sequence[Evidence]]

RULE_ERROR = "RULE_ERROR"
CHANNELS = ("google_merchant", "amazon_main", "ebay", "meta", "own_shop")
ALL_CHANNELS = "*"


class Verdict(StrEnum):
    APPROVE = "approve"
    REVIEW = "review"
    REJECT = "reject"

    @property
    def rank(self) -> int:
        return (Verdict.APPROVE, Verdict.REVIEW, Verdict.REJECT).index(self)


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
    max_daily_rejections: int | None = None  # of one tenant's photos; beyond it a person looks instead

    def applies(self, tenant: str, channel: str, at: datetime) -> bool:
        """In scope and in force. The end of the period is exclusive."""
        return (
            self.mode is not Mode.DRAFT
            and ("*" in self.tenants or tenant in self.tenants)
            and (ALL_CHANNELS in self.channels or channel in self.channels)
            and (self.effective_from is None or self.effective_from <= at)
            and (self.effective_to is None or at < self.effective_to)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules under one version; `version` is a digest of the files, so that a receipt can name it."""

    id: str
    version: str
    rules: tuple[Rule, ...]


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


def decide(
    policy: Policy,
    signals: Signals,
    tenant: str,
    channels: Sequence[str],
    at: datetime,
    spent: Collection[str] = (),
) -> Decision:
    """Judge one photo for each channel. Never raises: a rule that fails sends the photo to review.

    `spent` are rules whose cap for the day is used up: what they would reject goes to review.
    """
    causes: dict[str, Sequence[Evidence] | str] = {}
    findings: list[Finding] = []
    rules = sorted(policy.rules, key=lambda rule: rule.id)
    for channel in channels:
        for rule in rules:
            if not rule.applies(tenant, channel, at):
                continue
            if rule.id not in causes:
                causes[rule.id] = _causes(rule, signals)
            if finding := _finding(rule, channel, causes[rule.id]):
                findings.append(_softened(finding) if rule.id in spent else finding)
    live = [finding for finding in findings if not finding.shadow]
    return Decision(
        channels={
            channel: worst(finding.action for finding in live if finding.channel == channel) for channel in channels
        },
        findings=tuple(findings),
        receipt={"policy": policy.id, "policy_version": policy.version, "decided_at": at.isoformat()},
    )


def _causes(rule: Rule, signals: Signals) -> Sequence[Evidence] | str:
    """The causes, or the reason why the rule could not be evaluated."""
    try:
        return rule.condition(signals)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _softened(finding: Finding) -> Finding:
    return replace(finding, action=Verdict.REVIEW) if finding.action is Verdict.REJECT else finding


def _finding(rule: Rule, channel: str, causes: Sequence[Evidence] | str) -> Finding | None:
    shadow = rule.mode is Mode.SHADOW
    if isinstance(causes, str):
        return Finding(
            rule=rule.id,
            rule_version=rule.version,
            policy_code=RULE_ERROR,
            severity=rule.severity,
            action=Verdict.REVIEW,
            channel=channel,
            message="A rule could not be evaluated, so a person looks at this photo.",
            evidence=({"kind": "error", "error": causes},),
            shadow=shadow,
        )
    if not causes:
        return None
    return Finding(
        rule=rule.id,
        rule_version=rule.version,
        policy_code=rule.policy_code,
        severity=rule.severity,
        action=rule.action,
        channel=channel,
        message=rule.message,
        evidence=tuple(causes),
        shadow=shadow,
    )
