"""A tally as one JSON document: the same for the same input, in whatever order and by however many processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.backtest.changes import Change, matters
from worker.backtest.figures import AFTER, BEFORE, LOOSER, STRICTER, VERDICTS, Tally
from worker.backtest.judging import Comparison
from worker.backtest.reviews import ReviewCost
from worker.backtest.work import Backtest
from worker.policy.loading import LoadedPolicy
from worker.storage.history import Selection

Json = dict[str, Any]
NO_RESOLUTIONS = "no resolutions of reviewers are stored, so precision is left out"


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the figures: which replay this is, of what, at what cost of a review."""

    kind: str  # backtest or shadow
    selection: Selection
    cost: ReviewCost
    at: str | None = None
    rules: tuple[str, ...] = ()
    current: tuple[Json, ...] = ()
    candidate: Json | None = None
    changes: Mapping[str, Json] = field(default_factory=dict)
    resolutions: bool = False


def backtest_frame(work: Backtest, selection: Selection, cost: ReviewCost) -> Frame:
    comparisons = [work.comparison(one) for one in work.current.all()]
    found: dict[str, Json] = {}
    for change in (change for comparison in comparisons for change in comparison.changes):
        if change.id not in found or matters(change):
            found[change.id] = _change_json(change)
    return Frame(
        kind="backtest",
        selection=selection,
        cost=cost,
        at=work.at.isoformat(),
        rules=work.rules,
        current=tuple(_policy_json(one.current) for one in comparisons),
        candidate=_policy_json(work.candidate.loaded),
        changes=found,
        resolutions=work.resolutions is not None,
    )


def document(tally: Tally, frame: Frame, reading: Callable[[str], Comparison] | None = None) -> Json:
    """The figures. `reading` gives a tenant's comparison: without one, nothing is said about coverage."""
    unread = _unread(tally, reading) if reading else Counter()
    rules = sorted({rule for rule, _ in tally.rules} | frame.changes.keys() | {rule for rule, _ in unread})
    if frame.kind == "shadow":
        rules = [rule for rule in rules if tally.rules[rule, "gained"] or tally.rules[rule, STRICTER]]
    if frame.rules:
        rules = [rule for rule in rules if rule in frame.rules]
    return {
        "kind": frame.kind,
        "at": frame.at,
        "selection": _selection_json(frame.selection) | {"rules": sorted(frame.rules)},
        "current": list(frame.current),
        "candidate": frame.candidate,
        "photos": tally.photos,
        "decisions": sum(count for (side, _, _), count in tally.channel_verdicts.items() if side == BEFORE),
        "verdicts": _verdicts_json(tally),
        "flips": _flips_json(tally),
        "reviews": _reviews_json(tally, frame.cost),
        "rules": [_rule_json(rule, tally, frame, unread) for rule in rules],
        "coverage": _coverage_json(tally, reading is not None),
        "precision": None if frame.resolutions else NO_RESOLUTIONS,
    }


def _policy_json(loaded: LoadedPolicy) -> Json:
    policy = loaded.policy
    return {"policy": policy.id, "version": policy.version, "rules": len(policy.rules)}


def _change_json(change: Change) -> Json:
    version = change.after or change.before
    assert version is not None, "a change is of a rule that one of the two policies has"
    rule = version.rule
    return {
        "change": change.kind,
        "what": list(change.what),
        "action": rule.action.value,
        "mode": rule.mode.value,
        "severity": rule.severity,
        "message": rule.message,
        "effective_from": rule.effective_from.isoformat() if rule.effective_from else None,
        "effective_to": rule.effective_to.isoformat() if rule.effective_to else None,
    }


def _selection_json(selection: Selection) -> Json:
    return {
        "tenants": sorted(selection.tenants),
        "without": sorted(selection.without),
        "channels": sorted(selection.channels),
        "since": selection.since.isoformat() if selection.since else None,
        "until": selection.until.isoformat() if selection.until else None,
        "limit": selection.limit,
        "sample": selection.seed,
    }


def _verdicts_json(tally: Tally) -> Json:
    photos, decisions = tally.photo_verdicts, tally.channel_verdicts
    channels = sorted({channel for _, channel, _ in decisions})
    return {
        side: {
            "photos": {name: photos[side, name] for name in VERDICTS},
            "channels": {channel: {name: decisions[side, channel, name] for name in VERDICTS} for channel in channels},
        }
        for side in (BEFORE, AFTER)
    }


def _flips_json(tally: Tally) -> Json:
    return {
        "photos": sum(tally.photo_flips.values()),
        "decisions": sum(tally.flips.values()),
        "photos_by_pair": _counted(tally.photo_flips, ("from", "to")),
        "by_pair": _grouped(tally.flips, (2, 3), ("from", "to")),
        "by_tenant": _grouped(tally.flips, (0, 2, 3), ("tenant", "from", "to")),
        "by_channel": _grouped(tally.flips, (1, 2, 3), ("channel", "from", "to")),
        "by_rule": _grouped(tally.caused, (0, 3, 4), ("rule", "from", "to")),
        "by_all": _counted(tally.caused, ("rule", "tenant", "channel", "from", "to")),
    }


def _grouped(counter: Counter[Any], places: Sequence[int], names: Sequence[str]) -> list[Json]:
    sums: Counter[tuple[str, ...]] = Counter()
    for key, count in counter.items():
        sums[tuple(key[place] for place in places)] += count
    return _counted(sums, names)


def _counted(counter: Counter[Any], names: Sequence[str]) -> list[Json]:
    """Most frequent first."""
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return [dict(zip(names, key, strict=True)) | {"count": count} for key, count in ordered if count]


def _reviews_json(tally: Tally, cost: ReviewCost) -> Json:
    by_side = {
        side: {severity: count for (one, severity), count in sorted(tally.reviews.items()) if one == side}
        for side in (BEFORE, AFTER)
    }
    before, after = (cost.minutes(by_side[side]) for side in (BEFORE, AFTER))
    return {
        "cost": cost.as_json(),
        "photos_before": sum(by_side[BEFORE].values()),
        "photos_after": sum(by_side[AFTER].values()),
        "minutes_before": before,
        "minutes_after": after,
        "minutes_added": round(after - before, 2),
    }


def _rule_json(rule: str, tally: Tally, frame: Frame, unread: Counter[tuple[str, str]]) -> Json:
    figures = tally.rules
    known: Json = {"change": None, "what": [], "action": None, "mode": None, "severity": None, "message": None}
    told = known | dict(frame.changes.get(rule, {}))
    names = ("matched_before", "matched_after", "gained", "lost", STRICTER, LOOSER, "errors_before", "errors_after")
    caused = {key: count for key, count in tally.caused.items() if key[0] == rule}
    return {
        "id": rule,
        **told,
        **{name: figures[rule, name] for name in names},
        "flips": sum(caused.values()),
        "flips_by_pair": _grouped(Counter(caused), (3, 4), ("from", "to")),
        "not_observed": {signal: count for (one, signal), count in sorted(unread.items()) if one == rule},
        "errors": tally.examples.get(f"error of {rule}", []),
        "precision": {side: _precision(rule, side, tally) for side in (BEFORE, AFTER)} if frame.resolutions else None,
        "alone": figures[rule, "alone"],
        "overlap": [{"rule": other, "count": count} for (one, other), count in _by_count(tally.overlap) if one == rule],
        "samples": {
            direction: [sample.decision_id for sample in tally.samples.get((rule, direction), ())]
            for direction in (STRICTER, LOOSER)
        },
    }


def _by_count(counter: Counter[Any]) -> Iterable[tuple[Any, int]]:
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))


def _precision(rule: str, side: str, tally: Tally) -> Json:
    """Of the rule's matches that a person decided about: how many were not approved."""
    resolved, upheld = (tally.rules[rule, f"{name}_{side}"] for name in ("resolved", "upheld"))
    return {"resolved": resolved, "upheld": upheld, "precision": round(upheld / resolved, 4) if resolved else None}


def _unread(tally: Tally, reading: Callable[[str], Comparison]) -> Counter[tuple[str, str]]:
    """Photos by rule and signal that the rule reads and the observation could not give."""
    counts: Counter[tuple[str, str]] = Counter()
    for (look, tenant, channels), count in tally.looks.items():
        for rule, signal in reading(tenant).reading(tenant, channels, tally.unobserved.get(look, {})):
            counts[rule, signal] += count
    return counts


def _coverage_json(tally: Tally, judged: bool) -> Json:
    signals: Counter[tuple[str, str]] = Counter()
    unknown = 0
    for (look, _, _), count in tally.looks.items():
        unknown += count if look not in tally.unobserved else 0
        for name, reason in tally.unobserved.get(look, {}).items():
            signals[name, reason] += count
    return {
        "judged_from": dict(sorted(tally.how.items())),
        "decided_by": [{"version": version, "count": count} for version, count in _by_count(tally.made_by)],
        "not_observed": _counted(signals, ("signal", "reason")),
        "unknown": unknown if judged else 0,
        "unreadable": [{"reason": why, "count": count} for why, count in _by_count(tally.unreadable)],
        "unreadable_examples": tally.examples.get("unreadable", []),
    }
