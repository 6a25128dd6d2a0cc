"""What changed between two policies: rules added, removed, changed field by field; thresholds; words of each list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from worker.policy.loading import LoadedPolicy, LoadedRule


def differences(before: LoadedPolicy, after: LoadedPolicy) -> dict[str, Any]:
    """As plain JSON. Empty lists and maps mean "the same"; the order of rules and words is no difference."""
    old, new = _by_id(before), _by_id(after)
    return {
        "from": {"policy": before.policy.id, "version": before.policy.version},
        "to": {"policy": after.policy.id, "version": after.policy.version},
        "rules_added": [_rule_json(new[name]) for name in sorted(new.keys() - old.keys())],
        "rules_removed": [_rule_json(old[name]) for name in sorted(old.keys() - new.keys())],
        "rules_changed": [
            {"rule": name, "fields": fields}
            for name in sorted(old.keys() & new.keys())
            if (fields := _fields(_rule_json(old[name]), _rule_json(new[name])))
        ],
        "thresholds": _fields(before.words.thresholds, after.words.thresholds),
        "word_lists": _lists(before.words.lists, after.words.lists),
        "fuzzy_lists": _fields(before.words.fuzzy, after.words.fuzzy),
        "object_groups": _lists(before.words.groups, after.words.groups),
        "allowed_phrases": _words(before.words.allowed, after.words.allowed),
        "innocent_names": _words(before.words.innocent, after.words.innocent),
        "known_words": _words(before.words.known, after.words.known),
        "kinds_of_goods": _lists(before.words.kinds, after.words.kinds),
        "names_of_no_kind": _words(before.words.no_kind, after.words.no_kind),
        "brands": _words(before.words.brands, after.words.brands),
        "category_groups": _lists(before.words.subtrees, after.words.subtrees),
    }


def is_same(found: Mapping[str, Any]) -> bool:
    """Whether the two judge alike, whatever their files look like."""
    return not any(value for name, value in found.items() if name not in ("from", "to"))


def _by_id(loaded: LoadedPolicy) -> dict[str, LoadedRule]:
    return {one.rule.id: one for one in loaded.rules}


def _rule_json(loaded: LoadedRule) -> dict[str, Any]:
    data: dict[str, Any] = loaded.text.model_dump(mode="json", exclude_none=True)
    return data


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each field that differs with its value before and after; null where it is not set."""
    names = sorted(before.keys() | after.keys())
    return {
        name: {"from": before.get(name), "to": after.get(name)} for name in names if before.get(name) != after.get(name)
    }


def _lists(before: Mapping[str, Iterable[str]], after: Mapping[str, Iterable[str]]) -> dict[str, dict[str, list[str]]]:
    """Lists that differ. A list that is new or gone has all of its words added or removed."""
    changes = {name: _words(before.get(name, ()), after.get(name, ())) for name in sorted({*before, *after})}
    return {name: change for name, change in changes.items() if change}


def _words(before: Iterable[str], after: Iterable[str]) -> dict[str, list[str]]:
    old, new = set(before), set(after)
    return {"added": sorted(new - old), "removed": sorted(old - new)} if old != new else {}
