"""Speed of a backtest: a generated table of past decisions in a PostgreSQL of its own, replayed in the ways that occur.

Run as: python -m worker.bench.backtest [--photos 50000] [--processes 2]

Prints one JSON object. CPU seconds are of our processes and of the database's together, because both share the cores;
on a machine that does other work they say more than the time on the wall.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from psycopg import Connection

from domain.inspection import Background, Exposure, Foreground, Frame, Inspection, PerceptualHash
from domain.jobs import ImageJob, ImageSource, SourceKind
from domain.moderation import Decision
from domain.observations import (
    DetectedObject,
    Engine,
    LinesAnswer,
    ObjectsAnswer,
    Observation,
    Plan,
    Task,
    TextAnswer,
    TextLine,
)
from domain.photos import PixelSignals, StoredPhoto
from worker.backtest.document import backtest_frame, document
from worker.backtest.figures import Tally
from worker.backtest.replay import replay
from worker.backtest.reviews import ReviewCost
from worker.backtest.work import Backtest, Current, PolicyText
from worker.local import LocalServers
from worker.pipeline import plan_digest
from worker.policy.engine import PolicyEngine
from worker.policy.loading import STARTER_PACK
from worker.storage.database import Database
from worker.storage.history import History, Selection
from worker.storage.jobs import job_to_json
from worker.storage.schema import migrate

DISTINCT = 400  # photos made; rows repeat them under ids of their own
# In what sellers write and pictures show; each row has another in its place, as no two listings have the same text.
OWN_WORD = "qxqxqxqx"
TARGET = {"photos": 1_000_000, "seconds": 180, "megabytes": 1000, "cores": 2}
CHANNELS = (("own_shop",), ("google_merchant", "own_shop"), ("amazon_main", "ebay", "google_merchant", "own_shop"))
THINGS = ("sneaker", "backpack", "teapot", "guitar", "camera", "chair", "teddy bear", "watch", "bottle", "lamp")
DOUBTFUL = ("kitchen knife", "toy gun", "cigarette", "beer bottle", "dagger")
WORDS = (
    "cotton",
    "summer",
    "new",
    "original",
    "leather",
    "blue",
    "handmade",
    "size",
    "42",
    "steel",
    "500 ml",
    "classic",
)
LOUD = ("SALE -50%", "call 0151 23456789", "www.better-shop.example", "1:1 replica", "@best_deals")
CONSONANTS = "bcdfghjklmnpqrstvwxz"  # of which no list has a word
TASKS = (Task.CAPTION, Task.DETAILED_CAPTION, Task.OD, Task.OCR_WITH_REGION)

Progress = Callable[[str, int, int], None]  # part, whole, done since the last call


@dataclass(frozen=True, slots=True)
class Past:
    """A made-up photo with its decision."""

    job: ImageJob
    photo: StoredPhoto
    seen: Observation
    decision: Decision


def measure(
    *, photos: int = 50_000, processes: int = 2, seed: int = 0, progress: Progress = lambda part, whole, done: None
) -> dict[str, Any]:
    """Figures by way of replaying. `photos`: rows of the table; a million are extrapolated from them."""
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as (url, server):
        pasts = made_up(DISTINCT, seed)
        fill(url, pasts, photos, lambda done: progress("rows written", photos, done))
        candidates = _candidates(Path(folder))
        timed = {}
        for name, (path, recompute) in candidates.items():
            timed[name] = _timed(url, server, path, recompute, processes)
            progress("ways", len(candidates), 1)
        return {"photos": photos, "processes": processes, "target": TARGET, "table_mb": _size(url), "ways": timed}


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    with LocalServers(folder / "servers", durable=False, servers=["postgres"]) as servers:
        url = servers.endpoints().database_url
        migrate(url)
        with Connection.connect(url.replace("+psycopg", "")) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            parent = psutil.Process(row[0]).parent() if row else None
        assert parent is not None, "the server's own process outlives its backends"
        yield url, parent


def _candidates(folder: Path) -> dict[str, tuple[Path, bool]]:
    """Candidates that make a replay do less or more; the starter pack is what is live."""

    def written(name: str, file: str, change: Callable[[str], str]) -> Path:
        shutil.copytree(STARTER_PACK.parent, folder / name)
        changed = folder / name / file
        before = changed.read_text()
        changed.write_text(change(before))
        assert changed.read_text() != before, (
            f"{file} has not what the bench changes any more; change another thing here"
        )
        return folder / name / "starter.yaml"

    def limit(text: str) -> str:
        return text.replace("line: 0.5 %", "line: 10 %")

    return {
        "one limit changed": (written("one", "channels/google_merchant.yaml", limit), False),
        "a word list changed": (
            written("words", "wordlists/en/abuse.txt", lambda text: text + "\na term that nobody listed\n"),
            False,
        ),
        "everything computed anew": (written("anew", "channels/google_merchant.yaml", limit), True),
    }


def made_up(count: int, seed: int = 0) -> list[Past]:
    """Photos of every sort, decided by the starter pack."""
    engine, draw = PolicyEngine.load(), random.Random(seed)
    return [_made_up(engine, draw, number) for number in range(count)]


def _made_up(engine: PolicyEngine, draw: random.Random, number: int) -> Past:
    names = draw.choices(THINGS, k=draw.randint(1, 3)) + draw.choices(DOUBTFUL, k=draw.random() < 0.08)
    lines = [" ".join([*draw.choices(WORDS, k=3), OWN_WORD]) for _ in range(draw.choice((0, 0, 1, 2, 3)))]
    lines += draw.choices(LOUD, k=draw.random() < 0.1)
    width, height = draw.choice(((1200, 1200), (800, 600), (1500, 2000), (400, 400)))
    sha256 = f"{number:064x}"
    job = ImageJob(
        tenant=f"shop-{number % 7}",
        product_id=f"sku-{number}",
        image_id="front",
        image=ImageSource(SourceKind.URL, f"https://photos.example/{number}.jpg"),
        title=" ".join([*draw.choices(WORDS, k=3), names[0], OWN_WORD]),
        description=" ".join([*draw.choices(WORDS, k=40), OWN_WORD]),
        category="Home",
        attributes={"colour": "blue", "material": "cotton"},
        condition="new",
        locale="de-DE",
        channels=draw.choice(CHANNELS),
    )
    pixels = PixelSignals(draw.uniform(20, 900), draw.random(), draw.random() / 2, draw.random(), (200, 30, 30))
    photo = StoredPhoto(
        sha256, f"o/{number}", f"c/{number}", "JPEG", width, height, "0" * 16, pixels, _inspection(draw)
    )
    seen = Observation(
        sha256,
        width,
        height,
        Engine("made-up@0", None, "1", "float32"),
        {
            Task.CAPTION: TextAnswer(f"a {names[0]} on a table", 0.8),
            Task.DETAILED_CAPTION: TextAnswer(f"The image shows {' and '.join(f'a {name}' for name in names)}.", 0.7),
            Task.OD: ObjectsAnswer(
                tuple(DetectedObject(name, _box(draw, width, height), draw.random()) for name in names)
            ),
            Task.OCR_WITH_REGION: LinesAnswer(tuple(_line(draw, text, width, height) for text in lines)),
        },
    )
    return Past(job, photo, seen, engine.decide(job, photo, seen, datetime(2026, 11, 1, tzinfo=UTC)))


def _inspection(draw: random.Random) -> Inspection:
    return Inspection(
        background=Background(draw.random(), draw.random(), draw.random(), draw.uniform(0, 255), (250, 250, 250)),
        foreground=Foreground(draw.random(), (0.1, 0.1, 0.9, 0.9), 0.8, 0),
        frame=Frame(),
        exposure=Exposure(draw.random() / 20, draw.random() / 20),
        panels=1,
        colours=draw.randint(5, 200),
        pdq=PerceptualHash(f"{draw.getrandbits(256):064x}", draw.randint(60, 100)),
    )


def _box(draw: random.Random, width: int, height: int) -> tuple[float, float, float, float]:
    left, top = draw.uniform(0, width / 2), draw.uniform(0, height / 2)
    return (left, top, draw.uniform(left + 10, width), draw.uniform(top + 10, height))


def _line(draw: random.Random, text: str, width: int, height: int) -> TextLine:
    left, top, right, bottom = _box(draw, width, height)
    return TextLine(text, (left, top, right, top, right, bottom, left, bottom), draw.random())


def fill(url: str, pasts: Sequence[Past], photos: int, told: Callable[[int], None] = lambda done: None) -> None:
    """Write so many finished jobs with observation and decision, in the order in which work would have."""
    digest = plan_digest(Plan(TASKS))
    with Connection.connect(url.replace("+psycopg", "")) as connection:
        for tenant in sorted({past.job.tenant for past in pasts}):
            connection.execute("INSERT INTO tenants (id, name) VALUES (%s, %s)", (tenant, tenant))
        rows = enumerate(cycle([_texts(past) for past in pasts]))
        for start in range(0, photos, 5_000):
            some = [_row(number, row) for number, row in islice(rows, min(5_000, photos - start))]
            _copy(connection, some, digest)
            told(len(some))
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def _texts(past: Past) -> tuple[Any, ...]:
    job = past.job
    texts = (job_to_json(job), past.photo.as_json(), past.seen.as_json(), past.decision.as_json())
    return (job.tenant, job.product_id, job.image_id, past.decision.verdict.value, *map(json.dumps, texts))


def _row(number: int, texts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Under ids and with a word of its own."""
    word = "".join(CONSONANTS[number // len(CONSONANTS) ** place % len(CONSONANTS)] for place in range(len(OWN_WORD)))
    return (str(uuid4()), str(uuid4()), *(text.replace(OWN_WORD, word) for text in texts))


def _copy(connection: Connection[Any], rows: Sequence[tuple[Any, ...]], digest: str) -> None:
    tables: dict[str, Callable[..., tuple[Any, ...]]] = {
        "jobs (id, tenant, product_id, image_id, version, priority, state, body, body_digest, photo)": (
            lambda job, _, tenant, product, image, verdict, body, photo, seen, decision: (
                (job, tenant, product, image, 1, 1, "DONE", body, "digest", photo)
            )
        ),
        "observations (job_id, tenant, sha256, plan_digest, data)": (
            lambda job, _, tenant, product, image, verdict, body, photo, seen, decision: (
                (job, tenant, "0" * 64, digest, seen)
            )
        ),
        "decisions (id, job_id, tenant, product_id, image_id, verdict, data)": (
            lambda job, id, tenant, product, image, verdict, body, photo, seen, decision: (
                (id, job, tenant, product, image, verdict, decision)
            )
        ),
    }
    for table, columns in tables.items():
        with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(columns(*row))


def _timed(url: str, server: psutil.Process, path: Path, recompute: bool, processes: int) -> dict[str, Any]:
    live = Current(PolicyText.read(None))
    work = Backtest(live, PolicyText.read(path), datetime(2026, 11, 24, tzinfo=UTC), recompute=recompute)
    started = _replayed(url, server, work, Selection(tenants=("nobody",)), processes)
    taken = _replayed(url, server, work, Selection(), processes)
    tally = taken.tally
    shown = document(tally, backtest_frame(work, Selection(), ReviewCost(30)), work.judge().of)
    # What starting costs is paid once, however many photos there are.
    per_photo = max(0.0, taken.cpu - started.cpu) / max(1, tally.photos)
    million = TARGET["photos"]
    return {
        "seconds": round(taken.seconds, 1),
        "cpu_seconds": round(taken.cpu, 1),
        "cpu_seconds_to_start": round(started.cpu, 1),
        "cpu_us_per_photo": round(per_photo * 1e6, 1),
        "peak_mb": taken.peak_mb,
        "judged_from": shown["coverage"]["judged_from"],
        "flips": shown["flips"]["decisions"],
        "million_seconds_at_this_pace": round(taken.seconds * million / max(1, tally.photos)),
        "million_seconds_if_two_cores_were_free": round((per_photo * million + started.cpu) / TARGET["cores"]),
    }


@dataclass(frozen=True, slots=True)
class _Replayed:
    tally: Tally
    seconds: float
    cpu: float
    peak_mb: int


def _replayed(url: str, server: psutil.Process, work: Backtest, selection: Selection, processes: int) -> _Replayed:
    database, memory = Database(url), _Memory(server)
    began, spent = time.perf_counter(), _cpu(server)
    with History(database).open(selection) as scan:
        tally = replay(url, scan, work, processes, lambda done, total: memory.look())
    seconds, cpu = time.perf_counter() - began, _cpu(server) - spent
    database.close()
    return _Replayed(tally, seconds, cpu, memory.peak_mb)


def _ours(server: psutil.Process) -> list[psutil.Process]:
    """This process and its children, the database's left out: it is a child too."""
    theirs = {server, *server.children(recursive=True), *server.parents()}
    me = psutil.Process()
    return [me, *(one for one in me.children(recursive=True) if one not in theirs)]


def _cpu(server: psutil.Process) -> float:
    """Seconds of our processes and the database's, living ones and those they have waited for."""
    total = 0.0
    for one in [*_ours(server), server, *server.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


class _Memory:
    """The most that our process and its children held together, looked at after every span. Shared pages count in each
    process, so it is rather too much than too little."""

    def __init__(self, server: psutil.Process) -> None:
        self._server, self._peak = server, 0

    def look(self) -> None:
        held = 0
        for one in _ours(self._server):
            try:
                held += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        self._peak = max(self._peak, held)

    @property
    def peak_mb(self) -> int:
        return round(self._peak / 1e6)


def _size(url: str) -> int:
    with Connection.connect(url.replace("+psycopg", "")) as connection:
        query = (
            "SELECT sum(pg_total_relation_size(t)) FROM unnest(ARRAY['jobs','observations','decisions']::regclass[]) t"
        )
        row = connection.execute(query).fetchone()
        return round(int(row[0]) / 1e6) if row else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=50_000)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    print(json.dumps(measure(photos=chosen.photos, processes=chosen.processes)))


if __name__ == "__main__":
    main()
