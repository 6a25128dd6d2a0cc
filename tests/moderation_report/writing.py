"""REPORT.md from rows: what was measured with what, the figures, and a small table that the suite measures again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.moderation_report import counting
from tests.moderation_report.counting import Burden, Counts, Group, wilson
from tests.moderation_report.families import LOOKED
from tests.moderation_report.measuring import SEED, Case, Row
from tests.overlays.drawn import Family
from tests.overlays.subjects import PHOTOGRAPH

REPORT = Path(__file__).with_name("REPORT.md")
TOLERANCE_PIXELS, TOLERANCE_MODEL = 1, 2  # pictures of one family
SMALL_HEADING = "## What the suite measures again"
_ROW = re.compile(r"^\| (.+?) \| .+? \| (\w+) \| (\w+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| .+ \|$")
_SMALL_ROW = re.compile(r"^\| (.+?) \| (\w+) \| (\w+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$")


@dataclass(frozen=True)
class Made:
    """With what a measure was made: two are comparable where all of this is the same."""

    model: str
    reader: str
    policy: str
    pictures: str  # digest of the small measure's pictures


def pictures_of(rows: Iterable[Row]) -> str:
    together = hashlib.sha256("".join(row.digest for row in rows).encode())
    return together.hexdigest()[:12]


def report(rows: Sequence[Row], small: Sequence[Row], made: Made) -> str:
    """The whole file."""
    clean = [row for row in rows if row.case.kind == "clean" and row.case.source == PHOTOGRAPH]
    parts = [
        _head(rows, made),
        "## Precision and recall",
        _families(counting.counted(rows)),
        "## Found, by how it was drawn",
        _details(rows),
        "## False alarms on photographs as they are",
        _false_alarms(clean),
        "## What reviewers would get",
        *(_burden(counting.burden(clean, reader), reader) for reader in _readers(clean)),
        SMALL_HEADING,
        _small(counting.counted(small)),
    ]
    return "\n\n".join(parts) + "\n"


def read_whole(text: str) -> dict[Group, Counts]:
    """The figures of a written report's first table."""
    return _read(text.split(SMALL_HEADING, 1)[0], _ROW)


def read_small(text: str) -> dict[Group, Counts]:
    """The figures of its last table."""
    return _read(text.split(SMALL_HEADING, 1)[1], _SMALL_ROW)


def _read(text: str, row: re.Pattern[str]) -> dict[Group, Counts]:
    found = {}
    for line in text.splitlines():
        if match := row.match(line):
            family, source, reader, *numbers = match.groups()
            found[Group(Family(family), source, reader)] = Counts(*map(int, numbers))
    return found


def read_made(text: str) -> Made:
    """With what a written report was made."""
    values = [
        re.search(rf"^- {name}: `(.*)`$", text, re.MULTILINE) for name in ("model", "reader", "policy", "pictures")
    ]
    return Made(*(value[1] if value else "" for value in values))


def _head(rows: Sequence[Row], made: Made) -> str:
    sources = {
        source: sum(row.case.source == source for row in rows) for source in sorted({r.case.source for r in rows})
    }
    drawn = ", ".join(f"{count} of {source}" for source, count in sources.items())
    return f"""# What the rules find, and what they find wrongly

Written by `make moderation-report`; do not edit. {len(rows)} pictures ({drawn}):
real photographs of the development data and rendered scenes that no training met, as they are and with overlays drawn
by `tests/overlays` from seed {SEED}.
Every picture goes the way of a shop's photo (sandboxed decoding, inspection, shelf-tiny, RapidOCR, enriching, deciding
by the shipped policy); only servers are left out. The overlays are legible within the bounds that their modules state.

- model: `{made.model}`
- reader: `{made.reader}`
- policy: `{made.policy}`
- pictures: `{made.pictures}`

Readers: *florence* is shelf-tiny's own reading, *rapidocr* the second reader in its place, *both* each for itself (a
finding of either counts), *pixels* what no model is asked about. Intervals are Wilson's at 95 %. Precision depends on
the mix: pictures with an overlay are rarer in a shop than here, so the false alarms on photographs as they are, further
down, say more about a shop. Where the shipped policy has a rule for a family it is that rule's findings that count,
whatever their action; else a signal with the limit named. Counted as wrong is an alarm for something nobody drew; print
that a pack really has, such as a maker's web address, is among them."""


def _families(counts: dict[Group, Counts]) -> str:
    lines = [
        "| family | found by | on | reader | right | wrong | missed | rightly quiet | precision | recall |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for group, one in counts.items():
        cells = (
            *(group.family.value, LOOKED[group.family].by, group.source, group.reader),
            *(str(number) for number in (one.right, one.wrong, one.missed, one.quiet)),
            _share(one.right, one.right + one.wrong),
            _share(one.right, one.right + one.missed),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _details(rows: Sequence[Row]) -> str:
    readers = ("pixels", "florence", "rapidocr", "both")
    lines = [f"| kind | how | on | {' | '.join(readers)} |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for (kind, detail, source), cells in sorted(counting.recall_by_detail(rows).items()):
        found = (f"{cells[reader][0]} of {cells[reader][1]}" if reader in cells else "" for reader in readers)
        lines.append(f"| {kind} | {detail} | {source} | {' | '.join(found)} |")
    return "\n".join(lines)


def _false_alarms(clean: Sequence[Row]) -> str:
    """Titles are the listing's own; whether a ground is white follows from where a photo was taken."""
    lines = ["| family | reader | photographs | false alarms | share |", "| --- | --- | --- | --- | --- |"]
    for group, one in counting.counted(clean).items():
        of = one.wrong + one.quiet
        if of:
            lines.append(f"| {group.family.value} | {group.reader} | {of} | {one.wrong} | {_share(one.wrong, of)} |")
    return "\n".join(lines)


def _burden(one: Burden, reader: str) -> str:
    lines = [f"### Read by {reader}: {one.photos} photographs as they are", ""]
    lines += ["| rule | action | photographs |", "| --- | --- | --- |"]
    lines += [f"| {rule} | {action} | {_share(count, one.photos)} |" for (rule, action), count in one.by_rule.items()]
    lines += ["", "| channel | approve | review | reject |", "| --- | --- | --- | --- |"]
    for channel, verdicts in one.by_channel.items():
        cells = (_share(verdicts.get(verdict, 0), one.photos) for verdict in ("approve", "review", "reject"))
        lines.append(f"| {channel} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _small(counts: dict[Group, Counts]) -> str:
    lines = [
        f"The first pictures of each kind. The suite measures them anew; a figure may differ by {TOLERANCE_PIXELS}",
        f"where pixels alone decide and by {TOLERANCE_MODEL} where a model looks, since machines round differently.",
        "",
        "| family | on | reader | right | wrong | missed | rightly quiet |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for group, one in counts.items():
        names = f"{group.family.value} | {group.source} | {group.reader}"
        lines.append(f"| {names} | {one.right} | {one.wrong} | {one.missed} | {one.quiet} |")
    return "\n".join(lines)


def _readers(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(reader for row in rows for reader in row.outcomes))


def _share(hits: int, of: int) -> str:
    """ "12 of 40: 30 % (18-45)", or a dash of nothing."""
    interval = wilson(hits, of)
    if interval is None:
        return "-"
    low, high = interval
    return f"{hits} of {of}: {100 * hits / of:.0f} % ({100 * low:.0f}-{100 * high:.0f})"


def small_of(rows: Sequence[Row], wanted: Sequence[Case]) -> list[Row]:
    """The small measure's rows out of the whole one's."""
    by_case = {row.case: row for row in rows}
    return [by_case[case] for case in wanted]
