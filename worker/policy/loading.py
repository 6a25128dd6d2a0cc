"""Policy files -> domain Policy with compiled conditions. All problems are reported at once, each with file and line.

A policy is one YAML file with what it includes and names: object vocabularies, word lists, allowed phrases. Everything
lies in or below the policy file's own directory. A directory stands for the `policy.yaml` in it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from domain.errors import PolicyInvalid, RuleFailed
from domain.moderation import Mode, Policy, Rule, Verdict
from domain.opinions import Answer, SecondOpinion
from domain.policies import Bundle
from domain.taxonomy import Taxonomy
from worker.policy.conditions import ConditionRefused, Conditions
from worker.policy.envelope import ANY, InlineTest, NotChecked, PolicyFile, RuleEnvelope, VocabularyFile
from worker.policy.scenes import Scene
from worker.policy.shorthand import subtrees_in
from worker.policy.signals import Subject, compute, registered
from worker.policy.words.lexicon import Lexicon
from worker.policy.words.lists import ANY_LANGUAGE, WordList
from worker.policy.words.vocabulary import Vocabulary
from worker.policy.yaml_reader import MOST_BYTES, Place, YamlFile, YamlRefused, parse, read_bytes, within
from worker.taxonomy.files import shipped

STARTER_PACK = Path(__file__).with_name("packs") / "starter.yaml"
MOST_RULES = 500
MOST_FILES = 50
MOST_TERMS = 20_000
MOST_LIST_BYTES = 2 * 1024 * 1024

Shape = TypeVar("Shape", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule with its text, its inline tests and where it is written."""

    rule: Rule
    text: RuleEnvelope
    where: str  # file:line

    @property
    def tests(self) -> tuple[InlineTest, ...]:
        return tuple(self.text.tests)

    @property
    def when(self) -> str | None:
        """What is compiled as its condition, the categories in its scope included."""
        return _in_categories(self.text)


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    policy: Policy
    rules: tuple[LoadedRule, ...]
    conditions: Conditions
    lexicon: Lexicon
    bundle: Bundle
    words: PolicyWords
    not_checked: tuple[NotChecked, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyWords:
    """What a policy brings along besides rules, as it is written: for telling two versions apart."""

    thresholds: Mapping[str, float]
    groups: Mapping[str, tuple[str, ...]]
    innocent: tuple[str, ...]
    lists: Mapping[str, tuple[str, ...]]  # by list and language: "counterfeit (de)"
    fuzzy: Mapping[str, bool]  # by the same names
    allowed: tuple[str, ...]
    known: tuple[str, ...]
    kinds: Mapping[str, tuple[str, ...]]
    no_kind: tuple[str, ...]
    brands: tuple[str, ...]
    subtrees: Mapping[str, tuple[str, ...]]


def load_policy(path: Path | None = None, taxonomy: Taxonomy | None = None) -> LoadedPolicy:
    """Read and compile the policy at `path` (a file or a directory; None = the shipped starter pack).

    `taxonomy` is what its categories are checked against and sellers' words are matched to; None = the shipped one.

    Raises PolicyInvalid with every problem found.
    """
    start = STARTER_PACK if path is None else path / "policy.yaml" if path.is_dir() else path
    return _Reader(start.resolve().parent, taxonomy or shipped()).load(start.resolve().name)


def load_bundle(bundle: Bundle, taxonomy: Taxonomy | None = None) -> LoadedPolicy:
    """Compile a policy from its kept files. Raises PolicyInvalid with every problem found."""
    return _of_bundle(bundle, taxonomy).load(bundle.entry)


def load_words(bundle: Bundle, taxonomy: Taxonomy | None = None) -> PolicyWords:
    """What a kept version brings along besides rules, none of it compiled. Raises PolicyInvalid."""
    return _of_bundle(bundle, taxonomy).words(bundle.entry)


def _of_bundle(bundle: Bundle, taxonomy: Taxonomy | None) -> _Reader:
    given = {name: text.encode(errors="surrogatepass") for name, text in bundle.files.items()}
    return _Reader(Path(), taxonomy or shipped(), given)


def scene_signals(scene: Scene, lexicon: Lexicon) -> dict[str, Any]:
    """The signals a photo like this would have."""
    return compute(Subject(scene.job(), scene.photo(), scene.seen(), lexicon, scene.recalled()))


@dataclass
class _Reader:
    """Reads below `root`, or from the `given` files where there are any."""

    root: Path
    taxonomy: Taxonomy
    given: Mapping[str, bytes] | None = None
    problems: list[str] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    policies: dict[str, tuple[PolicyFile, YamlFile]] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    innocent: list[str] = field(default_factory=list)
    subtrees: dict[str, list[str]] = field(default_factory=dict)
    lists: list[WordList] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    kinds: dict[str, list[str]] = field(default_factory=dict)
    no_kind: list[str] = field(default_factory=list)
    brands: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def load(self, entry: str) -> LoadedPolicy:
        self.policy_file(entry, "", 1)
        self.stop_if_problems()
        loaded = self.assemble()
        self.stop_if_problems()
        return loaded

    def words(self, entry: str) -> PolicyWords:
        self.policy_file(entry, "", 1)
        self.stop_if_problems()
        return self._words()

    def problem(self, name: str, line: int, why: str) -> None:
        self.problems.append(f"{name}:{line}: {why}")

    def stop_if_problems(self) -> None:
        if self.problems:
            raise PolicyInvalid(self.problems)

    def policy_file(self, name: str, named_in: str, line: int) -> None:
        """Read one policy file and everything it names, depth first."""
        if name in self._open:
            self.problem(named_in, line, f"includes {name}, which is already being included; break the circle.")
            return
        if name in self.policies:
            return
        read = self._shape(name, PolicyFile)
        if read is None:
            return
        content, source = read
        self.policies[name] = (content, source)
        self._open.append(name)
        for index, included in enumerate(content.include):
            self.policy_file(included, name, source.line(("include", index)))
        self._open.pop()
        self._named_files(name, content, source)

    def _named_files(self, name: str, content: PolicyFile, source: YamlFile) -> None:
        for threshold, value in content.thresholds.items():
            if threshold in self.thresholds:
                line = source.line(("thresholds", threshold))
                self.problem(name, line, f"sets {threshold!r} a second time; keep one.")
            self.thresholds[threshold] = value
        for file in content.vocabulary:
            self._vocabulary(file, self.groups, self.innocent)
        for file in content.kinds:
            self._vocabulary(file, self.kinds, self.no_kind)
        for list_name, spec in content.wordlists.items():
            if any(one.name == list_name for one in self.lists):
                self.problem(name, source.line(("wordlists", list_name)), f"names list {list_name!r} again; rename it.")
            self.lists += [
                WordList(list_name, tuple(self._terms(file)), ANY_LANGUAGE if language == ANY else language, spec.fuzzy)
                for language, file in spec.files.items()
            ]
        for file in content.allowed_phrases:
            self.allowed += self._terms(file)
        for file in content.known_words:
            self.known += self._terms(file)
        for file in content.brands:
            self.brands += self._terms(file)

    def _vocabulary(self, name: str, groups: dict[str, list[str]], innocent: list[str]) -> None:
        if name in self.contents:
            return
        if read := self._shape(name, VocabularyFile):
            for group, terms in read[0].groups.items():
                groups.setdefault(group, []).extend(terms)
            innocent += read[0].innocent
            for group, roots in read[0].subtrees.items():
                self._known_categories(roots, name, read[1].line(("subtrees", group)))
                self.subtrees.setdefault(group, []).extend(roots)

    def _known_categories(self, ids: Sequence[str], name: str, line: int) -> None:
        for id in ids:
            if id not in self.taxonomy and id != "*":
                why = f"there is no category {id!r} in {self.taxonomy.version}; see `shelfguard taxonomy list --find`."
                self.problem(name, line, why)

    def _terms(self, name: str) -> list[str]:
        """A word list: one term a line, # starts a comment."""
        data = self._bytes(name, MOST_LIST_BYTES)
        if data is None:
            return []
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            self.problem(name, 1, "is not UTF-8; save it as UTF-8.")
            return []
        terms = [term for line in text.splitlines() if (term := line.split("#")[0].strip())]
        for number, line in enumerate(text.splitlines(), 1):
            term = line.split("#")[0].strip()
            if term and not any(char.isalnum() for char in term):
                self.problem(name, number, f"{term!r} has no letter or digit, so it can never be found; remove it.")
        if not 0 < len(terms) <= MOST_TERMS:
            self.problem(name, 1, f"has {len(terms)} terms; a list holds from 1 to {MOST_TERMS}.")
        return terms

    def _bytes(self, name: str, most: int = MOST_BYTES) -> bytes | None:
        if len(self.contents) >= MOST_FILES and name not in self.contents:
            self.problem(name, 1, f"is one file too many; a policy has at most {MOST_FILES}.")
            return None
        try:
            data = self._given(name, most) if self.given is not None else self._on_disk(name, most)
        except YamlRefused as error:
            self.problem(name, error.line, str(error))
            return None
        self.contents[name] = data
        return data

    def _on_disk(self, name: str, most: int) -> bytes:
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root):
            raise YamlRefused(1, "lies outside the policy's directory; copy it there.")
        return read_bytes(path, most)

    def _given(self, name: str, most: int) -> bytes:
        data = (self.given or {}).get(name)
        if data is None:
            raise YamlRefused(1, "is not among the policy's files; send it along.")
        return within(data, most)

    def _shape(self, name: str, shape: type[Shape]) -> tuple[Shape, YamlFile] | None:
        data = self._bytes(name)
        if data is None:
            return None
        try:
            source = parse(data)
            if not isinstance(source.data, dict):
                raise YamlRefused(1, "is not a map of fields; see `shelfguard policy list` for a policy that checks.")
            return shape.model_validate(source.data), source
        except YamlRefused as error:
            self.problem(name, error.line, str(error))
        except ValidationError as error:
            for one in error.errors():
                place = tuple(one["loc"])
                self.problem(name, source.line(place), _sentence(place, one, shape))
        return None

    def assemble(self) -> LoadedPolicy:
        conditions = Conditions(registered(), self.thresholds)
        kinds = Vocabulary(self.kinds, self.no_kind)
        words = Lexicon.of(
            *(self.groups, self.innocent, self.lists, self.allowed, self._versions(), self.known),
            kinds=kinds,
            brands=self.brands,
        )
        lexicon = dataclasses.replace(
            words,
            subtrees=_tuples(self.subtrees),
            taxonomy=self.taxonomy,
        )
        bare = scene_signals(Scene(caption=""), lexicon)
        rules: list[LoadedRule] = []
        places: dict[str, str] = {}
        for name, (content, source) in self.policies.items():
            for index, envelope in enumerate(content.rules):
                line = source.line(("rules", index))
                if envelope.id in places:
                    self.problem(name, line, f"has the rule id {envelope.id!r} of {places[envelope.id]}; rename one.")
                places[envelope.id] = f"{name}:{line}"
                rule = self._rule(envelope, conditions, bare, name, source, index)
                if rule:
                    rules.append(LoadedRule(rule, envelope, f"{name}:{line}"))
        first = next(iter(self.policies))
        if not places:
            self.problem(first, 1, "has no rules, so it would approve everything; add at least one rule.")
        if len(places) > MOST_RULES:
            self.problem(first, 1, f"has {len(places)} rules; a policy has at most {MOST_RULES}.")
        bundle = Bundle(first, {name: data.decode() for name, data in self.contents.items()})
        policy = Policy(self.policies[first][0].policy, bundle.version, tuple(loaded.rule for loaded in rules))
        not_checked = tuple(one for content, _ in self.policies.values() for one in content.not_checked)
        return LoadedPolicy(policy, tuple(rules), conditions, lexicon, bundle, self._words(), not_checked)

    def _rule(
        self,
        envelope: RuleEnvelope,
        conditions: Conditions,
        bare: Mapping[str, Any],
        name: str,
        source: YamlFile,
        index: int,
    ) -> Rule | None:
        line = source.line(("rules", index, "when" if envelope.when else "causes"))
        self._known_categories(envelope.scope.categories, name, source.line(("rules", index, "scope", "categories")))
        for expression in (envelope.when or "", *envelope.causes):
            self._known_categories(tuple(subtrees_in(expression)), name, line)
        try:
            scope = tuple(sorted(envelope.scope.channels))
            condition = conditions.compile(_in_categories(envelope), envelope.causes, scope)
            condition(bare)  # a photo on which nothing was seen must not break a rule
        except ConditionRefused as error:
            self.problem(name, line, f"rule {envelope.id}: {error}")
            return None
        except RuleFailed as error:
            why = f"fails on a photo without any finding ({error}); guard it, e.g. with size(...) > 0."
            self.problem(name, line, f"rule {envelope.id}: {why}")
            return None
        return Rule(
            id=envelope.id,
            version=envelope.version,
            policy_code=envelope.policy_code,
            severity=envelope.severity,
            action=Verdict(envelope.action),
            message=envelope.message["en"],
            translations={language: text for language, text in envelope.message.items() if language != "en"},
            condition=condition,
            channels=tuple(envelope.scope.channels),
            tenants=tuple(envelope.scope.tenants),
            mode=Mode(envelope.mode),
            effective_from=envelope.effective_from,
            effective_to=envelope.effective_to,
            max_daily_rejections=envelope.max_daily_rejections,
            second_opinion=_second_opinion(envelope),
        )

    def _versions(self) -> dict[str, str]:
        """Digests of vocabularies and word lists."""
        return {
            name: hashlib.sha256(data).hexdigest()
            for name, data in sorted(self.contents.items())
            if name not in self.policies
        }

    def _words(self) -> PolicyWords:
        lists = {f"{one.name} ({one.language or ANY})": one for one in self.lists}
        return PolicyWords(
            thresholds=dict(self.thresholds),
            groups=_tuples(self.groups),
            innocent=tuple(self.innocent),
            lists={name: one.terms for name, one in lists.items()},
            fuzzy={name: one.fuzzy for name, one in lists.items()},
            allowed=tuple(self.allowed),
            known=tuple(self.known),
            kinds=_tuples(self.kinds),
            no_kind=tuple(self.no_kind),
            brands=tuple(self.brands),
            subtrees=_tuples(self.subtrees),
        )


def _second_opinion(envelope: RuleEnvelope) -> SecondOpinion | None:
    asked = envelope.second_opinion
    return None if asked is None else SecondOpinion(asked.question, Answer(asked.approve_when), asked.at_least)


def _tuples(lists: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(terms) for name, terms in lists.items()}


def _in_categories(envelope: RuleEnvelope) -> str | None:
    """`when`, and that the category is in the rule's scope. Where the category is unknown such a rule does not match.

    A condition and not a part of `Rule.applies`, so that a receipt's signals alone give the same decision again.
    """
    roots = envelope.scope.categories
    if "*" in roots:
        return envelope.when
    inside = " || ".join(f'"{root}" in category.ancestors' for root in roots)
    return f"({inside}) && ({envelope.when}\n)" if envelope.when else inside


def _sentence(place: Place, error: Mapping[str, Any], shape: type[BaseModel]) -> str:
    """One of pydantic's complaints as a sentence with a remedy."""
    path = ".".join(map(str, place)) or "the file"
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"{path}: there is no such field; correct its name or remove it."
    if kind == "missing":
        return f"{path}: this field is missing; add it."
    if kind == "value_error":
        return f"{path}: {error['ctx']['error']}."
    if kind == "string_pattern_mismatch":
        return f"{path}: {given!r} has not the form {error['ctx']['pattern']}; rename it."
    shown = repr(given) if len(repr(given)) <= 60 else repr(given)[:57] + "..."
    return f"{path}: {error['msg'][0].lower()}{error['msg'][1:]}, but it is {shown}; correct it."
