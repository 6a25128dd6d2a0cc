"""Publishing a policy on a real database and API: who may, what judges, how it goes back, how it is explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from domain.banks import NOTHING_RECALLED
from domain.policies import Bundle
from tests.integration.policy_site import SHIPPED, WHY, Site, a_policy, a_site
from tests.real import emptied
from tests.worker.policy.conftest import a_rule
from worker.storage.caps import SqlDailyCaps
from worker.storage.database import Database
from worker.storage.tables import decisions
from worker.taxonomy.files import shipped

pytestmark = pytest.mark.integration


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    with a_site(emptied(database), tmp_path) as made:
        yield made


class TestPublishing:
    def test_two_people_put_a_policy_live_and_one_takes_it_back(self, site: Site) -> None:
        assert site.decision(site.judged())["verdict"] == "review"
        path = site.write(a_rule())
        proposed = site.ask("Ada", "policy", "publish", str(path), "--note", "No sneakers.")
        assert proposed["state"] == "proposed"
        assert site.decision(site.judged())["verdict"] == "review", "nothing has changed yet"

        own = site.run("Ada", "policy", "approve", str(proposed["proposal"]))
        assert own.exit_code == 1
        assert "second person" in str(own.exception)
        published = site.ask("Bea", "policy", "approve", str(proposed["proposal"]))
        assert (published["author"]["name"], published["second"]["name"]) == ("Ada", "Bea")
        assert site.decision(site.judged())["verdict"] == "reject"

        listed = site.ask("Ada", "policy", "list", "--versions")
        assert [(one["version"], one["note"]) for one in listed["live"]] == [(proposed["version"], "No sneakers.")]
        back = site.ask("Ada", "policy", "rollback", "--reason", "Too many rejected.")
        assert (back["kind"], back["version"], back["reason"]) == ("rollback", None, "Too many rejected.")
        assert site.decision(site.judged())["verdict"] == "review"

    def test_a_broken_policy_is_refused_and_what_is_live_stays(self, site: Site) -> None:
        site.publish_alone(a_rule())
        broken = site.write(a_rule(causes="no_such_signal"))
        refused = site.run("Ada", "policy", "publish", str(broken), "--alone", "--reason", WHY, "--json")
        assert refused.exit_code == 1
        assert "no_such_signal" in json.loads(refused.stdout)["problems"][0]
        assert site.decision(site.judged())["verdict"] == "reject"
        assert len(site.ask("Ada", "policy", "list", "--versions")["publications"]) == 1

    def test_the_api_trusts_no_clients_check(self, site: Site) -> None:
        failing = a_rule(causes='objects.filter(o, o.label == "spoon")')
        answer = site.post("Ada", "/v1/policies", {"entry": "policy.yaml", "files": {"policy.yaml": a_policy(failing)}})
        assert (answer.status_code, answer.json()["code"]) == (422, "policy_invalid")
        assert "expects match and got no_match" in answer.json()["problems"][0]
        nul = {"entry": "policy.yaml", "files": {"policy.yaml": a_policy(a_rule()) + "#\0"}}
        assert "NUL" in site.post("Ada", "/v1/policies", nul).json()["problems"][0]

    def test_alone_needs_a_reason(self, site: Site) -> None:
        refused = site.run("Ada", "policy", "publish", str(site.write(a_rule())), "--alone")
        assert refused.exit_code == 1
        assert "reason" in str(refused.exception)
        assert site.ask("Ada", "policy", "list", "--versions")["publications"] == []

    def test_a_lead_publishes_for_the_own_tenant_only(self, site: Site) -> None:
        path = str(site.write(a_rule()))
        mine = site.ask("Lea", "policy", "publish", path, "--alone", "--reason", WHY)
        assert mine["tenant"] == "acme"
        assert site.decision(site.judged())["verdict"] == "reject"
        assert site.decision(site.judged(tenant="other"))["verdict"] == "review"
        for wrong in (
            ("Lea", "policy", "publish", path, "--tenant", "other"),
            ("Sue", "policy", "publish", path),
            ("Sue", "policy", "list", "--versions"),
        ):
            assert site.run(*wrong).exit_code == 1, wrong

    def test_another_tenants_policy_is_nobodys_business(self, site: Site) -> None:
        path = site.write(a_rule())
        theirs = site.ask("Ada", "policy", "publish", str(path), "--tenant", "other", "--alone", "--reason", WHY)
        assert site.run("Lea", "policy", "diff", theirs["version"]).exit_code == 1
        assert site.ask("Lea", "policy", "list", "--versions")["publications"] == []
        proposal = site.ask("Ada", "policy", "publish", str(site.write(a_rule(severity="2"))), "--tenant", "other")
        assert site.run("Lea", "policy", "approve", str(proposal["proposal"])).exit_code == 1

    def test_history_cannot_be_rewritten(self, site: Site) -> None:
        site.publish_alone(a_rule())
        for statement in ("UPDATE policy_publications SET note = 'x'", "DELETE FROM policy_versions"):
            with pytest.raises(DBAPIError, match="only ever added"), site.database.transaction() as connection:
                connection.execute(text(statement))


class TestComparing:
    def test_field_by_field_and_word_by_word(self, site: Site) -> None:
        lists = "wordlists: {bad: bad.txt}\n"
        site.folder.joinpath("bad.txt").write_text("one\ntwo\n")
        site.folder.joinpath("policy.yaml").write_text(
            "policy: test\nthresholds: {sure: 0.5}\n" + lists + "rules:\n" + a_rule("kept") + a_rule("gone")
        )
        before = site.ask("Ada", "policy", "publish", str(site.folder), "--alone", "--reason", WHY)
        site.folder.joinpath("bad.txt").write_text("two\nthree\n")
        site.folder.joinpath("policy.yaml").write_text(
            "policy: test\nthresholds: {sure: 0.6}\n"
            + lists
            + "rules:\n"
            + a_rule("kept", causes="objects.filter(o, o.score > 0.1)", version="2")
            + a_rule("new")
        )
        planned = site.ask("Ada", "policy", "diff", str(site.folder))
        assert [rule["id"] for rule in planned["rules_added"]] == ["new"]
        assert [rule["id"] for rule in planned["rules_removed"]] == ["gone"]
        (changed,) = planned["rules_changed"]
        assert changed["fields"] == {
            "causes": {"from": ["objects"], "to": ["objects.filter(o, o.score > 0.1)"]},
            "version": {"from": 1, "to": 2},
        }
        assert planned["word_lists"] == {"bad (any)": {"added": ["three"], "removed": ["one"]}}
        assert planned["thresholds"] == {"sure": {"from": 0.5, "to": 0.6}}

        after = site.ask("Ada", "policy", "publish", str(site.folder), "--alone", "--reason", WHY)
        assert site.ask("Ada", "policy", "diff") == planned, "what changed last"
        assert site.ask("Ada", "policy", "diff", before["version"][:8], f"#{after['number']}") == planned
        shown = site.run("Ada", "policy", "diff").stdout
        assert "+ rule new" in shown
        assert "- rule gone" in shown
        assert "three" in shown

    def test_a_tenants_first_policy_is_compared_with_what_judged_it_before(self, site: Site) -> None:
        site.publish_alone(a_rule())
        path = str(site.write(a_rule(severity="6")))
        site.ask("Lea", "policy", "publish", path, "--alone", "--reason", WHY)
        (changed,) = site.ask("Lea", "policy", "diff")["rules_changed"]
        assert changed["fields"] == {"severity": {"from": 4, "to": 6}}

    @pytest.mark.parametrize(
        ("argv", "next_step"),
        [
            (("policy", "diff", "no-such-file.yaml"), "policy list --versions"),
            (("policy", "approve", "99"), "policy list --versions"),
            (("policy", "rollback", "--tenant", "acme"), "nothing to roll back"),
            (("explain", "0123456789ab"), "shelfguard job"),
        ],
    )
    def test_what_is_not_there_says_where_to_look(self, site: Site, argv: tuple[str, ...], next_step: str) -> None:
        result = site.run("Ada", *argv)
        assert result.exit_code == 1
        assert next_step in str(result.exception)

    def test_the_same_policy_is_the_same(self, site: Site) -> None:
        path = site.write(a_rule(action="review"))
        assert "Both judge alike." in site.run("Ada", "policy", "diff", str(path)).stdout


class TestExplaining:
    def test_by_the_rule_as_it_was_then(self, site: Site) -> None:
        site.publish_alone(a_rule(causes="objects.filter(o, o.score > 0.5)"))
        job_id = site.judged(channels=("ebay", "own_shop"))
        site.publish_alone(a_rule(causes="objects.filter(o, o.score > 0.92)", version="2"))
        decision = site.decision(job_id)
        found = site.ask("Sue", "explain", decision["id"])
        assert found["rerun"] == {"same": True, "problem": None, "differences": []}
        assert found["channels"] == {"ebay": "reject", "own_shop": "reject"}
        finding = found["findings"][0]
        assert finding["text"]["causes"] == ["objects.filter(o, o.score > 0.5)"]
        assert finding["text"]["where"] == "policy.yaml:4"
        assert finding["read"]["objects"][0]["label"] == "sneaker"
        assert site.ask("Sue", "explain", decision["id"][:8])["decision"] == decision["id"]
        assert site.ask("Sue", "explain", job_id)["decision"] == decision["id"]
        shown = site.run("Sue", "explain", decision["id"][:13])
        assert shown.exit_code == 0
        assert "byte for byte" in shown.stdout
        assert "Use another photo." in shown.stdout

    def test_what_was_shipped_can_be_run_again_too(self, site: Site) -> None:
        decision = site.decision(site.judged())
        site.publish_alone(a_rule())
        assert decision["receipt"]["policy_version"] == SHIPPED.policy.version
        assert site.ask("Ada", "explain", decision["id"])["rerun"]["same"] is True

    def test_the_receipt_says_what_the_decision_rests_on(self, site: Site) -> None:
        receipt = site.decision(site.judged(title="Red sneaker"))["receipt"]
        assert (receipt["plan"], receipt["photo_sha256"], receipt["model"]) == ("plan", "a" * 64, "fake@0")
        assert receipt["seller"]["title"] == "Red sneaker"
        assert (receipt["calibration"], receipt["taxonomy"]) == (None, shipped().version)
        assert receipt["banks"] == NOTHING_RECALLED.bank_version
        assert receipt["signals"]["near_duplicates"] == receipt["signals"]["bank_matches"] == []
        assert receipt["caps"] == {}

    def test_a_decision_that_was_tampered_with_differs(self, site: Site) -> None:
        job_id = site.judged()
        decision = site.decision(job_id)
        with site.database.transaction() as connection:
            data = connection.execute(text("SELECT data FROM decisions")).scalar_one()
            data["channels"]["own_shop"] = data["verdict"] = "approve"
            connection.execute(update(decisions).values(data=data))
        result = site.run("Ada", "explain", decision["id"], "--json")
        assert result.exit_code == 1
        differences = json.loads(result.stdout)["rerun"]["differences"]
        assert {one["path"] for one in differences} == {"$.channels.own_shop", "$.verdict"}
        assert "$.verdict" in site.run("Ada", "explain", decision["id"]).stdout

    def test_nobody_explains_another_tenants_decision(self, site: Site) -> None:
        decision = site.decision(site.judged(tenant="other"))
        for name in (decision["id"], decision["id"][:8], decision["id"].replace("-", "")[:9], "x", "00000000"):
            assert site.run("Sue", "explain", name).exit_code == 1

    def test_reasons_are_stated_as_the_transparency_database_takes_them(self, site: Site) -> None:
        site.publish_alone(
            a_rule(
                statement_category="STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
                statement_keywords="[KEYWORD_DANGEROUS_TOYS]",
            )
        )
        decision = site.decision(site.judged())
        stated = site.ask("Sue", "explain", decision["id"], "--statement")
        assert stated["decision_visibility"] == ["DECISION_VISIBILITY_CONTENT_REMOVED"]
        assert stated["decision_ground"] == "DECISION_GROUND_INCOMPATIBLE_CONTENT"
        assert stated["category"] == "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS"
        assert stated["category_specification"] == ["KEYWORD_DANGEROUS_TOYS"]
        assert (stated["automated_detection"], stated["automated_decision"]) == ("Yes", "AUTOMATED_DECISION_FULLY")
        assert stated["incompatible_content_explanation"] == "Use another photo."
        assert "sneaker" in stated["decision_facts"]
        assert stated["application_date"] == decision["receipt"]["decided_at"][:10]
        assert stated["puid"] == decision["id"]

    def test_an_approval_has_no_reasons_to_state(self, site: Site) -> None:
        decision = site.decision(site.judged(objects=()))
        refused = site.run("Sue", "explain", decision["id"], "--statement")
        assert refused.exit_code == 1
        assert "nothing was restricted" in str(refused.exception)


def test_a_cap_is_exact_under_pressure(site: Site) -> None:
    caps, today = SqlDailyCaps(site.database), date(2026, 11, 24)
    with ThreadPoolExecutor(10) as pool:
        states = list(pool.map(lambda n: caps.take("acme", today, f"photo {n % 30}", {"b": 9, "a": 7})["a"], range(60)))
    assert sum(not state.spent for state in states) == 14, "seven photos, each asked for twice"
    with site.database.transaction() as connection:
        counted = connection.execute(text("SELECT rule, count(*) FROM rule_rejections GROUP BY rule ORDER BY rule"))
        assert [tuple(row) for row in counted] == [("a", 7), ("b", 9)]


def test_a_cap_sounds_an_alarm_that_people_see(site: Site) -> None:
    site.publish_alone(a_rule(max_daily_rejections="1"))
    verdicts = [site.decision(site.judged(product_id=f"p-{n}"))["verdict"] for n in range(3)]
    assert verdicts == ["reject", "review", "review"]
    (alarm,) = site.ask("Lea", "policy", "alarms")["alarms"]
    assert (alarm["kind"], alarm["rule"], alarm["tenant"], alarm["times"]) == ("cap_reached", "some.rule", "acme", 2)
    assert "goes to review" in site.run("Lea", "policy", "alarms").stdout


def test_a_version_that_no_longer_compiles_cannot_be_explained_but_says_why(site: Site) -> None:
    decision_id = site.decision(site.judged())["id"]
    bundle = Bundle("policy.yaml", {"policy.yaml": a_policy(a_rule(causes="gone_signal"))})
    site.store.keep(bundle, "test")
    with site.database.transaction() as connection:
        data = connection.execute(text("SELECT data FROM decisions")).scalar_one()
        data["receipt"]["policy_version"] = bundle.version
        connection.execute(update(decisions).values(data=data))
    result = site.run("Ada", "explain", decision_id)
    assert result.exit_code == 1
    assert "does not compile" in result.stdout
