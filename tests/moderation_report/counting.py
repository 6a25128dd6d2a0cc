"""From rows to counts: right and wrong alarms by family, source and reader, with Wilson intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain import quality
from tests.moderation_report.families import LOOKED
from tests.moderation_report.measuring import PIXELS, Outcome, Row
from tests.overlays.drawn import Family


@dataclass(frozen=True)
class Group:
    """What figures are counted for."""

    family: Family
    source: str
    reader: str


@dataclass(frozen=True)
class Counts:
    right: int = 0  # alarms where the family is there
    wrong: int = 0  # alarms where it is not
    missed: int = 0
    quiet: int = 0  # rightly no alarm

    @property
    def precision(self) -> float | None:
        return _share(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float | None:
        return _share(self.right, self.right + self.missed)


def wilson(hits: int, of: int) -> tuple[float, float] | None:
    """The 95 % score interval of a share; None of nothing."""
    return quality.wilson(hits, of) if of else None


def counted(rows: Iterable[Row]) -> dict[Group, Counts]:
    """By group, families in their order. Pixels alone decide some families: those have one reader, whoever looked."""
    tally: dict[Group, Counter[tuple[bool, bool]]] = defaultdict(Counter)
    for row in rows:
        for group, there, alarm in _answers(row):
            tally[group][(alarm, there)] += 1
    order = list(Family)
    return {
        group: Counts(*(tally[group][key] for key in ((True, True), (True, False), (False, True), (False, False))))
        for group in sorted(tally, key=lambda one: (order.index(one.family), one.source, one.reader))
    }


def _answers(row: Row) -> Iterable[tuple[Group, bool, bool]]:
    for reader, outcome in row.outcomes.items():
        for family in outcome.known - row.unsure:
            group = Group(family, row.case.source, _whose(family, reader))
            if group.reader == reader or reader == next(iter(row.outcomes)):  # once where it is the same for all
                yield group, family in row.has, family in outcome.alarms


def _whose(family: Family, reader: str) -> str:
    how = LOOKED[family]
    return reader if how.reads else "florence" if how.model else PIXELS


def recall_by_detail(rows: Iterable[Row]) -> dict[tuple[str, str, str], dict[str, tuple[int, int]]]:
    """(kind, detail, source) -> by reader, found and all; of kinds that have a family of their own."""
    found: dict[tuple[str, str, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    for row in rows:
        family = own_family(row)
        if family is None:
            continue
        cells = found[row.case.kind, row.detail, row.case.source]
        for reader, outcome in row.outcomes.items():
            whose = _whose(family, reader)
            if whose == reader or reader == next(iter(row.outcomes)):
                hits, of = cells.get(whose, (0, 0))
                cells[whose] = (hits + (family in outcome.alarms), of + 1)
    return dict(found)


def own_family(row: Row) -> Family | None:
    """What a kind is drawn for: of its families the most telling one. A ground is told of kinds that change it."""
    if Family.WATERMARK in row.has:
        return Family.WATERMARK
    told = row.has if row.case.kind.endswith("ground") else row.has - {Family.NOT_WHITE}
    return next((family for family in Family if family in told), None)


@dataclass(frozen=True)
class Burden:
    """Of clean photographs: how many get which finding, and which verdict on which channel."""

    photos: int
    by_rule: dict[tuple[str, str], int]  # (rule, action; shadow rules say so)
    by_channel: dict[str, dict[str, int]]


def burden(rows: Sequence[Row], reader: str) -> Burden:
    outcomes: list[Outcome] = [row.outcomes[reader] for row in rows if reader in row.outcomes]
    rules = Counter(
        (rule, f"{action}, shadow" if shadow else action) for one in outcomes for rule, action, shadow in one.findings
    )
    channels: dict[str, Counter[str]] = defaultdict(Counter)
    for one in outcomes:
        for channel, verdict in one.verdicts.items():
            channels[channel][verdict] += 1
    return Burden(len(outcomes), dict(rules.most_common()), {name: dict(some) for name, some in channels.items()})


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
