"""How often the shipped word lists accuse ordinary goods. The rates are printed; the bounds are generous."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.worker.policy.titles import innocent_titles
from worker.policy.engine import PolicyEngine
from worker.policy.loading import STARTER_PACK, load_policy, scene_signals
from worker.policy.scenes import Scene, SceneSeller
from worker.policy.words.lists import WordList
from worker.policy.words.terms import TermMatcher

AT = datetime(2026, 12, 1, 12, tzinfo=UTC)
DATA = Path(os.environ.get("SHELFGUARD_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


@pytest.fixture(scope="module")
def terms() -> TermMatcher:
    return load_policy().lexicon.terms


def report(what: str, count: int, alarms: list[tuple[str, str, str]], record: pytest.CaptureFixture[str]) -> None:
    with record.disabled():
        print(f"\n{what}: {len(alarms)} of {count:,} texts matched ({len(alarms) / count:.3%})")
        for term, how, text in alarms[:12]:
            print(f"  {term!r} ({how}) in {text[:70]!r}")


def alarms_of(terms: TermMatcher, texts: list[str]) -> list[tuple[str, str, str]]:
    """Promotional wording accuses nobody: it is plain commerce, and only channels' rules ask for it."""
    hits = ((hit, text) for text in texts for hit in terms.find(text))
    return [(hit.term, hit.how.value, text) for hit, text in hits if hit.list != "promotion"]


def test_titles_of_ordinary_goods_raise_no_alarm(terms: TermMatcher, capsys: pytest.CaptureFixture[str]) -> None:
    """Every list in every language against every title, as in a picture: Scunthorpe, bootleg jeans and all."""
    titles = [title for _, title in innocent_titles(4_000)]
    alarms = alarms_of(terms, titles)
    report("innocent titles", len(titles), alarms, capsys)
    assert len(alarms) <= 0.001 * len(titles)


def test_misspelt_titles_of_ordinary_goods_raise_few_alarms(
    terms: TermMatcher, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a reader makes of print: one letter of each title is another."""
    titles = [title[:9] + "e" + title[10:] for _, title in innocent_titles(4_000, seed=2)]
    alarms = alarms_of(terms, titles)
    report("misread innocent titles", len(titles), alarms, capsys)
    assert len(alarms) <= 0.002 * len(titles)


def test_the_names_of_all_goods_raise_few_alarms(terms: TermMatcher, capsys: pytest.CaptureFixture[str]) -> None:
    """Categories, attributes and values of a public taxonomy, and print on real photographs. "Marijuana" is in it."""
    if not (DATA / "taxonomy").is_dir():
        pytest.skip(f"the category taxonomy is not at hand at {DATA}")
    texts = sorted(_names_of_all_goods())
    for what, matcher in (("names of all goods", terms), ("the same without known words", _without_known_words())):
        alarms = alarms_of(matcher, texts)
        report(what, len(texts), alarms, capsys)
        assert len(alarms) <= 0.001 * len(texts)


def _without_known_words() -> TermMatcher:
    """The shipped lists without the words that were taken from this very taxonomy."""
    folder = STARTER_PACK.parent
    content = yaml.safe_load(STARTER_PACK.read_text("utf-8"))
    lists = [
        WordList(name, tuple(_terms(folder / file)), language, one["fuzzy"])
        for name, one in content["wordlists"].items()
        for language, file in one["files"].items()
    ]
    return TermMatcher(lists, [term for file in content["allowed_phrases"] for term in _terms(folder / file)])


def _terms(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def _names_of_all_goods() -> set[str]:
    texts: set[str] = set()
    for line in (DATA / "taxonomy" / "shopify_categories_2025-08.txt").read_text("utf-8").splitlines():
        if line.startswith("gid"):
            texts.add(line.split(" : ", 1)[1].split(" > ")[-1].strip())
    _collect(json.loads((DATA / "taxonomy" / "shopify_attributes_2025-08.json").read_text("utf-8")), texts)
    for line in (DATA / "manifest.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        texts |= {one["text"] for one in row["ocr"]} | {row["caption"] or ""}
        _collect(row["labels"], texts)
    return texts - {""}


def _collect(value: Any, texts: set[str]) -> None:
    if isinstance(value, str):
        texts.add(value)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _collect(part, texts)


def test_the_starter_rules_approve_ordinary_goods(starter: PolicyEngine) -> None:
    lexicon = load_policy().lexicon
    for language, title in innocent_titles(60, seed=3):
        scene = Scene(text=[title], seller=SceneSeller(title=title, locale=language))
        decision = starter.judge(scene_signals(scene, lexicon), "acme", ("own_shop",), AT, language)
        assert [one.rule for one in decision.findings if one.policy_code.startswith(("WORDS", "CONTACT"))] == [], title
