"""shelfguard policy check | test | list, through the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from domain.errors import PolicyInvalid, TaxonomyRefused
from domain.taxonomy import Taxonomy
from worker.cli.policy import policy_app
from worker.policy.loading import STARTER_PACK
from worker.taxonomy.files import shipped, write_compact


def run(*arguments: str) -> Result:
    return CliRunner().invoke(policy_app, arguments)


@pytest.fixture
def broken(tmp_path: Path) -> str:
    path = tmp_path / "broken.yaml"
    path.write_text("policy: test\nthresholds: {sure: 2}\ncolour: red\n")
    return str(path)


@pytest.fixture
def failing(tmp_path: Path) -> str:
    path = tmp_path / "failing.yaml"
    path.write_text(
        """
policy: test
rules:
  - id: dark
    version: 1
    policy_code: DARK
    severity: 2
    action: review
    mode: live
    message: Take the picture again with more light.
    when: pixels.brightness < 0.1
    causes: "[pixels]"
    tests:
      - {given: {pixels: {brightness: 0.2}}, expect: match}
      - {given: {pixels: {brightness: 0.9}}, expect: no_match}
"""
    )
    return str(path)


def test_check_accepts_the_starter_pack() -> None:
    result = run("check")
    assert result.exit_code == 0
    assert "Policy starter is in order" in result.stdout


def test_check_refuses_with_all_problems(broken: str) -> None:
    result = run("check", broken)
    assert result.exit_code == 1
    assert "broken.yaml:2:" in result.stderr
    assert "broken.yaml:3: colour: there is no such field" in result.stderr


def test_check_refuses_a_policy_that_fails_its_tests(failing: str) -> None:
    result = run("check", failing, "--json")
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem.startswith("failing.yaml:4: test 1 of rule dark expects match and got no_match")


def test_check_names_a_missing_file() -> None:
    result = run("check", "no-such-policy.yaml")
    assert result.exit_code == 1
    assert "no-such-policy.yaml:1: cannot be read" in result.stderr


def test_test_prints_each_test_and_fails(failing: str) -> None:
    result = run("test", failing)
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "1 passed, 1 failed." in result.stdout


def test_test_passes_on_the_starter_pack() -> None:
    result = run("test", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["failed"] == []


def test_list_prints_rules_and_signals() -> None:
    rules = json.loads(run("list", "--json").stdout)
    assert {"id", "action", "severity", "mode", "message", "where"} <= set(rules["rules"][0])
    signals = json.loads(run("list", "--signals", "--json").stdout)["signals"]
    assert {"objects", "caption", "contacts"} <= {one["name"] for one in signals}
    assert "goods.weapon" in run("list").stdout
    assert ".share_of_picture" in run("list", "--signals").stdout


def test_list_prints_packs_by_channel_with_numbers_sources_and_what_is_not_checked() -> None:
    packs = {one["channel"]: one for one in json.loads(run("list", "--packs", "--json").stdout)["packs"]}
    assert {"google_merchant", "amazon_main", "ebay", "meta", "etsy", "own_shop"} <= set(packs)
    (white,) = [rule for rule in packs["amazon_main"]["rules"] if rule["id"] == "amazon_main.background"]
    assert (white["action"], white["severity"], white["limits"]["off_white"]) == ("reject", 4, "25 levels")
    shown = run("list", "--packs").stdout
    assert "google_merchant.below_500_warning: warn, severity 0" in shown
    assert "shorter_side 500 px; from 2027-01-31; reported, read 2026-11-24" in shown
    assert "Not checked: The file has at most 16 MB" in shown
    assert "https://www.ebay.com/help/policies/listing-policies/picture-policy?id=4370" in shown
    assert "official" in run("list").stdout


class TestTheTaxonomyOfTheSetting:
    """Commands check and compare policies by the taxonomy that workers judge by."""

    @pytest.fixture
    def without_radar(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        known = shipped()
        kept = [one for one in known if not (one.id == "el-14" or one.id.startswith("el-14-"))]
        path = tmp_path / "other.json.gz"
        write_compact(Taxonomy("other", kept), path)
        monkeypatch.setenv("SHELFGUARD_TAXONOMY", str(path))
        return str(path)

    @pytest.mark.parametrize("command", [["check"], ["test"], ["list"], ["publish", str(STARTER_PACK)]])
    def test_a_category_that_it_lacks_is_refused_with_file_line_and_remedy(
        self, without_radar: str, command: list[str]
    ) -> None:
        result = run(*command)
        assert result.exit_code == 1
        assert re.search(
            r"categories\.yaml:\d+: there is no category 'el-14' in other; see `shelfguard taxonomy list --find`",
            " ".join(result.stderr.split()),
        )

    def test_a_file_that_is_no_taxonomy_is_said_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "broken.json.gz").write_bytes(b"nothing")
        monkeypatch.setenv("SHELFGUARD_TAXONOMY", str(tmp_path / "broken.json.gz"))
        assert isinstance(run("check").exception, TaxonomyRefused)

    def test_files_are_compared_by_it(self, without_radar: str) -> None:
        failed = run("diff", str(STARTER_PACK), str(STARTER_PACK)).exception
        assert isinstance(failed, PolicyInvalid)
        assert "'el-14' in other" in str(failed)
