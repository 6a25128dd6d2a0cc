"""Explaining a stored decision: each cause with its rule as it was written then, and the decision computed anew."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from domain.errors import PolicyInvalid
from domain.moderation import RULE_ERROR
from worker.policy.engine import PolicyEngine
from worker.policy.loading import LoadedRule
from worker.policy.reference import source_json

_STRING = re.compile(r"r?\"(?:\\.|[^\"\\])*\"|r?'(?:\\.|[^'\\])*'")
_MOST_DIFFERENCES = 20


def canonical(data: Mapping[str, Any]) -> bytes:
    """The bytes that two equal decisions have in common: sorted keys, no spaces."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")


def rerun(stored: Mapping[str, Any], engine: PolicyEngine) -> dict[str, Any]:
    """The stored decision (Decision.as_json) judged again from its own receipt.

    `same`: byte for byte in canonical form. `differences`: JSON paths with the stored and the new value.
    """
    try:
        again = engine.again(stored["receipt"]).as_json()
    except (PolicyInvalid, KeyError, TypeError, ValueError) as why:
        return not_run(f"{type(why).__name__}: {why}")
    same = canonical(again) == canonical(stored)
    return {"same": same, "problem": None, "differences": [] if same else _differences(stored, again, "$")}


def not_run(why: str) -> dict[str, Any]:
    """A re-run that could not take place."""
    return {"same": False, "problem": why, "differences": []}


def explain(stored: Mapping[str, Any], engine: PolicyEngine | None) -> list[dict[str, Any]]:
    """Each finding with its rule's text as of that version and the values of the signals that the rule read.

    Without an engine (the version cannot be had) there is no text, and which signals were read is not known.
    """
    rules = {} if engine is None else {one.rule.id: one for one in engine.rules}
    signals = stored["receipt"].get("signals", {})
    return [_finding(finding, rules.get(finding["rule"]), signals) for finding in stored["findings"]]


def _finding(finding: Mapping[str, Any], loaded: LoadedRule | None, signals: Mapping[str, Any]) -> dict[str, Any]:
    if loaded is None:
        return {**finding, "text": None, "read": {}}
    text = loaded.text
    sources = [*([text.when] if text.when else []), *text.causes]
    names = sorted({name for source in sources for name in _names(source)} & signals.keys())
    return {
        **finding,
        "failed": finding["policy_code"] == RULE_ERROR,
        "text": {
            "where": loaded.where,
            "when": text.when,
            "causes": list(text.causes),
            "limits": dict(text.limits),
            "source": source_json(text.source),
            "action": text.action,
            "mode": text.mode,
            "effective_from": text.effective_from.isoformat() if text.effective_from else None,
            "effective_to": text.effective_to.isoformat() if text.effective_to else None,
        },
        "read": {name: signals[name] for name in names},
    }


def _names(source: str) -> set[str]:
    """Words of an expression outside its strings; those after a dot are fields."""
    return set(re.findall(r"(?<![.\w])[a-z][a-z0-9_]*", _STRING.sub('""', source)))


def _differences(stored: Any, again: Any, path: str) -> list[dict[str, Any]]:
    if isinstance(stored, Mapping) and isinstance(again, Mapping):
        names = sorted(stored.keys() | again.keys())
        pairs = [(stored.get(name), again.get(name), f"{path}.{name}") for name in names]
    elif isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        pairs = [(one, other, f"{path}[{index}]") for index, (one, other) in enumerate(zip(stored, again, strict=True))]
    else:
        same = json.dumps(stored, sort_keys=True) == json.dumps(again, sort_keys=True)
        return [] if same else [{"path": path, "stored": stored, "again": again}]
    found = [difference for one, other, where in pairs for difference in _differences(one, other, where)]
    return found[:_MOST_DIFFERENCES]
