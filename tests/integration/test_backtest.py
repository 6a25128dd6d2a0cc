"""Backtests and shadow reports over a real PostgreSQL and a real object store, through the command line."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from tests.factories import some_jpeg
from tests.real import a_store
from tests.worker.backtest.builders import AT, a_policy, a_rule, labelled
from worker.backtest.replay import replay
from worker.backtest.work import Backtest, Current, PolicyText
from worker.bench.backtest import Past, fill, made_up
from worker.cli.main import app
from worker.local import Endpoints
from worker.policy.engine import PolicyEngine
from worker.policy.loading import load_policy
from worker.storage.artifacts import Artifacts
from worker.storage.database import Database
from worker.storage.history import History, Selection, Wanted

pytestmark = pytest.mark.integration
ROWS = 300


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What was live, with one rule in shadow mode; and a candidate that rejects what was reviewed."""
    folder = tmp_path_factory.mktemp("policies")
    bottle, tried = a_rule("bottle", labelled("bottle")), a_rule("tried", labelled("lamp"), mode="shadow")
    return {
        "live": a_policy(folder / "live", bottle, tried),
        "candidate": a_policy(
            folder / "candidate", bottle.replace("review", "reject"), tried, a_rule("dark", "[pixels]")
        ),
    }


@pytest.fixture(scope="module")
def store(endpoints: Endpoints) -> Artifacts:
    return a_store(endpoints)


@pytest.fixture(scope="module")
def pasts(policies: dict[str, Path], store: Artifacts) -> list[Past]:
    """Photos decided by the live policy, every second one with its picture in the store."""
    engine, kept = (
        PolicyEngine(load_policy(policies["live"])),
        store.put_blob("shop-0", some_jpeg(600, 400), "image/jpeg"),
    )
    found = []
    for number, past in enumerate(made_up(40)):
        photo = dataclasses.replace(past.photo, model_copy_key=kept if number % 2 else "shop-0/blobs/none")
        decision = engine.decide(past.job, photo, past.seen, datetime(2026, 11, 1, tzinfo=UTC))
        found.append(Past(past.job, photo, past.seen, decision))
    return found


@pytest.fixture(scope="module")
def filled(database: Database, pasts: list[Past]) -> Database:
    fill(url_of(database), pasts, ROWS)
    return database


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


@pytest.fixture
def environment(endpoints: Endpoints, filled: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    from worker import wiring

    values = endpoints.environment() | {
        "SHELFGUARD_DATABASE_URL": url_of(filled),
        "SHELFGUARD_SECRET_KEY": "x" * 43 + "=",
        "COLUMNS": "160",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    wiring.forget()
    yield values
    if wiring.database.cache_info().currsize:
        wiring.database().close()
    wiring.forget()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["policy", *arguments])


def figures(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def rule(document: dict[str, Any], id: str) -> dict[str, Any]:
    (found,) = (one for one in document["rules"] if one["id"] == id)
    return dict(found)


@pytest.fixture
def backtest(environment: dict[str, str], policies: dict[str, Path]) -> tuple[str, ...]:
    candidate, live = str(policies["candidate"]), str(policies["live"])
    return ("backtest", candidate, "--against", live, "--at", AT.isoformat())


def test_the_figures_are_those_of_judging_every_photo_in_full(
    backtest: tuple[str, ...], policies: dict[str, Path], pasts: list[Past]
) -> None:
    engines = {name: PolicyEngine(load_policy(path)) for name, path in policies.items()}
    flips = before = after = 0
    for number in range(ROWS):
        past = pasts[number % len(pasts)]
        old, new = (engines[name].decide(past.job, past.photo, past.seen, AT) for name in ("live", "candidate"))
        flips += sum(old.channels[name] != new.channels[name] for name in old.channels)
        before += old.verdict.value == "review"
        after += new.verdict.value == "review"
    document = figures(*backtest, "--processes", "1")
    assert document["photos"] == ROWS
    assert document["flips"]["decisions"] == flips > 0
    assert (document["reviews"]["photos_before"], document["reviews"]["photos_after"]) == (before, after)
    assert document["coverage"]["judged_from"].keys() <= {"findings", "receipts"}


def test_the_number_of_processes_does_not_matter(backtest: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.storage.history.SPAN_BLOCKS", 2)
    one, two = (run(*backtest, "--json", "--processes", str(number)) for number in (1, 2))
    assert one.exit_code == two.exit_code == 0, two.stderr
    assert one.stdout == two.stdout


def test_recomputing_gives_the_same_figures(backtest: tuple[str, ...]) -> None:
    taken, anew = figures(*backtest, "--processes", "1"), figures(*backtest, "--processes", "1", "--recompute")
    assert anew["coverage"].pop("judged_from") == {"observations": ROWS}
    taken["coverage"].pop("judged_from")
    assert taken == anew


def test_the_page_has_pictures_also_where_the_photo_is_gone(backtest: tuple[str, ...], tmp_path: Path) -> None:
    result = run(*backtest, "--processes", "1", "--report", str(tmp_path / "report"))
    assert result.exit_code == 0, result.stderr
    page = (tmp_path / "report" / "index.html").read_text()
    assert "bottle" in result.stdout
    assert str(tmp_path / "report" / "index.html") in result.stdout.replace("\n", "")
    assert page.count("<figure>") >= 4
    assert "not stored any more" in page
    assert list((tmp_path / "report" / "pictures").glob("*.jpg"))
    assert json.loads((tmp_path / "report" / "report.json").read_text())["photos"] == ROWS


class TestSelection:
    def test_by_tenant_channel_and_rule(self, backtest: tuple[str, ...], pasts: list[Past]) -> None:
        jobs = [pasts[number % len(pasts)].job for number in range(ROWS)]
        one = figures(*backtest, "--processes", "1", "--tenant", "shop-1", "--channel", "ebay", "--rule", "bottle")
        assert one["photos"] == sum(job.tenant == "shop-1" and "ebay" in job.channels for job in jobs)
        assert one["decisions"] == one["photos"]
        assert [found["id"] for found in one["rules"]] == ["bottle"]

    def test_a_limit_takes_the_newest_or_draws(self, backtest: tuple[str, ...], filled: Database) -> None:
        with filled.transaction() as connection:
            connection.execute(
                text(
                    "UPDATE decisions SET created_at = now() + row.n * interval '1 second' FROM "
                    "(SELECT id, row_number() OVER (ORDER BY id) AS n FROM decisions) row WHERE row.id = decisions.id"
                )
            )
            newest = (
                connection.execute(text("SELECT CAST(id AS text) FROM decisions ORDER BY created_at DESC LIMIT 7"))
                .scalars()
                .all()
            )
        assert set(ids(filled, Selection(limit=7))) == set(newest)
        assert len(ids(filled, Selection(limit=ROWS + 5))) == ROWS
        drawn = [sorted(ids(filled, Selection(limit=7, seed=seed))) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert len(drawn[0]) == 7
        assert figures(*backtest, "--processes", "1", "--limit", "7", "--sample", "1")["photos"] == 7

    def test_since_is_inclusive_and_until_exclusive(self, filled: Database) -> None:
        with filled.transaction() as connection:
            moments = connection.execute(text("SELECT created_at FROM decisions ORDER BY created_at")).scalars().all()
        middle = moments[len(moments) // 2]
        later, earlier = ids(filled, Selection(since=middle)), ids(filled, Selection(until=middle))
        assert len(later) == sum(moment >= middle for moment in moments)
        assert len(earlier) + len(later) == ROWS
        assert ids(filled, Selection(since=moments[-1] + timedelta(seconds=1))) == []

    def test_of_a_job_the_latest_decision_counts(self, filled: Database) -> None:
        with filled.transaction() as connection:
            first = connection.execute(text("SELECT CAST(id AS text) FROM decisions ORDER BY id LIMIT 1")).scalar_one()
            again = connection.execute(
                text(
                    "INSERT INTO decisions (job_id, tenant, product_id, image_id, verdict, data, created_at) "
                    "SELECT job_id, tenant, product_id, image_id, verdict, data, created_at + interval '1 day' "
                    "FROM decisions WHERE CAST(id AS text) = :id RETURNING CAST(id AS text)"
                ),
                {"id": first},
            ).scalar_one()
        found = ids(filled, Selection())
        with filled.transaction() as connection:
            connection.execute(text("DELETE FROM decisions WHERE CAST(id AS text) = :id"), {"id": again})
        assert (again in found, first in found, len(found)) == (True, False, ROWS)


def ids(database: Database, selection: Selection) -> list[str]:
    history = History(database)
    with history.open(selection) as scan, history.reading(scan) as reader:
        return [past.id for span in scan.spans() for chunk in reader.chunks(span, Wanted()) for past in chunk]


def test_a_scan_does_not_see_what_comes_later(filled: Database) -> None:
    history = History(filled)
    with history.open(Selection()) as scan:
        with filled.transaction() as connection:
            connection.execute(text("UPDATE decisions SET annotated_key = 'moved to another block'"))
        with history.reading(scan) as reader:
            found = [past.id for span in scan.spans() for chunk in reader.chunks(span, Wanted()) for past in chunk]
    assert len(found) == len(set(found)) == ROWS


def test_shadow_rules_from_live_traffic(environment: dict[str, str], pasts: list[Past], tmp_path: Path) -> None:
    document = figures("shadow", "--processes", "1", "--report", str(tmp_path))
    matched = [
        any(one.rule == "tried" for one in pasts[number % len(pasts)].decision.findings) for number in range(ROWS)
    ]
    assert [one["id"] for one in document["rules"]] == ["tried"]
    assert rule(document, "tried")["gained"] == sum(matched) > 0
    assert (tmp_path / "index.html").exists()
    assert figures("shadow", "--processes", "1", "--rule", "nothing")["rules"] == []


def test_files_that_change_meanwhile_change_nothing(filled: Database, tmp_path: Path) -> None:
    path = a_policy(tmp_path, a_rule("bottle", labelled("bottle")))
    work = Backtest(Current(PolicyText.read(path)), PolicyText.read(path), AT)
    path.write_text("broken")
    with History(filled).open(Selection()) as scan:
        tally = replay(url_of(filled), scan, work, 2, lambda done, total: None)
    assert (tally.photos, sum(tally.flips.values())) == (ROWS, 0)


class TestRefusals:
    def test_a_policy_that_does_not_check(self, environment: dict[str, str], tmp_path: Path) -> None:
        path = tmp_path / "broken.yaml"
        path.write_text("policy: test\ncolour: red\n")
        result = run("backtest", str(path), "--json")
        assert result.exit_code == 1
        assert "there is no such field" in json.loads(result.stdout)["problems"][0]

    def test_a_date_that_is_none(self, backtest: tuple[str, ...]) -> None:
        result = run(*backtest, "--since", "yesterday")
        assert result.exit_code == 2
        assert "write 2026-11-24" in result.stderr


def test_the_bench_goes_the_ways_it_names() -> None:
    command = ["bench", "policy", "--photos", "8", "--rounds", "1", "--observations", "250", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    ways = json.loads(result.stdout)["backtest"]["ways"]
    judged = {name: way["judged_from"] for name, way in ways.items()}
    assert judged["one limit changed"].keys() == {"findings", "receipts"}
    assert judged["a word list changed"] == judged["everything computed anew"] == {"observations": 250}
    flips = [way["flips"] for way in ways.values()]
    assert flips[0] == flips[2] > 0
    assert flips[1] == 0


def test_ctrl_c_ends_everything_and_writes_nothing(
    backtest: tuple[str, ...], environment: dict[str, str], filled: Database, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "worker.cli.main", "policy", *backtest, "--report", str(tmp_path / "report")]
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heeding_ctrl_c,
    )
    try:
        wait_until_replaying(filled, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Nothing was written" in errors
    assert not (tmp_path / "report").exists()
    assert ended(process.pid), "processes of it go on"


def heeding_ctrl_c() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(group: int) -> bool:
    """Whether all of a process group are gone soon; the last to go is Python's own keeper of shared resources."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def wait_until_replaying(database: Database, process: subprocess.Popen[str]) -> None:
    """Until it holds its snapshot; the processes it starts then take seconds to load."""
    held = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended by itself"
        with database.transaction() as connection:
            if connection.execute(held).scalar_one():
                return
        time.sleep(0.05)
    raise AssertionError("it did not begin")
