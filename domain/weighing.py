"""Weighing second opinions: they move a photo between approve and review, and never towards or away from reject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from domain.moderation import Decision, Finding, Verdict, worst
from domain.opinions import Opinion

_LOWEST_SEVERITY = 2  # of what a person looks at


def weigh(decision: Decision, opinions: Mapping[str, Opinion]) -> Decision:
    """The decision with what was answered to its open questions, by question; other answers are left out.

    Pure: a receipt's own opinions give its decision again. Only findings of rules that ask are touched, so a verdict
    is never reject unless it was before, and never approve where another rule wants a person to look.
    """
    heard = {asked.question: opinions[asked.question] for asked in decision.asks.values() if asked.question in opinions}
    if not heard:
        return decision
    findings = tuple(_weighed(finding, decision, heard) for finding in decision.findings)
    channels = {
        channel: worst(one.action for one in findings if one.channel == channel and not one.shadow)
        for channel in decision.channels
    }
    told = {"opinions": {question: heard[question].as_json() for question in sorted(heard)}}
    receipt = dict(sorted({**decision.receipt, **told}.items()))
    return replace(decision, channels=channels, findings=findings, receipt=receipt, asks={})


def _weighed(finding: Finding, decision: Decision, heard: Mapping[str, Opinion]) -> Finding:
    asked = decision.asks.get(finding.rule)
    if asked is None or finding.shadow or asked.question not in heard or finding.action is Verdict.REJECT:
        return finding
    opinion = heard[asked.question]
    told = replace(finding, evidence=(*finding.evidence, {"kind": "second_opinion", **opinion.as_json()}))
    approved = asked.settles(opinion)
    if approved is None:
        return told
    if approved:
        return replace(told, action=Verdict.APPROVE, severity=0)
    return replace(told, action=Verdict.REVIEW, severity=max(finding.severity, _LOWEST_SEVERITY))
