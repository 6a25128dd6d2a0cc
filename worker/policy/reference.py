"""The rules of a policy as plain data, and by sales channel with what each asks for that no rule checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from domain.moderation import ALL_CHANNELS, CHANNELS
from worker.policy.envelope import NotChecked, Source
from worker.policy.loading import LoadedPolicy, LoadedRule


def rule_json(loaded: LoadedRule) -> dict[str, Any]:
    """limits: the rule's numbers as written. source: null for rules that are nobody's but ours."""
    rule, text = loaded.rule, loaded.text
    return {
        "id": rule.id,
        "version": rule.version,
        "policy_code": rule.policy_code,
        "mode": rule.mode.value,
        "action": rule.action.value,
        "severity": rule.severity,
        "tenants": list(rule.tenants),
        "channels": list(rule.channels),
        "categories": list(text.scope.categories),
        "effective_from": rule.effective_from.isoformat() if rule.effective_from else None,
        "effective_to": rule.effective_to.isoformat() if rule.effective_to else None,
        "message": rule.message,
        "limits": dict(text.limits),
        "source": source_json(text.source),
        "tests": len(loaded.tests),
        "where": loaded.where,
    }


def source_json(source: Source | None) -> dict[str, Any] | None:
    return None if source is None else source.model_dump(mode="json")


def packs(loaded: LoadedPolicy) -> list[dict[str, Any]]:
    """For each channel that rules name: those rules, and what is not checked. Rules for every channel come first."""
    found = []
    for channel in (ALL_CHANNELS, *CHANNELS):
        rules = [rule_json(one) for one in loaded.rules if channel in one.rule.channels]
        missing = list(_not_checked(loaded.not_checked, channel))
        if rules or missing:
            found.append({"channel": channel, "rules": rules, "not_checked": missing})
    return found


def _not_checked(missing: Iterable[NotChecked], channel: str) -> Iterable[dict[str, Any]]:
    for one in missing:
        if channel in one.channels:
            yield {"asks": one.asks, "why": one.why, "source": source_json(one.source)}
