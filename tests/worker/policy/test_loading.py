"""Policies that must be refused, each with file, line and remedy; and what a good one becomes."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.errors import PolicyInvalid
from domain.moderation import Mode, Verdict
from tests.factories import a_job, a_stored_photo, an_observation
from tests.worker.policy.conftest import HEAD, WritePolicy, a_rule
from worker.policy.engine import PolicyEngine
from worker.policy.loading import load_policy


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(PolicyInvalid) as refused:
        PolicyEngine.load(path)
    return refused.value.problems


def test_a_good_policy_becomes_rules(write: WritePolicy) -> None:
    path = write(
        HEAD
        + a_rule(
            scope="{tenants: [acme], channels: [ebay]}",
            effective_from="2026-12-01",
            effective_to="2027-01-31T12:00:00+02:00",
            mode="shadow",
        )
    )
    (rule,) = load_policy(path).policy.rules
    assert (rule.id, rule.severity, rule.action, rule.mode) == ("some.rule", 4, Verdict.REJECT, Mode.SHADOW)
    assert (rule.tenants, rule.channels) == (("acme",), ("ebay",))
    assert rule.effective_from == datetime(2026, 12, 1, tzinfo=UTC)
    assert rule.effective_to == datetime(2027, 1, 31, 10, tzinfo=UTC)


def test_a_directory_stands_for_its_policy_file(write: WritePolicy) -> None:
    path = write(HEAD + a_rule())
    assert load_policy(path.parent).policy.version == load_policy(path).policy.version


def test_the_version_is_a_digest_of_every_file(write: WritePolicy) -> None:
    head = "policy: test\nwordlists: {bad: words/bad.txt}\nrules:\n"
    first = load_policy(write(head + a_rule(), {"words/bad.txt": "one\n"}))
    same = load_policy(write(head + a_rule(), {"words/bad.txt": "one\n"}))
    other = load_policy(write(head + a_rule(), {"words/bad.txt": "two\n"}))
    assert first.policy.version == same.policy.version != other.policy.version
    assert first.lexicon.versions == {"words/bad.txt": hashlib.sha256(b"one\n").hexdigest()}


def test_included_files_share_thresholds_and_lists(write: WritePolicy) -> None:
    part = "policy: part\nthresholds: {sure: 0.5}\nvocabulary: [names.yaml]\nrules:\n" + a_rule(
        "part.rule", 'objects.filter(o, o.group == "blades" && o.score > threshold.sure)'
    )
    main = "policy: main\ninclude: [part.yaml]\nrules:\n" + a_rule("main.rule")
    path = write(main, {"part.yaml": part, "names.yaml": "groups: {blades: [knife]}\n"})
    engine = PolicyEngine.load(path)
    assert engine.policy.id == "main"
    assert [rule.id for rule in engine.policy.rules] == ["main.rule", "part.rule"]


# Cases 60 to 66 of the catalogue of bad inputs, and their neighbours. Each: file, what the sentence must name.
REFUSED = {
    "60 python tag": ("policy: !!python/object/apply:os.system ['true']\n", "policy.yaml:1:", "tag"),
    "60 local tag": (HEAD + a_rule(message="!include /etc/passwd"), "policy.yaml:", "tag"),
    "61 alias": ("policy: &a test\ninclude: [*a]\n", "policy.yaml:1:", "anchor"),
    "62 bad regular expression": (HEAD + a_rule(when="caption.matches('(a')"), "policy.yaml:6:", "regular expression"),
    "63 no rules": ("policy: test\n", "policy.yaml:1:", "no rules"),
    "63 empty file": ("", "policy.yaml:1:", "not a map"),
    "63 no causes": (HEAD + a_rule(causes="[]"), "policy.yaml:11:", "causes"),
    "63 blank cause": (HEAD + a_rule(causes='""'), "policy.yaml:11:", "causes"),
    "63 dates contradict": (
        HEAD + a_rule(effective_from="2027-01-01", effective_to="2026-01-01"),
        "policy.yaml:4:",
        "effective_to is not after effective_from",
    ),
    "63 action contradicts severity": (HEAD + a_rule(severity="0"), "policy.yaml:4:", "contradict"),
    "63 condition contradicts itself": (
        HEAD + a_rule(when="text_share > 0.9 && text_share < 0.1"),
        "policy.yaml:4:",
        "expects match and got no_match",
    ),
    "63 same id twice": (HEAD + a_rule() + a_rule(), "policy.yaml:18:", "some.rule"),
    "64 unknown field": (HEAD + a_rule(treshold="0.5"), "policy.yaml:6:", "treshold"),
    "64 unknown signal": (HEAD + a_rule(causes="objekts"), "policy.yaml:11:", "undeclared reference to 'objekts'"),
    "64 unknown signal field": (
        HEAD + a_rule(causes='objects.filter(o, o.lable == "x")'),
        "policy.yaml:11:",
        "its fields are label, group, score",
    ),
    "64 unknown scene field": (
        HEAD + a_rule().replace("objects: [knife]", "object: [knife]"),
        "policy.yaml:13:",
        "object",
    ),
    "64 unknown channel": (HEAD + a_rule(scope="{channels: [amazon]}"), "policy.yaml:6:", "amazon_main"),
    "64 scope of nobody": (HEAD + a_rule(scope="{tenants: []}"), "policy.yaml:6:", "empty list"),
    "65 threshold not a number": ("policy: test\nthresholds: {t: .nan}\n", "policy.yaml:2:", "from 0 to 1"),
    "65 threshold negative": ("policy: test\nthresholds: {t: -1}\n", "policy.yaml:2:", "from 0 to 1"),
    "65 threshold two": ("policy: test\nthresholds: {t: 2}\n", "policy.yaml:2:", "from 0 to 1"),
    "65 threshold infinite": ("policy: test\nthresholds: {t: .inf}\n", "policy.yaml:2:", "from 0 to 1"),
    "65 threshold true": ("policy: test\nthresholds: {t: true}\n", "policy.yaml:2:", "number"),
    "65 literal beyond range": (HEAD + a_rule(causes="objects.filter(o, o.score >= 50.0)"), "policy.yaml:11:", "50.0"),
    "65 literal negative": (HEAD + a_rule(when="text_share > -1.0"), "policy.yaml:6:", "-1.0"),
    "65 unknown threshold": (HEAD + a_rule(when="text_share > threshold.big"), "policy.yaml:6:", "threshold.big"),
    "66 includes itself": ("policy: test\ninclude: [policy.yaml]\n", "policy.yaml:2:", "circle"),
    "wrong type": (HEAD + a_rule(when="caption > 3"), "policy.yaml:6:", "'(string, int)'"),
    "when not a truth value": (HEAD + a_rule(when="caption"), "policy.yaml:6:", "true or false"),
    "cause not a list of signals": (HEAD + a_rule(causes="text_share"), "policy.yaml:11:", "list of signal items"),
    "expression unfinished": (HEAD + a_rule(causes="objects.filter(o,"), "policy.yaml:11:", "Syntax error"),
    "expression breaks out": (HEAD + a_rule(when="true) || (true"), "policy.yaml:6:", "Syntax error"),
    "fails on an empty photo": (HEAD + a_rule(when="objects[0].score > 0.5"), "policy.yaml:6:", "without any finding"),
    "duplicate key": (HEAD + a_rule() + "policy: again\n", "policy.yaml:17:", "'policy' twice"),
    "severity out of steps": (HEAD + a_rule(severity="5"), "policy.yaml:7:", "0, 2, 4 or 6"),
    "severity as text": (HEAD + a_rule(severity='"4"'), "policy.yaml:7:", "0, 2, 4 or 6"),
    "mode unknown": (HEAD + a_rule(mode="on"), "policy.yaml:9:", "mode"),
    "on_error approves": (HEAD + a_rule(on_error="approve"), "policy.yaml:6:", "review"),
    "no sentence": (HEAD + a_rule(message="Bad photo, sorry"), "policy.yaml:10:", "full stop"),
    "no tests": (HEAD + a_rule().split("    tests:")[0], "policy.yaml:4:", "tests"),
    "one-sided tests": (HEAD + a_rule().replace("no_match", "match"), "policy.yaml:4:", "no_match"),
    "no such day": (HEAD + a_rule(effective_from="2026-13-45"), "policy.yaml:6:", "2026-13-45"),
    "not YAML": ("policy: [test\n", "policy.yaml:", "not YAML"),
    "control characters": ("policy: te\x01st\n", "policy.yaml:1:", "characters"),
    "two documents": ("policy: test\n---\npolicy: test\n", "policy.yaml:2:", "several documents"),
    "nested too deep": ("policy: " + "[" * 60 + "]" * 60 + "\n", "policy.yaml:1:", "nested"),
    "outside the directory": ("policy: test\ninclude: [../other.yaml]\n", "policy.yaml:2:", "include"),
    "missing file": ("policy: test\nvocabulary: [names.yaml]\n", "names.yaml:1:", "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_policies_are_refused_with_place_and_remedy(case: str, write: WritePolicy) -> None:
    content, place, named = REFUSED[case]
    found = problems(write(content))
    assert any(problem.startswith(place) and named in problem for problem in found), found


def test_billion_laughs_are_refused_before_they_grow(write: WritePolicy) -> None:
    lines = ["a0: &a0 [lol]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    before = time.process_time()
    assert "anchor" in problems(write("\n".join(lines)))[0]
    assert time.process_time() - before < 1


def test_a_circle_of_includes_is_refused(write: WritePolicy) -> None:
    files: dict[str, str | bytes] = {
        "b.yaml": "policy: b\ninclude: [c.yaml]\n",
        "c.yaml": "policy: c\ninclude: [b.yaml]\n",
    }
    (problem,) = problems(write("policy: a\ninclude: [b.yaml]\nrules:\n" + a_rule(), files))
    assert problem.startswith("c.yaml:2:") and "b.yaml" in problem


def test_a_link_out_of_the_directory_is_refused(write: WritePolicy, tmp_path: Path) -> None:
    inside = tmp_path / "policy"
    inside.mkdir()
    (tmp_path / "secret.txt").write_text("password\n")
    (inside / "list.txt").symlink_to(tmp_path / "secret.txt")
    path = inside / "policy.yaml"
    path.write_text("policy: test\nwordlists: {bad: list.txt}\nrules:\n" + a_rule())
    (problem,) = problems(path)
    assert "outside" in problem and "password" not in problem


def test_an_oversized_file_is_refused_unread(write: WritePolicy) -> None:
    (problem,) = problems(write("policy: test\n" + "#" * 600_000))
    assert "512 KB" in problem


@pytest.mark.parametrize(
    ("content", "named"), [(b"\xff\xfe", "UTF-8"), (b"# nothing\n", "0 terms"), (b"ok\n---\n", "'---'")]
)
def test_bad_word_lists_are_refused(content: bytes, named: str, write: WritePolicy) -> None:
    path = write("policy: test\nwordlists: {bad: bad.txt}\nrules:\n" + a_rule(), {"bad.txt": content})
    found = problems(path)
    assert any(problem.startswith("bad.txt:") and named in problem for problem in found), found


def test_all_problems_are_reported_at_once(write: WritePolicy) -> None:
    path = write(HEAD + a_rule("one", causes="nothing") + a_rule("two", causes="caption") + a_rule("three"))
    assert len(problems(path)) == 2


def test_a_catastrophic_expression_costs_no_time(write: WritePolicy) -> None:
    path = write(HEAD + a_rule(when="""'!caption.matches("^(a+)+$")'"""))
    engine = PolicyEngine.load(path)
    seen = engine.signals(a_job(), a_stored_photo(), an_observation(caption="a" * 5_000 + "!"))
    before = time.process_time()
    causes = engine.policy.rules[0].condition(seen)
    assert causes
    assert time.process_time() - before < 0.5


def test_a_refused_policy_leaves_the_engine_at_work(write: WritePolicy) -> None:
    path = write(HEAD + a_rule())
    engine = PolicyEngine.load(path)
    version = engine.policy.version
    path.write_text("policy: [")
    with pytest.raises(PolicyInvalid):
        PolicyEngine.load(path)
    assert engine.policy.version == version
    assert all(outcome.passed for outcome in engine.run_tests())
