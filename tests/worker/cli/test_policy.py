"""shelfguard policy check | test | list, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from worker.cli.policy import policy_app


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
