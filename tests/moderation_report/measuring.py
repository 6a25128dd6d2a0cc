"""Draw every picture of the measure, send it the way of a photo, and note what was found: one Row a picture."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from domain.moderation import Finding
from domain.observations import TextReaders
from tests.moderation_report.families import LOOKED
from tests.moderation_report.looking import Eyes, Judged, decode, job_of, read_by, unseen
from tests.overlays.drawn import Family
from tests.overlays.kinds import Kind, Made, Needs, kinds
from worker.policy.engine import PolicyEngine

SEED = 41
QUALITY = 90
PIXELS = "pixels"  # the reader of what no model was asked about


@dataclass(frozen=True)
class Case:
    kind: str
    source: str
    place: int
    seed: int = SEED


@dataclass(frozen=True)
class Outcome:
    """What one set of readers led to. findings: (rule, action, shadow) of each finding on any channel, once."""

    alarms: frozenset[Family]
    known: frozenset[Family]  # families it can say something about
    findings: frozenset[tuple[str, str, bool]]
    verdicts: dict[str, str]  # by channel, and "worst"
    read: str


@dataclass(frozen=True)
class Row:
    case: Case
    detail: str
    subject: str
    text: str
    has: frozenset[Family]
    unsure: frozenset[Family]
    outcomes: dict[str, Outcome]  # by reader: pixels, florence, rapidocr, both
    digest: str  # of the picture's bytes
    thumbnail: bytes  # JPEG, for the gallery


@cache
def policy() -> PolicyEngine:
    return PolicyEngine.load()


@cache
def all_kinds() -> dict[str, Kind]:
    return kinds(policy().loaded.lexicon.vocabulary)


def cases(*, small: bool) -> list[Case]:
    """The small measure's pictures are the first of the whole one's."""
    return [
        Case(kind.name, source, place)
        for kind in all_kinds().values()
        for source, count in (kind.small if small else kind.whole).items()
        for place in range(count)
    ]


def measure(
    wanted: Sequence[Case], cache_folder: Path | None, processes: int, progress: Callable[[], None]
) -> tuple[list[Row], tuple[str, str, str]]:
    """One row for each case, in order; and who looked (see Eyes.identity)."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_start, initargs=(cache_folder,)) as pool:
        found = []
        for row in pool.map(_in_process, wanted, chunksize=1):
            progress()
            found.append(row)
        return found, pool.submit(_who).result()


_eyes: list[Eyes] = []


def _who() -> tuple[str, str, str]:
    return _eyes[0].identity


def _start(cache_folder: Path | None) -> None:
    _eyes.append(Eyes(policy(), cache_folder))


def _in_process(case: Case) -> Row:
    return row_of(case, _eyes[0])


def row_of(case: Case, eyes: Eyes) -> Row:
    kind = all_kinds()[case.kind]
    made = kind.make(case.source, case.seed, case.place)
    data = jpeg(made.drawn.picture)
    photo, job = decode(data), job_of(made.title)
    outcomes = {}
    if kind.needs is Needs.PIXELS:
        outcomes[PIXELS] = _outcome(eyes.judge(job, photo, unseen(photo)), kind.needs, made)
    else:
        read = kind.needs is Needs.READERS
        seen = eyes.look(photo, read=read)
        for reader in eyes.readers if read else (TextReaders.FLORENCE,):
            outcomes[reader.value] = _outcome(eyes.judge(job, photo, read_by(seen, reader)), kind.needs, made)
    return Row(
        case=case,
        detail=made.drawn.detail,
        subject=made.subject,
        text=made.drawn.text,
        has=made.drawn.families,
        unsure=made.drawn.unsure,
        outcomes=outcomes,
        digest=hashlib.sha256(data).hexdigest(),
        thumbnail=_thumbnail(made.drawn.picture),
    )


def _outcome(judged: Judged, needs: Needs, made: Made) -> Outcome:
    findings = judged.decision.findings
    known = {family for family, how in LOOKED.items() if needs is not Needs.PIXELS or not (how.reads or how.model)}
    if made.title is None:
        known.discard(Family.CONTRADICTION)  # nothing was said that could contradict
    alarms = {family for family in known if LOOKED[family].alarm(judged.signals, findings)}
    verdicts = {channel: verdict.value for channel, verdict in judged.decision.channels.items()}
    return Outcome(
        alarms=frozenset(alarms),
        known=frozenset(known),
        findings=frozenset(map(_short, findings)),
        verdicts=verdicts | {"worst": judged.decision.verdict.value},
        read=" | ".join(line.text for line in (*judged.seen.lines, *judged.seen.second_lines)),
    )


def _short(finding: Finding) -> tuple[str, str, bool]:
    return finding.rule, finding.action.value, finding.shadow


def jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _thumbnail(picture: Image.Image) -> bytes:
    small = picture.copy()
    small.thumbnail((300, 300))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
