"""Word lists and messages by language: which are searched where, and that every shipped rule speaks all four."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.errors import PolicyInvalid
from domain.moderation import Decision
from tests.factories import a_job, a_stored_photo, an_observation
from tests.worker.policy.conftest import HEAD, WritePolicy, a_rule
from worker.policy.engine import PolicyEngine
from worker.policy.loading import STARTER_PACK, load_policy

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
LANGUAGES = ("en", "de", "fr", "es")
PHOTO = a_stored_photo(width=1200, height=900)


def judged(engine: PolicyEngine, lines: tuple[str, ...] = (), **job: Any) -> Decision:
    return engine.decide(a_job(**job), PHOTO, an_observation(lines=lines), NOON)


SAYINGS = [
    ("en", "counterfeit", "1:1 replica, mirror quality"),
    ("de", "counterfeit", "Produktfaelschung"),
    ("de", "drugs", "Cannabisblüten günstig"),
    ("de", "off_platform", "Bestellung per WhatsApp"),
    ("de", "abuse", "Ausländer raus"),
    ("fr", "counterfeit", "copie parfaite"),
    ("fr", "drugs", "CHAMPIGNONS HALLUCINOGENES"),
    ("fr", "off_platform", "prix en MP"),
    ("fr", "abuse", "mort aux juifs"),
    ("es", "counterfeit", "falsificaciones baratas"),
    ("es", "drugs", "setas alucinógenas"),
    ("es", "off_platform", "escríbeme por WhatsApp"),
    ("es", "abuse", "muerte a los moros"),
    ("de", "promotion", "Jetzt kaufen"),
    ("fr", "promotion", "SOLDES D'ÉTÉ"),
    ("es", "promotion", "envío gratis"),
]


@pytest.mark.parametrize(("language", "name", "said"), SAYINGS)
def test_each_list_is_searched_in_pictures_and_for_its_own_sellers(
    starter: PolicyEngine, language: str, name: str, said: str
) -> None:
    for locale in (f"{language}-XX", None):
        signals = starter.signals(a_job(title=said, locale=locale), PHOTO, an_observation(lines=(said,)))
        for found in (signals["text_terms"], signals["seller_terms"]):
            assert (name, language) in {(hit["list"], hit["language"]) for hit in found}, locale
    elsewhere = starter.signals(a_job(title=said, locale="it-IT"), PHOTO, an_observation(lines=(said,)))
    assert [hit["list"] for hit in elsewhere["text_terms"]]
    assert bool(elsewhere["seller_terms"]) is (language == "en")


def test_lists_have_between_twenty_and_sixty_terms() -> None:
    for path in STARTER_PACK.parent.glob("wordlists/??/*.txt"):
        terms = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
        assert 20 <= len(terms) <= 60, path


def test_every_list_is_shipped_in_every_language() -> None:
    names = {
        language: {path.name for path in STARTER_PACK.parent.glob(f"wordlists/{language}/*")} for language in LANGUAGES
    }
    assert len({frozenset(files) for files in names.values()}) == 1


def test_every_shipped_rule_has_a_message_of_its_own_in_every_language(starter: PolicyEngine) -> None:
    for rule in starter.policy.rules:
        messages = [rule.message_in(language) for language in LANGUAGES]
        assert len(set(messages)) == len(LANGUAGES), f"{rule.id} lacks a translation"


@pytest.mark.parametrize(
    ("locale", "begins"),
    [
        ("de-DE", "Das Bild"),
        ("fr-CA", "L'image"),
        ("es-AR", "La imagen"),
        ("nl-NL", "The picture"),
        (None, "The picture"),
    ],
)
def test_the_decision_carries_the_message_in_the_sellers_language(
    starter: PolicyEngine, locale: str | None, begins: str
) -> None:
    decision = judged(starter, ("REPLICA",), locale=locale)
    (finding,) = decision.as_json()["findings"]
    assert isinstance(finding["message"], str)
    assert finding["message"].startswith(begins)
    assert starter.again(decision.receipt).as_json() == decision.as_json()


def test_a_language_is_added_by_naming_its_files(write: WritePolicy) -> None:
    lists = "wordlists: {bad: {fuzzy: true, files: {en: en.txt, it: it/bad.txt, any: any.txt}}}"
    head = f"policy: test\n{lists}\nrules:\n"
    message = "{en: Use another photo., it: Usa un'altra foto.}"
    rule = a_rule(causes="seller_terms", message=message).replace(
        "{objects: [knife]}", "{seller: {title: contraffatto}}"
    )
    files: dict[str, str | bytes] = {"en.txt": "forgery\n", "it/bad.txt": "contraffatto\n", "any.txt": "acme\n"}
    engine = PolicyEngine.load(write(head + rule, files))
    said = "forgery, contraffato, acme"
    signals = engine.signals(a_job(title=said, locale="it-IT"), PHOTO, an_observation())
    assert [(hit["term"], hit["language"], hit["how"]) for hit in signals["seller_terms"]] == [
        ("forgery", "en", "exact"),
        ("contraffatto", "it", "fuzzy"),
        ("acme", "", "exact"),
    ]
    signals = engine.signals(a_job(title=said, locale="fr-FR"), PHOTO, an_observation())
    assert [hit["term"] for hit in signals["seller_terms"]] == ["forgery", "acme"]
    assert judged(engine, title=said, locale="it").findings[0].message == "Usa un'altra foto."


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"message": "{de: Nimm ein anderes Foto.}"}, "no English"),
        ({"message": "{en: Use another photo., de: Nimm ein anderes Foto}"}, "full stop"),
        ({"message": "{en: Use another photo., german: Nimm ein anderes Foto.}"}, "german"),
        ({"message": "{}"}, "no English"),
    ],
)
def test_messages_that_would_leave_a_seller_without_words_are_refused(
    changes: dict[str, str], why: str, write: WritePolicy
) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        load_policy(write(HEAD + a_rule(**changes)))
    assert any(problem.startswith("policy.yaml:10:") and why in problem for problem in refused.value.problems)


@pytest.mark.parametrize(
    "spec", ["{files: {}}", "{files: {english: en.txt}}", "{fuzzy: true}", "{files: {en: en.txt}, fuzy: true}"]
)
def test_word_lists_without_a_language_or_a_file_are_refused(spec: str, write: WritePolicy) -> None:
    with pytest.raises(PolicyInvalid, match=r"policy\.yaml:2:"):
        load_policy(write(f"policy: test\nwordlists: {{bad: {spec}}}\nrules:\n" + a_rule(), {"en.txt": "forgery\n"}))
