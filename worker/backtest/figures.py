"""Tally: what a replay counts. Adding is commutative, so rows may come in any order and from any process."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.moderation import Verdict
from worker.backtest.judging import SILENT, Effect, Judged

SAMPLES = 4  # photos shown for each rule and direction
EXAMPLES = 3  # messages or ids kept of a kind of trouble
BEFORE, AFTER = "before", "after"
STRICTER, LOOSER = "stricter", "looser"

Ranks = tuple[int, ...]
VERDICTS = tuple(verdict.value for verdict in Verdict)


@dataclass(frozen=True, slots=True, order=True)
class Sample:
    """A photo to show. Ordered so that the smallest are the ones to keep: verdicts that flip first, then by draw."""

    flips: int  # 0 = the photo's verdict flips
    drawn: str
    decision_id: str


@dataclass(slots=True)
class Tally:
    """Counts. Keys of the counters stand beside them; verdicts are names, sides BEFORE and AFTER."""

    seed: int = 0
    photos: int = 0
    how: Counter[str] = field(default_factory=Counter)
    made_by: Counter[str] = field(default_factory=Counter)  # version of the policy that made the decision
    outcomes: Counter[tuple[tuple[str, ...], Ranks, Ranks]] = field(default_factory=Counter)  # channels, before, after
    flips: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)  # tenant, channel, from, to
    caused: Counter[tuple[str, str, str, str, str]] = field(default_factory=Counter)  # rule, tenant, channel, from, to
    reviews: Counter[tuple[str, int]] = field(default_factory=Counter)  # side, severity: photos a person looks at
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)  # rule, figure
    overlap: Counter[tuple[str, str]] = field(default_factory=Counter)  # rule, other rule on the same photo
    looks: Counter[tuple[str, str, tuple[str, ...]]] = field(default_factory=Counter)  # look, tenant, channels
    unobserved: dict[str, dict[str, str]] = field(default_factory=dict)  # look -> signal -> reason
    unreadable: Counter[str] = field(default_factory=Counter)  # reason
    examples: dict[str, list[str]] = field(default_factory=dict)  # kind of trouble -> the smallest few
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)  # rule, direction

    def add(self, judged: Judged, resolution: Verdict | None = None) -> None:
        """Count one photo; `resolution` is what a reviewer decided, where one did."""
        past, channels = judged.past, judged.channels
        self.photos += 1
        self.how[judged.how] += 1
        self.made_by[past.policy_version or ""] += 1
        self.looks[past.look, past.tenant, channels] += 1
        before, after = judged.before, judged.after
        old = _ranks(before, channels)
        new = old if before == after else _ranks(after, channels)
        self.outcomes[channels, old, new] += 1
        if not before and not after:
            return
        self._count_review(BEFORE, before, old)
        self._count_review(AFTER, after, new)
        for channel, one, other in zip(channels, old, new, strict=True):
            if one != other:
                self._flip(judged, channel, one, other)
        self._count_rules(judged, flips=max(old, default=0) != max(new, default=0))
        if resolution is not None:
            self._resolve(before, after, resolution)

    @property
    def photo_verdicts(self) -> Counter[tuple[str, str]]:
        """By side and verdict: of photos as a whole."""
        found: Counter[tuple[str, str]] = Counter()
        for (_, old, new), count in self.outcomes.items():
            found[BEFORE, VERDICTS[max(old, default=0)]] += count
            found[AFTER, VERDICTS[max(new, default=0)]] += count
        return found

    @property
    def channel_verdicts(self) -> Counter[tuple[str, str, str]]:
        """By side, channel and verdict."""
        found: Counter[tuple[str, str, str]] = Counter()
        for (channels, old, new), count in self.outcomes.items():
            for side, ranks in ((BEFORE, old), (AFTER, new)):
                for channel, rank in zip(channels, ranks, strict=True):
                    found[side, channel, VERDICTS[rank]] += count
        return found

    @property
    def photo_flips(self) -> Counter[tuple[str, str]]:
        """By verdict before and after, where a photo's as a whole differs."""
        found: Counter[tuple[str, str]] = Counter()
        for (_, old, new), count in self.outcomes.items():
            one, other = max(old, default=0), max(new, default=0)
            if one != other:
                found[VERDICTS[one], VERDICTS[other]] += count
        return found

    def miss(self, decision_id: str, why: str) -> None:
        """Count a photo that could not be judged again."""
        self.unreadable[why] += 1
        self._example("unreadable", decision_id)

    def merge(self, other: Tally) -> None:
        """Add what another process counted."""
        for name in (one.name for one in dataclasses.fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, Counter):
                mine.update(theirs)
        self.photos += other.photos
        self.unobserved |= other.unobserved
        for kind, messages in other.examples.items():
            self.examples[kind] = sorted({*self.examples.get(kind, ()), *messages})[:EXAMPLES]
        for key, samples in other.samples.items():
            self.samples[key] = sorted([*self.samples.get(key, ()), *samples])[:SAMPLES]

    def _count_review(self, side: str, effects: Mapping[str, Effect], ranks: Ranks) -> None:
        if max(ranks, default=0) == Verdict.REVIEW.rank:
            self.reviews[side, max(one.severity for one in effects.values() if one.rank != SILENT)] += 1

    def _flip(self, judged: Judged, channel: str, old: int, new: int) -> None:
        tenant, pair = judged.past.tenant, (VERDICTS[old], VERDICTS[new])
        self.flips[(tenant, channel, *pair)] += 1
        # Stricter because of every rule that now asks for more than the old verdict; looser likewise, turned round.
        culprits, bound = (judged.after, old) if new > old else (judged.before, new)
        for rule, effect in culprits.items():
            if effect.asks(channel) > bound:
                self.caused[(rule, tenant, channel, *pair)] += 1

    def _count_rules(self, judged: Judged, flips: bool) -> None:
        for rule in judged.before.keys() | judged.after.keys():
            old, new = judged.before.get(rule), judged.after.get(rule)
            self._matches(rule, old, BEFORE)
            self._matches(rule, new, AFTER)
            if _matched(old) != _matched(new):
                self.rules[rule, "gained" if _matched(new) else "lost"] += 1
            for direction in _directions(old, new, judged.channels):
                self.rules[rule, direction] += 1
                self._sample(rule, direction, judged.past.id, flips)

    def _matches(self, rule: str, effect: Effect | None, side: str) -> None:
        if effect is None:
            return
        if effect.error is None:
            self.rules[rule, f"matched_{side}"] += 1
        else:
            self.rules[rule, f"errors_{side}"] += 1
            self._example(f"error of {rule}", effect.error)

    def _resolve(self, before: Mapping[str, Effect], after: Mapping[str, Effect], resolution: Verdict) -> None:
        for side, effects in ((BEFORE, before), (AFTER, after)):
            for rule, effect in effects.items():
                if effect.error is None:
                    self.rules[rule, f"resolved_{side}"] += 1
                    self.rules[rule, f"upheld_{side}"] += resolution is not Verdict.APPROVE

    def _sample(self, rule: str, direction: str, decision_id: str, flips: bool) -> None:
        kept = self.samples.setdefault((rule, direction), [])
        drawn = hashlib.sha256(f"{self.seed}:{decision_id}".encode()).hexdigest()
        one = Sample(0 if flips else 1, drawn, decision_id)
        if len(kept) < SAMPLES or one < kept[-1]:
            kept.append(one)
            kept.sort()
            del kept[SAMPLES:]

    def _example(self, kind: str, message: str) -> None:
        self.examples[kind] = sorted({*self.examples.get(kind, ()), message})[:EXAMPLES]


def _ranks(effects: Mapping[str, Effect], channels: tuple[str, ...]) -> Ranks:
    """The verdicts' ranks by channel."""
    return tuple(max([0, *(effect.asks(name) for effect in effects.values())]) for name in channels)


def _matched(effect: Effect | None) -> bool:
    return effect is not None and effect.error is None


def _directions(old: Effect | None, new: Effect | None, channels: tuple[str, ...]) -> list[str]:
    """Whether the rule now asks for more on some channel, or for less; it can be both."""
    pairs = [(old.asks(name) if old else SILENT, new.asks(name) if new else SILENT) for name in channels]
    found = []
    if any(after > before for before, after in pairs):
        found.append(STRICTER)
    if any(after < before for before, after in pairs):
        found.append(LOOSER)
    return found
