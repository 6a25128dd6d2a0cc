"""The main job, end to end: real servers, real workers, the shipped model, driven from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest

from tests.integration.whole import Whole, outcome, sample_files, until
from worker.cli.client import ApiClient
from worker.cli.jobs import image_field
from worker.storage.database import Database
from worker.storage.dead_letters import DeadLetters
from worker.system import LocalSystem

pytestmark = pytest.mark.integration

# Short leases, so that the rows of a killed worker come back within seconds.
QUICK = {
    "SHELFGUARD_LEASE_SECONDS": "6",
    "SHELFGUARD_HEARTBEAT_SECONDS": "1.5",
    "SHELFGUARD_SWEEP_SECONDS": "1",
    "SHELFGUARD_UNREACHABLE_CAP": "2",
    # The same samples are sent again and again: workers are to be killed while they look, each time.
    "SHELFGUARD_OBSERVATION_CACHE": "false",
}

BARE_CLIENT = """
import json, sys
from celery import Celery
broker, job, task_id = sys.argv[1:]
shop = Celery(broker=broker)
shop.send_task("shelfguard.process_image", kwargs={"job": json.loads(job)}, queue="shelfguard.intake",
               task_id=task_id, ignore_result=True)
assert not any(name == "worker" or name.startswith(("worker.", "domain")) for name in sys.modules)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with LocalSystem(tmp_path_factory.mktemp("system"), durable=False, settings=QUICK) as system:
        up = system.start()
        with ApiClient(up.api, up.token) as client:
            yield Whole(system, up, client)


@pytest.fixture(scope="module")
def undisturbed(whole: Whole) -> dict[str, dict[str, Any]]:
    """How each sample ends when nothing goes wrong, by file name."""
    sent = whole.send_samples("undisturbed")
    jobs = whole.wait(sent.values())
    return {name: outcome(jobs[job_id]) for name, job_id in sent.items()}


def dead_letters(whole: Whole) -> list[dict[str, Any]]:
    database = Database(whole.up.database)
    try:
        return DeadLetters(database).list()
    finally:
        database.close()


def send_by_celery(whole: Whole, folder: Path, job: dict[str, Any]) -> str:
    task_id = str(uuid4())
    subprocess.run(
        [sys.executable, "-c", BARE_CLIENT, whole.up.broker, json.dumps(job), task_id],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        check=True,
        timeout=60,
    )
    return task_id


def a_celery_job(**changes: Any) -> dict[str, Any]:
    job = {
        "schema": 1,
        "tenant": "shop",
        "product_id": f"p-{uuid4()}",
        "image_id": "front",
        "image": {"url": "https://photos.invalid/sku-1.jpg"},
    }
    return job | changes


def test_the_samples_end_with_all_three_verdicts(undisturbed: dict[str, dict[str, Any]]) -> None:
    assert Counter(job["state"] for job in undisturbed.values()) == {"DONE": len(undisturbed)}
    assert {job["verdict"] for job in undisturbed.values()} == {"approve", "review", "reject"}
    flagged = [job for job in undisturbed.values() if job["verdict"] != "approve"]
    assert all(job["findings"] for job in flagged), "a decision without its causes"


def test_the_record_in_s3_is_the_record_in_sql(whole: Whole, undisturbed: dict[str, dict[str, Any]]) -> None:
    job_id = whole.send(image_field(str(sample_files()[0])), product_id="in/both places")
    job = whole.wait([job_id])[job_id]
    s3 = boto3.client(
        "s3",
        endpoint_url=whole.up.s3["endpoint_url"],
        aws_access_key_id=whole.up.s3["access_key"],
        aws_secret_access_key=whole.up.s3["secret_key"],
        region_name="us-east-1",
    )
    bucket = whole.up.s3["bucket"]
    assert bucket is not None
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix="shop/records/in%2Fboth")["Contents"]]
    assert len(keys) == 1
    assert json.loads(s3.get_object(Bucket=bucket, Key=keys[0])["Body"].read()) == job["record"]
    photo = job["record"]["photos"][0]
    for kept in (photo["original"], photo["model_copy"]):
        assert s3.head_object(Bucket=bucket, Key=kept)["ContentLength"] > 0
    s3.close()


def test_a_bare_celery_client_needs_nothing_of_ours(whole: Whole, tmp_path: Path) -> None:
    job = a_celery_job(title="Sent by task name", image=image_field(str(sample_files()[0])))
    task_id = send_by_celery(whole, tmp_path, job)
    found: list[dict[str, Any]] = []

    def visible() -> bool:
        found[:] = whole.client.find_jobs(idempotency_key=task_id, tenant="shop")
        return bool(found)

    until(visible)
    ended = whole.wait([found[0]["job_id"]])[found[0]["job_id"]]
    assert ended["state"] == "DONE"
    assert ended["record"]["product_id"] == job["product_id"]
    assert ended["record"]["fields"]["title"]["value"] == "Sent by task name"


def test_the_same_task_id_twice_is_one_job(whole: Whole, tmp_path: Path) -> None:
    job, task_id = a_celery_job(), str(uuid4())
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", BARE_CLIENT, whole.up.broker, json.dumps(job), task_id],
            cwd=tmp_path,
            check=True,
            timeout=60,
        )
    until(lambda: bool(whole.client.find_jobs(idempotency_key=task_id, tenant="shop")))
    other = send_by_celery(whole, tmp_path, a_celery_job())
    until(lambda: bool(whole.client.find_jobs(idempotency_key=other, tenant="shop")))
    assert len(whole.client.find_jobs(idempotency_key=task_id, tenant="shop")) == 1


def test_submit_waits_and_prints_the_record(whole: Whole) -> None:
    command = [sys.executable, "-m", "worker.cli.main", "submit", str(sample_files()[0])]
    options = ["--product-id", "by-cli", "--tenant", "shop", "--attribute", "size=42", "--wait", "--json"]
    answer = subprocess.run(
        [*command, *options],
        env=os.environ | {"SHELFGUARD_API_URL": whole.up.api, "SHELFGUARD_API_TOKEN": whole.up.token},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    job = json.loads(answer.stdout)
    assert job["state"] == "DONE"
    assert job["record"]["fields"]["attributes"]["size"] == {"value": "42", "source": "seller", "score": None}
    assert job["decision"]["verdict"] in ("approve", "review", "reject")


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ({"bytes_b64": "AAAA"}, "not_an_image"),
        ({"s3": "s3://shelfguard/shop/uploads/nothing-here"}, "s3_not_found"),
        ({"s3": "s3://somebody-elses/photo.jpg"}, "s3_forbidden"),
        ({"url": "http://127.0.0.1:9/photo.jpg"}, "url_blocked"),
        ({"url": "https://photos.invalid/photo.jpg"}, "url_unreachable"),
    ],
)
def test_bad_input_ends_as_a_recorded_rejection(whole: Whole, image: dict[str, str], code: str) -> None:
    bucket = whole.up.s3["bucket"] or ""
    named = {name: value.replace("s3://shelfguard/", f"s3://{bucket}/") for name, value in image.items()}
    job_id = whole.send(named)
    job = whole.wait([job_id])[job_id]
    assert (job["state"], job["rejection"]["code"]) == ("REJECTED", code)
    assert job["rejection"]["message"].endswith(".")
    assert len(job["rejection"]["message"].split()) >= 5, "a sentence that a seller can act on"


@pytest.mark.parametrize(
    "job",
    [
        {"schema": 1, "tenant": "shop"},
        {"schema": 99, "tenant": "shop", "product_id": "p"},
        a_celery_job(image={"url": "https://a.example/x.jpg", "s3": "s3://b/k"}),
        a_celery_job(product_id="../../etc"),
        ["not", "an", "object"],
    ],
)
def test_a_malformed_job_sent_by_celery_is_kept_with_its_reason(whole: Whole, tmp_path: Path, job: Any) -> None:
    task_id = send_by_celery(whole, tmp_path, job)
    until(lambda: any(letter["task_id"] == task_id for letter in dead_letters(whole)))
    (letter,) = [letter for letter in dead_letters(whole) if letter["task_id"] == task_id]
    assert letter["code"] in ("malformed_job", "unsupported_schema")
    job_id = whole.send(image_field(str(sample_files()[0])))
    assert whole.wait([job_id])[job_id]["state"] == "DONE", "the workers go on"


STRICT = """
policy: strict
rules:
  - id: everything
    version: 1
    policy_code: EVERYTHING
    severity: 4
    action: reject
    mode: live
    message: This shop takes no photos today.
    when: pixels.brightness > 0.001
    causes: "[pixels]"
    tests:
      - {given: {}, expect: match}
      - {given: {pixels: {brightness: 0.0}}, expect: no_match}
"""


def test_a_policy_judges_in_running_workers_ten_seconds_after_it_was_published(whole: Whole) -> None:
    whole.client.ask("POST", "/v1/tenants", {"id": "strict"})
    whole.client.ask("POST", "/v1/tenants", {"id": "lenient"})

    def judged(tenant: str) -> dict[str, Any]:
        job_id = whole.send(image_field(str(sample_files()[0])), tenant=tenant)
        return whole.wait([job_id])[job_id]

    before = judged("strict")
    policy = {"entry": "strict.yaml", "files": {"strict.yaml": STRICT}, "tenant": "strict"}
    alone = {"alone": True, "reason": "There is one person in this test.", "redecide": "all"}
    published = whole.client.ask("POST", "/v1/policies", policy | alone)
    time.sleep(10)
    after = judged("strict")
    assert after["decision"]["verdict"] == "reject"
    assert after["decision"]["receipt"]["policy_version"] == published["version"]
    assert judged("lenient")["decision"]["receipt"]["policy"] == "starter"

    until(lambda: whole.client.job(before["job_id"])["decision"]["verdict"] == "reject")
    again = whole.client.job(before["job_id"])
    assert again["record"]["revision"] == before["record"]["revision"] + 1
    for decision in (before["decision"], again["decision"]):
        explained = whole.client.ask("GET", f"/v1/decisions/{decision['id']}/explanation")
        assert explained["rerun"] == {"same": True, "problem": None, "differences": []}

    whole.client.ask("POST", "/v1/policies/rollback", {"tenant": "strict"})
    time.sleep(10)
    assert outcome(judged("strict")) == outcome(before)


def test_killing_the_vision_worker_twice_changes_no_outcome(
    whole: Whole, undisturbed: dict[str, dict[str, Any]]
) -> None:
    sent = whole.send_samples("killed")
    for share in (0.15, 0.5):
        until(lambda share=share: _ended_share(whole, sent) >= share, 120)  # type: ignore[misc]
        whole.system.supervisor.kill_group("vision")
    jobs = whole.wait(sent.values())
    assert whole.system.supervisor.restarts("vision") >= 2
    assert {name: outcome(jobs[job_id]) for name, job_id in sent.items()} == undisturbed


def test_a_broker_that_forgets_everything_changes_no_outcome(
    whole: Whole, undisturbed: dict[str, dict[str, Any]]
) -> None:
    sent = whole.send_samples("forgotten")
    until(lambda: _ended_share(whole, sent) >= 0.1, 120)
    whole.system.servers.kill("valkey")
    whole.system.servers.restart("valkey", empty=True)
    jobs = whole.wait(sent.values())
    assert {name: outcome(jobs[job_id]) for name, job_id in sent.items()} == undisturbed


def _ended_share(whole: Whole, sent: dict[str, str]) -> float:
    ended = sum(whole.client.job(job_id)["state"] == "DONE" for job_id in sent.values())
    return ended / len(sent)


def test_a_job_sent_while_the_database_is_away_is_accepted_when_it_is_back(whole: Whole, tmp_path: Path) -> None:
    whole.system.servers.kill("postgres")
    try:
        task_id = send_by_celery(whole, tmp_path, a_celery_job(image=image_field(str(sample_files()[0]))))
        refused = httpx.get(f"{whole.up.api}/readyz", timeout=30)
        assert refused.status_code == 503
        assert "database" in refused.text
    finally:
        whole.system.servers.restart("postgres")
    until(lambda: bool(whole.client.find_jobs(idempotency_key=task_id, tenant="shop")))
    (found,) = whole.client.find_jobs(idempotency_key=task_id, tenant="shop")
    assert whole.wait([found["job_id"]])[found["job_id"]]["state"] == "DONE"


def test_an_object_store_that_is_away_delays_jobs_and_rejects_none(whole: Whole) -> None:
    job_ids = [whole.send(image_field(str(file))) for file in sample_files()[:6]]
    whole.system.servers.kill("s3")
    whole.system.servers.restart("s3")
    assert {job["state"] for job in whole.wait(job_ids).values()} == {"DONE"}
