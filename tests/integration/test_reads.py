"""Views over a real ledger, and accepting into it under pressure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from domain.errors import Conflict, InputRejected, NotFound
from domain.jobs import JobState
from domain.moderation import Finding, Verdict
from tests.factories import a_decision, a_job
from tests.integration.storage import a_ledger, accepted, published
from worker.acceptance import AcceptTools, accept
from worker.payload import read_payload
from worker.storage.database import Database
from worker.storage.ledger import SqlLedger
from worker.storage.reads import Page, Reads
from worker.storage.tables import jobs, metadata

pytestmark = pytest.mark.integration


@pytest.fixture
def ledger(database: Database) -> Iterator[SqlLedger]:
    yield a_ledger(database)
    with database.transaction() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture
def reads(database: Database) -> Reads:
    return Reads(database)


def a_finding(rule: str, *, shadow: bool = False) -> Finding:
    return Finding(rule, 1, "CODE", 4, Verdict.REVIEW, "own_shop", "Look at it.", ({"kind": "text"},), shadow)


class TestJobView:
    def test_of_a_finished_job(self, ledger: SqlLedger, reads: Reads) -> None:
        findings = (a_finding("live"), a_finding("tried", shadow=True))
        job_id = published(ledger, a_decision(Verdict.REVIEW, findings=findings))
        view = reads.job_view("acme", job_id)
        assert (view["job_id"], view["state"], view["version"], view["rejection"]) == (job_id, "DONE", 1, None)
        assert view["finished_at"] >= view["accepted_at"]
        assert (view["record"]["revision"], view["record"]["verdict"]) == (1, "review")
        assert view["decision"]["verdict"] == "review"
        assert view["decision"]["channels"] == {"own_shop": "review"}
        assert [finding["rule"] for finding in view["decision"]["findings"]] == ["live"]
        assert view["observation"]["results"]["caption"]["text"] == "a red sneaker"

    def test_of_a_waiting_and_of_a_rejected_job(self, ledger: SqlLedger, reads: Reads) -> None:
        job_id = accepted(ledger, a_job())
        view = reads.job_view(None, job_id)
        assert (view["state"], view["record"], view["decision"], view["observation"], view["finished_at"]) == (
            "RECEIVED",
            None,
            None,
            None,
            None,
        )
        (row,) = ledger.lease(JobState.RECEIVED, 1)
        ledger.reject(row.lease, "not_an_image", "Send a JPEG.")
        view = reads.job_view("acme", job_id)
        assert view["rejection"] == {"code": "not_an_image", "message": "Send a JPEG."}
        assert view["finished_at"]

    def test_the_record_is_the_products_current_one(self, ledger: SqlLedger, reads: Reads) -> None:
        first = published(ledger, image_id="front")
        published(ledger, image_id="back")
        assert reads.job_view("acme", first)["record"]["revision"] == 2
        assert reads.product_view("acme", "sku-1")["revision"] == 2
        assert len(reads.product_view("acme", "sku-1")["photos"]) == 2

    def test_pictures(self, ledger: SqlLedger, reads: Reads) -> None:
        findings = (a_finding("live"), a_finding("tried", shadow=True))
        seen = reads.seen_photo("acme", published(ledger, a_decision(Verdict.REVIEW, findings=findings)))
        assert seen.photo.model_copy_key == "acme/blobs/copy"
        assert (seen.seen.caption, [finding.rule for finding in seen.findings]) == ("a red sneaker", ["live"])


@pytest.mark.parametrize(
    "call",
    [
        lambda reads, job: reads.job_view("other", job),
        lambda reads, job: reads.job_view(None, str(uuid4())),
        lambda reads, job: reads.job_view(None, "../etc"),
        lambda reads, job: reads.job_view("\0", job),
        lambda reads, job: reads.stored_photo(None, job),
        lambda reads, job: reads.seen_photo(None, job),
        lambda reads, job: reads.product_view("acme", "sku-1"),
        lambda reads, job: reads.product_view("acme", "\0"),
        lambda reads, job: reads.product_view("acme", "\ud800"),
        lambda reads, job: reads.decision_view(str(uuid4())),
    ],
)
def test_what_is_not_there(ledger: SqlLedger, reads: Reads, call: Callable[[Reads, str], object]) -> None:
    job_id = accepted(ledger, a_job())
    with pytest.raises(NotFound):
        call(reads, job_id)


class TestPages:
    def test_jobs_newest_first_each_once(self, ledger: SqlLedger, reads: Reads) -> None:
        sent = [accepted(ledger, a_job(image_id=str(n))) for n in range(7)]
        accepted(ledger, a_job(tenant="other"))
        shown = walk(lambda cursor: reads.find_jobs("acme", None, cursor, 3))
        assert shown == sent[::-1]

    def test_jobs_of_one_state(self, ledger: SqlLedger, reads: Reads) -> None:
        done = published(ledger)
        waiting = accepted(ledger, a_job(image_id="back"))
        assert walk(lambda cursor: reads.find_jobs(None, "DONE", cursor, 1)) == [done]
        assert walk(lambda cursor: reads.find_jobs(None, "RECEIVED", cursor, 1)) == [waiting]

    def test_cases_gravest_first_then_oldest(self, ledger: SqlLedger, reads: Reads) -> None:
        ids = {}
        for name, severity in (("a", 2), ("b", 6), ("c", 2), ("d", 4), ("e", 2)):
            finding = a_finding("r")
            graver = Finding(**{f: getattr(finding, f) for f in Finding.__slots__} | {"severity": severity})
            ids[name] = published(ledger, a_decision(Verdict.REVIEW, findings=(graver,)), product_id=name)
        published(ledger, product_id="fine")
        shown = walk(lambda cursor: reads.list_cases("acme", "open", cursor, 2))
        assert shown == [ids[name] for name in "bdace"]
        assert reads.list_cases("other")["items"] == []

    def test_a_case_names_its_decision(self, ledger: SqlLedger, reads: Reads) -> None:
        findings = (a_finding("live"), a_finding("tried", shadow=True))
        published(ledger, a_decision(Verdict.REVIEW, findings=findings))
        (case,) = reads.list_cases("acme")["items"]
        assert [finding["rule"] for finding in case["findings"]] == ["live"]
        decision = reads.decision_view(case["decision_id"], "acme")
        assert [finding["rule"] for finding in decision["shadow_findings"]] == ["tried"]
        with pytest.raises(NotFound):
            reads.decision_view(case["decision_id"], "other")

    @pytest.mark.parametrize("cursor", ["x", "é", "W10", "bnVsbA", "WyIyMDI2LTAxLTAxIiwgIngiXQ", "e30=", "[" * 999])
    def test_cursors_of_others_are_refused(self, reads: Reads, cursor: str) -> None:
        with pytest.raises(InputRejected) as caught:
            reads.find_jobs(None, None, cursor)
        assert caught.value.code == "bad_cursor"
        with pytest.raises(InputRejected):
            reads.list_cases(None, "open", cursor)

    def test_unknown_states_and_sizes_are_refused(self, reads: Reads) -> None:
        for call in (
            lambda: reads.find_jobs(None, "LOST"),
            lambda: reads.list_cases(None, "x"),
            lambda: reads.find_jobs(None, limit=0),
        ):
            with pytest.raises(InputRejected):
                call()


class TestAccepting:
    """Fault 27: a hundred at once."""

    def test_a_hundred_doubles_of_one_key_are_one_job(self, database: Database, ledger: SqlLedger) -> None:
        woken: list[str] = []
        tools = AcceptTools(ledger, NoUploads(), woken.append)
        payload = read_payload(BODY)
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: accept(payload, "one key", tools), range(100)))
        assert len({answer.job_id for answer in answers}) == 1
        assert sum(answer.created for answer in answers) == 1
        assert count(database) == 1

    def test_one_key_for_many_products_at_once_is_one_job(self, database: Database, ledger: SqlLedger) -> None:
        """No product's lock orders these; the key itself has to."""
        tools = AcceptTools(ledger, NoUploads(), lambda stage: None)

        def send(number: int) -> bool:
            try:
                return accept(read_payload(BODY | {"product_id": str(number)}), "one key", tools).created
            except Conflict:
                return False

        with ThreadPoolExecutor(20) as pool:
            assert sum(pool.map(send, range(60))) == 1
        assert count(database) == 1


BODY = {
    "schema": 1,
    "tenant": "acme",
    "product_id": "sku-1",
    "image_id": "front",
    "image": {"url": "https://photos.example/sku-1.jpg"},
}


class NoUploads:
    def put_upload(self, tenant: str, data: bytes) -> str:
        raise AssertionError("these jobs carry no bytes")

    def delete(self, key: str) -> None:
        raise AssertionError("these jobs carry no bytes")


def count(database: Database) -> int:
    with database.transaction() as connection:
        found: int = connection.execute(select(func.count()).select_from(jobs)).scalar_one()
    return found


def walk(page: Callable[[str | None], Page]) -> list[str]:
    """The job ids of all pages."""
    shown: list[str] = []
    cursor: str | None = None
    while True:
        found = page(cursor)
        shown += [item["job_id"] for item in found["items"]]
        cursor = found["next_cursor"]
        if cursor is None:
            return shown
