"""A statement of reasons for one decision, in the form of the EU's DSA transparency database.

Digital Services Act, articles 17 and 24(5). Fields and allowed values: digital-services-act/transparency-database,
app/Http/Requests/StatementStoreRequest.php and app/Models/Statement.php at 69e80a0 (2026).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.errors import InputRejected
from domain.moderation import Verdict
from worker.policy.engine import PolicyEngine
from worker.policy.statement_terms import OTHER_VIOLATION

# Characters that the database takes.
_MOST_GROUND = 500
_MOST_EXPLANATION = 2_000
_MOST_FACTS = 5_000


def statement(
    decision_id: str,
    stored: Mapping[str, Any],
    submitted_at: datetime,
    engine: PolicyEngine | None,
    channel: str | None = None,
) -> dict[str, Any]:
    """The statement for a decision, or for one of its channels.

    `submitted_at`: when the photo was sent. `engine`: of the decision's policy version, which says the category;
    without it every statement is of the general one. Raises InputRejected for an approval: nothing was restricted.
    """
    verdict = _verdict(stored, channel)
    if verdict is Verdict.APPROVE:
        raise InputRejected(
            "nothing_restricted",
            "this decision approves the photo, so nothing was restricted and there are no reasons to state.",
        )
    findings = [
        one
        for one in stored["findings"]
        if not one["shadow"] and one["action"] != Verdict.APPROVE.value and channel in (None, one["channel"])
    ]
    findings.sort(key=lambda one: (-Verdict(one["action"]).rank, -one["severity"], one["rule"]))
    decided = datetime.fromisoformat(stored["receipt"]["decided_at"])
    categories, keywords = _terms(findings, engine)
    return {
        **_restriction(verdict),
        "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
        "incompatible_content_ground": _cut(_ground(findings, stored["receipt"]), _MOST_GROUND),
        "incompatible_content_explanation": _cut(_unique(one["message"] for one in findings), _MOST_EXPLANATION),
        "category": categories[0],
        "category_addition": categories[1:],
        "category_specification": keywords,
        "content_type": ["CONTENT_TYPE_IMAGE", "CONTENT_TYPE_PRODUCT"],
        "content_date": submitted_at.date().isoformat(),
        "application_date": decided.date().isoformat(),
        "decision_facts": _cut(_facts(findings), _MOST_FACTS),
        "source_type": "SOURCE_VOLUNTARY",
        "automated_detection": "Yes",
        "puid": decision_id if channel is None else f"{decision_id}-{channel}",
    }


def _verdict(stored: Mapping[str, Any], channel: str | None) -> Verdict:
    if channel is None:
        return Verdict(stored["verdict"])
    if channel not in stored["channels"]:
        known = ", ".join(stored["channels"])
        raise InputRejected("unknown_channel", f"channel: this decision is for {known}; choose one of them.")
    return Verdict(stored["channels"][channel])


def _restriction(verdict: Verdict) -> dict[str, Any]:
    if verdict is Verdict.REJECT:
        return {
            "decision_visibility": ["DECISION_VISIBILITY_CONTENT_REMOVED"],
            "automated_decision": "AUTOMATED_DECISION_FULLY",
        }
    return {
        "decision_visibility": ["DECISION_VISIBILITY_OTHER"],
        "decision_visibility_other": "Held back until a person has looked at it.",
        "automated_decision": "AUTOMATED_DECISION_PARTIALLY",
    }


def _terms(findings: Sequence[Mapping[str, Any]], engine: PolicyEngine | None) -> tuple[list[str], list[str]]:
    """Categories, that of the gravest finding first, and keywords; each once."""
    texts = {} if engine is None else {one.rule.id: one.text for one in engine.rules}
    named = [texts[one["rule"]] for one in findings if one["rule"] in texts]
    categories = dict.fromkeys(text.statement_category or OTHER_VIOLATION for text in named)
    keywords = dict.fromkeys(keyword for text in named for keyword in text.statement_keywords)
    return list(categories) or [OTHER_VIOLATION], list(keywords)


def _ground(findings: Sequence[Mapping[str, Any]], receipt: Mapping[str, Any]) -> str:
    codes = ", ".join(dict.fromkeys(one["policy_code"] for one in findings))
    return f"Policy {receipt['policy']}, version {receipt['policy_version'][:12]}: {codes}"


def _facts(findings: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        f"Channel {one['channel']}, rule {one['rule']} ({one['policy_code']}), on: "
        + "; ".join(_evidence(item) for item in one["evidence"])
        for one in findings
    )


def _evidence(item: Mapping[str, Any]) -> str:
    """A cause in words, without places in the picture."""
    told = ", ".join(f"{name} {_plain(value)}" for name, value in item.items() if name != "kind" and _tells(value))
    return f"{item.get('kind', 'finding')} ({told})"


def _tells(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else repr(value)


def _unique(sentences: Any) -> str:
    return " ".join(dict.fromkeys(sentences))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
