"""Receipts that are run again, explanations, statements of reasons, differences: functions over loaded policies."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InputRejected, PolicyInvalid
from domain.moderation import RULE_ERROR, Verdict
from domain.policies import Bundle, CapState
from tests.factories import a_job, a_stored_photo, an_observation
from tests.worker.policy.conftest import HEAD, WritePolicy, a_rule
from worker.policy.differences import differences, is_same
from worker.policy.engine import PolicyEngine
from worker.policy.explaining import explain, rerun
from worker.policy.loading import load_bundle, load_policy
from worker.policy.statement import statement
from worker.policy.statement_terms import CATEGORIES, KEYWORDS

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
SENT = datetime(2026, 11, 30, 23, tzinfo=UTC)
CAPPED = a_rule("capped", max_daily_rejections="5") + a_rule("plain", action="review", severity="2")


def an_engine(*rules: str) -> PolicyEngine:
    return PolicyEngine.of_bundle(Bundle("policy.yaml", {"policy.yaml": HEAD + "".join(rules)}))


def stored(engine: PolicyEngine, **of_job: Any) -> dict[str, Any]:
    """A decision as the database gives it back."""
    decision = engine.decide(a_job(**of_job), a_stored_photo(), an_observation(), NOON, "plan")
    data: dict[str, Any] = json.loads(json.dumps(decision.as_json()))
    return data


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 9),
    used=st.integers(0, 20),
    spent=st.booleans(),
    channels=st.permutations(["ebay", "meta", "own_shop"]),
    score=st.floats(0, 1),
)
def test_same_receipt_same_verdict_whatever_the_caps_were(
    limit: int, used: int, spent: bool, channels: list[str], score: float
) -> None:
    engine = ENGINE
    job, seen = a_job(channels=tuple(channels)), an_observation(objects=(("sneaker", score),))
    state = {"capped": CapState(limit, used, spent)}
    decision = engine.decide(job, a_stored_photo(), seen, NOON, "plan", take=lambda limits: state)
    assert decision.verdict is (Verdict.REVIEW if spent else Verdict.REJECT)
    data = json.loads(json.dumps(decision.as_json()))
    assert rerun(data, engine) == {"same": True, "problem": None, "differences": []}


ENGINE = an_engine(CAPPED)


def test_a_receipt_that_is_older_than_a_signal_runs_as_before() -> None:
    data = stored(ENGINE)
    for younger in ("second_text", "pixels", "contacts"):
        del data["receipt"]["signals"][younger]
    del data["receipt"]["caps"], data["receipt"]["seller"], data["receipt"]["banks"]
    assert rerun(data, ENGINE)["same"] is True


def test_a_rule_that_reads_what_a_receipt_lacks_shows_as_a_difference() -> None:
    data = stored(ENGINE)
    del data["receipt"]["signals"]["objects"]
    found = rerun(data, ENGINE)
    assert found["same"] is False
    assert "$.verdict" in {one["path"] for one in found["differences"]}


def test_a_receipt_of_another_version_is_not_run() -> None:
    found = rerun(stored(ENGINE), an_engine(a_rule()))
    assert (found["same"], found["differences"]) == (False, [])
    assert "load that one" in found["problem"]


def test_a_finding_is_explained_by_its_rules_text_and_what_it_read() -> None:
    engine = an_engine(
        a_rule(
            causes="objects.filter(o, o.score > 0.5 && caption != 'text pixels')", when='size(text) == 0 || "x" == ""'
        )
    )
    (finding,) = explain(stored(engine), engine)
    assert set(finding["read"]) == {"objects", "caption", "text"}, "words in strings and fields are no signals"
    assert finding["text"]["when"] == 'size(text) == 0 || "x" == ""'
    assert finding["failed"] is False
    (bare,) = explain(stored(engine), None)
    assert (bare["text"], bare["read"]) == (None, {})


def test_a_finding_says_who_asks_for_it_and_how_sure_that_is() -> None:
    source = "{url: 'https://shop.example/rules', read: 2026-11-21, sure: reported}"
    engine = an_engine(a_rule(source=source, limits="{most: 9}", when="size(objects) < limit.most"), a_rule("plain"))
    plain, sourced = explain(stored(engine), engine)
    assert sourced["text"]["limits"] == {"most": "9"}
    assert sourced["text"]["source"] == {
        "url": "https://shop.example/rules",
        "read": "2026-11-21",
        "sure": "reported",
        "note": None,
    }
    assert plain["text"]["source"] is None


def test_a_rule_that_failed_says_so() -> None:
    engine = an_engine(a_rule("fragile", "objects.filter(o, 10 / (size(objects) - 2) >= -10)"))
    seen = an_observation(objects=(("a", 0.9), ("b", 0.9)))
    data = json.loads(json.dumps(engine.decide(a_job(), a_stored_photo(), seen, NOON).as_json()))
    (finding,) = explain(data, engine)
    assert (finding["failed"], finding["policy_code"]) == (True, RULE_ERROR)
    assert rerun(data, engine)["same"] is True


class TestStatements:
    def test_the_gravest_finding_names_the_category(self) -> None:
        engine = an_engine(
            a_rule("a", action="review", severity="2", statement_category="STATEMENT_CATEGORY_SCAMS_AND_FRAUD"),
            a_rule("b", severity="6", statement_category="STATEMENT_CATEGORY_PROTECTION_OF_MINORS"),
            a_rule("c", severity="4"),
        )
        stated = statement("d-1", stored(engine), SENT, engine)
        assert stated["category"] == "STATEMENT_CATEGORY_PROTECTION_OF_MINORS"
        assert stated["category_addition"] == [
            "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
            "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
        ]
        assert (stated["content_date"], stated["application_date"]) == ("2026-11-30", "2026-12-01")
        assert {stated["category"], *stated["category_addition"]} <= CATEGORIES

    def test_what_a_person_still_looks_at_is_held_back_and_partly_automated(self) -> None:
        engine = an_engine(a_rule(action="review"))
        stated = statement("d-1", stored(engine), SENT, engine)
        assert stated["decision_visibility"] == ["DECISION_VISIBILITY_OTHER"]
        assert stated["decision_visibility_other"]
        assert stated["automated_decision"] == "AUTOMATED_DECISION_PARTIALLY"

    def test_one_channel_alone(self) -> None:
        engine = an_engine(a_rule(scope="{channels: [ebay]}"))
        data = stored(engine, channels=("ebay", "meta"))
        assert statement("d-1", data, SENT, engine, "ebay")["puid"] == "d-1-ebay"
        with pytest.raises(InputRejected, match="nothing was restricted"):
            statement("d-1", data, SENT, engine, "meta")
        with pytest.raises(InputRejected, match="ebay, meta"):
            statement("d-1", data, SENT, engine, "own_shop")

    def test_long_reasons_are_cut_to_what_the_database_takes(self) -> None:
        data = stored(ENGINE)
        data["findings"] *= 100
        for index, finding in enumerate(data["findings"]):
            data["findings"][index] = copy.deepcopy(finding) | {"message": f"{index} " + "x" * 200}
        stated = statement("d-1", data, SENT, ENGINE)
        assert len(stated["incompatible_content_explanation"]) == 2000
        assert len(stated["decision_facts"]) == 5000

    def test_without_its_policy_the_category_is_the_general_one(self) -> None:
        assert statement("d-1", stored(ENGINE), SENT, None)["category"] == "STATEMENT_CATEGORY_OTHER_VIOLATION_TC"

    @pytest.mark.parametrize(
        ("field", "value"), [("statement_category", "STATEMENT_CATEGORY_X"), ("statement_keywords", "[KEYWORD_X]")]
    )
    def test_a_word_the_database_does_not_know_is_refused_at_load(self, field: str, value: str) -> None:
        with pytest.raises(PolicyInvalid, match="the transparency database has no"):
            an_engine(a_rule(**{field: value}))

    def test_the_shipped_rules_name_words_the_database_knows(self, starter: PolicyEngine) -> None:
        named = [rule.text for rule in starter.rules if rule.text.statement_category]
        assert len(named) >= 8
        assert all(set(text.statement_keywords) <= KEYWORDS for text in named)


def test_a_cap_is_for_rules_that_reject() -> None:
    with pytest.raises(PolicyInvalid, match="max_daily_rejections is for rules that reject"):
        an_engine(a_rule(action="review", max_daily_rejections="5"))


class TestBundles:
    def test_what_is_loaded_can_be_loaded_again_from_its_own_files(self) -> None:
        shipped = load_policy()
        again = load_bundle(shipped.bundle)
        assert again.policy.version == shipped.policy.version == shipped.bundle.version
        assert [one.rule.id for one in again.rules] == [one.rule.id for one in shipped.rules]
        assert again.lexicon.versions == shipped.lexicon.versions

    def test_every_byte_of_every_file_counts(self, write: WritePolicy) -> None:
        files: dict[str, str | bytes] = {"bad.txt": "\ufeffone\r\ntwo\n# end"}
        text = "policy: test\nwordlists: {bad: bad.txt}\nrules:\n" + a_rule()
        first = load_policy(write(text, files)).bundle
        assert first.files["bad.txt"] == "\ufeffone\r\ntwo\n# end"
        assert load_bundle(first).policy.version == first.version
        other = load_policy(write(text, {"bad.txt": "\ufeffone\ntwo\n# end"})).bundle
        assert other.version != first.version


def test_order_and_layout_are_no_difference() -> None:
    first, other = an_engine(a_rule("a"), a_rule("b")), an_engine("# a comment\n", a_rule("b"), a_rule("a"))
    found = differences(first.loaded, other.loaded)
    assert found["from"]["version"] != found["to"]["version"]
    assert is_same(found)
