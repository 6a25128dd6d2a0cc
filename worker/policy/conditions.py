"""Rule conditions in CEL, typed by the registered signals. The only module that knows cel-expr-python and protobuf.

Signals with fields become protobuf message types, because that is how CEL checks field names and types when a rule is
compiled; with plain maps a misspelt field would only show when a photo is judged. CEL has no loops, its regular
expressions (RE2) are linear, and the engine ends any evaluation after 10,000 steps of comprehensions, so a rule cannot
hang a worker.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

from domain.errors import RuleFailed
from domain.moderation import Condition, Evidence, Signals
from worker.policy.shorthand import ShorthandRefused, with_subtrees
from worker.policy.signals import SHARE, Item, Kind, Signal

MOST_EXPRESSION = 4_000  # characters; a rule that needs more is several rules
MOST_EVIDENCE = 50  # causes kept of one rule; more tell a reviewer nothing new
MOST_JOINED = 50  # conditions evaluated together; their bits fit one 64-bit number
THRESHOLD = "threshold"
REPEATED = (Kind.NUMBERS, Kind.TEXTS)
# Raw words. Every group reads them, so that text that no database takes goes to a person whatever the rules read.
RAW = frozenset(("caption", "text", "second_text", "seller", "objects"))
GUARD = "inspected"  # a rule that asks this itself decides what to do about what was not measured
_NAME = re.compile(r"(?<![\w.])[a-z_]\w*")
_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"")

_FIELD_TYPES = {
    Kind.TEXT: descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    Kind.NUMBER: descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
    Kind.COUNT: descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    Kind.FLAG: descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    Kind.NUMBERS: descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
    Kind.TEXTS: descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
}
_CEL_TYPES = {
    Kind.TEXT: cel.Type.STRING,
    Kind.NUMBER: cel.Type.DOUBLE,
    Kind.COUNT: cel.Type.INT,
    Kind.FLAG: cel.Type.BOOL,
    Kind.NUMBERS: cel.Type.List(cel.Type.DOUBLE),
    Kind.TEXTS: cel.Type.List(cel.Type.STRING),
}
_PYTHON_TYPES: dict[Kind, type | tuple[type, ...]] = {
    Kind.TEXT: str,
    Kind.NUMBER: (float, int),
    Kind.COUNT: int,
    Kind.FLAG: bool,
    Kind.NUMBERS: list,
    Kind.TEXTS: list,
}


class ConditionRefused(Exception):
    """An expression that does not compile; the message says why and what to change."""


@dataclasses.dataclass(eq=False, slots=True)
class Group:
    """Conditions of one scope that are asked together: their tests, and the signals that they name."""

    scope: Hashable
    tests: list[str] = dataclasses.field(default_factory=list)
    reads: set[str] = dataclasses.field(default_factory=set)
    program: Any = None  # of all tests; made when first asked
    too_long: bool = False


class BoundSignals(Mapping[str, Any]):
    """Signals made ready for the rules of one policy, once for all of them. Reads like the plain signals.

    Nothing is made ready, or evaluated, before a rule asks for it: rules of channels that a photo is not for cost
    nothing but their place in memory.
    """

    __slots__ = ("_activations", "_conditions", "_ready", "_signals", "_together", "known", "unmeasured")

    def __init__(self, signals: Signals, conditions: Conditions, together: bool) -> None:
        self._signals = signals
        self._conditions = conditions
        self._together = together
        self._ready: dict[str, Any] = {}
        self._activations: dict[Group, Any] = {}
        self.known: dict[Group, int] = {}  # what `possible` said of groups before
        self.unmeasured = frozenset(name for name, value in signals.items() if value is None)

    def __getitem__(self, name: str) -> Any:
        return self._signals[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._signals)

    def __len__(self) -> int:
        return len(self._signals)

    def activation(self, group: Group) -> Any:
        """What the conditions of a group read. Raises RuleFailed."""
        made = self._activations.get(group)
        if made is None:
            made = self._activations[group] = self._conditions.activation(self._signals, group.reads, self._ready)
        return made

    def possible(self, group: Group) -> int:
        """One bit by place in the group: clear where the condition certainly yields nothing.

        All are set where a condition among them failed, as that voids the evaluation of its whole group: each rule is
        then evaluated alone, and only the failing one fails.
        """
        bits = -1
        if self._together and (program := self._conditions.program(group)) is not None:
            with suppress(RuleFailed):
                bits = _evaluate(program, self.activation(group))
        self.known[group] = bits
        return bits


def _evaluate(program: Any, activation: Any) -> Any:
    try:
        value = program.eval(activation)
    except RuntimeError as error:  # the evaluator's own limits, such as its iteration budget
        raise RuleFailed(str(error)) from error
    if value.type() == cel.Type.ERROR:
        raise RuleFailed(str(value.plain_value()))
    return value.plain_value()


class Conditions:
    """Compiles the conditions of one policy, and evaluates them together.

    `thresholds` are numbers in 0..1 that rules read as `threshold.<name>`.
    """

    def __init__(self, signals: Mapping[str, Signal], thresholds: Mapping[str, float]) -> None:
        self._signals = dict(signals)
        self._items = {one.type.kind: one.type for one in self._signals.values() if isinstance(one.type, Item)}
        pool = _message_types(self._items.values())
        self._messages = {
            kind: message_factory.GetMessageClass(pool.FindMessageTypeByName(item.type_name))
            for kind, item in self._items.items()
        }
        self._empty = {name: one.empty() for name, one in self._signals.items() if one.optional}
        self._readers = {name: self._reader(one) for name, one in self._signals.items()}
        self._by_type_name = {item.type_name: item for item in self._items.values()}
        self._thresholds = {f"{THRESHOLD}.{name}": float(value) for name, value in thresholds.items()}
        variables = {name: _cel_type(one) for name, one in self._signals.items()}
        self._env = cel.NewEnv(pool, variables=variables | dict.fromkeys(self._thresholds, cel.Type.DOUBLE))
        self._groups: dict[Hashable, Group] = {}  # by scope, those that still have a place
        self._unlikely = _literal_beyond_range(self._signals)

    def compile(self, when: str | None, causes: Sequence[str], scope: Hashable = None) -> Condition:
        """A condition that yields the items of all `causes` where `when` holds. Raises ConditionRefused.

        Conditions of one `scope` (anything hashable) are asked together, so rules that apply together share one. The
        condition itself raises RuleFailed when it cannot be evaluated.
        """
        when, causes = None if when is None else _written_out(when), [_written_out(source) for source in causes]
        if when is not None and self._check(when) != "BOOL":
            raise ConditionRefused("`when` must be true or false; use a comparison or a test such as .exists(...).")
        if not causes:
            raise ConditionRefused("`causes` is empty; name a list of signals, so that a match has evidence.")
        for source in causes:
            found = self._check(source)
            if not re.fullmatch(r"LIST<(signal\.\w+|MAP<STRING, \w+>)>", found):
                raise ConditionRefused(
                    f"`causes` must give a list of signal items such as objects.filter(o, ...), not {found.lower()}."
                )
        # Line ends keep a comment at the end of an expression from swallowing what follows it.
        condition = f"({when or 'true'}\n)"
        together = ", ".join(f"dyn({source}\n)" for source in causes)
        program = self._env.compile(f"{condition} ? [{together}] : []")
        # Not `&&`, which would take an error in `when` for a plain no where the causes are empty.
        found = " || ".join(f"size({source}\n) > 0" for source in causes)
        reads = self._reads(when, causes)
        group, place = self._join(scope, f"({condition} ? ({found}) : false)", reads)
        return self._condition(program, group, place, reads)

    def _join(self, scope: Hashable, test: str, reads: frozenset[str]) -> tuple[Group, int]:
        """Put a condition's test among those of its scope; its group, and its place there."""
        group = self._groups.get(scope)
        if group is None or len(group.tests) >= MOST_JOINED:
            group = self._groups[scope] = Group(scope, reads=set(RAW & self._signals.keys()))
        group.tests.append(test)
        group.reads |= reads
        group.program, group.too_long = None, False
        return group, len(group.tests) - 1

    def _condition(self, program: Any, group: Group, place: int, reads: frozenset[str]) -> Condition:
        """A rule's condition: a program of its own, its place among those evaluated together, the signals it names."""
        bit = 1 << place

        def causes(signals: Signals) -> Sequence[Evidence]:
            bound = signals if type(signals) is BoundSignals else self.bind(signals, together=False)
            if bound.unmeasured and GUARD not in reads and (missing := bound.unmeasured & reads):
                raise RuleFailed(f"{', '.join(sorted(missing))}: not measured for this photo; it has to be sent again")
            bits = bound.known.get(group)
            if not (bound.possible(group) if bits is None else bits) & bit:
                return []
            found = _evaluate(program, bound.activation(group))
            return [self.as_evidence(item) for items in found for item in items][:MOST_EVIDENCE]

        return causes

    def program(self, group: Group) -> Any:
        """A program that says of a group's conditions at once which yield anything; None where it would be too long.

        The answer is a number with a bit for each, as lists of evidence take the evaluator longer to hand over than to
        find, and most rules match no photo.
        """
        if group.program is None and not group.too_long:
            terms = [f"({test} ? {1 << place} : 0)" for place, test in enumerate(group.tests)]
            try:
                group.program = self._env.compile(_sum_of(terms))
            except RuntimeError:
                group.too_long = True
        return group.program

    def bind(self, signals: Signals, *, together: bool = True) -> BoundSignals:
        """Signals ready for every rule. `together` evaluates all conditions at once, which is the faster way."""
        return BoundSignals(signals, self, together)

    def activation(self, signals: Signals, names: Iterable[str], ready: dict[str, Any]) -> Any:
        """What conditions read that name these signals; `ready` remembers signals that were made ready before.

        Raises RuleFailed when a signal is missing or has another type than it is registered with.
        """
        try:
            values = dict(self._thresholds)
            for name in names:
                if name not in ready:
                    value = signals[name]
                    ready[name] = self._readers[name](
                        self._empty[name] if value is None and name in self._empty else value
                    )
                values[name] = ready[name]
            return self._env.Activation(values)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RuleFailed(f"the signals do not fit this version of the rules: {error}") from error

    def as_evidence(self, message: Any) -> Evidence:
        """A signal item as plain data, with its kind; a map that a rule made up stays as it is."""
        if isinstance(message, Mapping):
            return dict(message)
        item = self._by_type_name[message.DESCRIPTOR.full_name]
        plain: dict[str, Any] = {"kind": item.kind}
        for field in item.fields:
            value = getattr(message, field.name)
            plain[field.name] = list(value) if field.kind in REPEATED else value
        return plain

    def _reader(self, one: Signal) -> Callable[[Any], Any]:
        """Turns a signal's plain value into what CEL reads. Protobuf checks items, `_checked` everything else."""
        if not isinstance(one.type, Item):
            return partial(_checked, one)
        message = self._messages[one.type.kind]
        if one.many:
            return lambda items: [message(**item) for item in items]
        return lambda item: message(**item)

    def _reads(self, when: str | None, causes: Sequence[str]) -> frozenset[str]:
        """Signals that a rule names. A variable of the same name counts too, which errs on the side of a person."""
        source = _QUOTED.sub("", "\n".join([when or "", *causes]))
        return frozenset(_NAME.findall(source)) & self._signals.keys()

    def _check(self, source: str) -> str:
        """The name of the expression's type."""
        if len(source) > MOST_EXPRESSION:
            raise ConditionRefused(f"the expression is longer than {MOST_EXPRESSION} characters; split the rule.")
        try:
            name: str = self._env.compile(source).return_type().name()
        except RuntimeError as error:
            raise ConditionRefused(self._why(str(error))) from error
        if match := self._unlikely.search(source):
            raise ConditionRefused(f"`{match[0]}` compares a value between 0 and 1 with {match['number']}; correct it.")
        return name

    def _why(self, message: str) -> str:
        """The compiler's first complaint in a sentence, with the names it may have meant."""
        found = re.search(r"ERROR: <input>:(\d+):(\d+): (.*)", message)
        if not found:
            return message.splitlines()[0].removeprefix("INVALID_ARGUMENT: ").rstrip(".") + "; simplify the expression."
        why = f"{found[3].split(' (in container')[0]} (column {found[2]})"
        if "undefined field" in why:
            item = next((item for name, item in self._by_type_name.items() if f"'{name}'" in why), None)
            return f"{why}; its fields are {', '.join(field.name for field in item.fields) if item else 'unknown'}."
        if "undeclared reference" in why:
            return f"{why}; known are {', '.join((*self._signals, *self._thresholds))}."
        return f"{why}; correct the expression."


def _written_out(source: str) -> str:
    try:
        return with_subtrees(source)
    except ShorthandRefused as error:
        raise ConditionRefused(f"{error}.") from error


def _sum_of(terms: Sequence[str]) -> str:
    """Halved again and again, as the parser takes expressions up to 32 levels deep and a plain sum is one a term."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return f"({_sum_of(terms[:half])} + {_sum_of(terms[half:])})"


def _checked(one: Signal, value: Any) -> Any:
    """A plain value of the registered type. Protobuf checks items; a plain variable CEL would take as it is."""
    if not isinstance(value, _PYTHON_TYPES[cast(Kind, one.type)]):
        raise TypeError(f"{one.name} is {value!r}, not a {one.type_name}")
    if isinstance(value, str):
        value.encode()  # a lone surrogate fails here and not in the database
    return value


def _message_types(items: Iterable[Item]) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="shelfguard/signals.proto", package="signal", syntax="proto3")
    for item in items:
        message = file.message_type.add(name=item.type_name.removeprefix("signal."))
        for number, field in enumerate(item.fields, 1):
            repeated = field.kind in REPEATED
            label = descriptor_pb2.FieldDescriptorProto
            message.field.add(
                name=field.name,
                number=number,
                type=_FIELD_TYPES[field.kind],
                label=label.LABEL_REPEATED if repeated else label.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _cel_type(one: Signal) -> Any:
    plain = cel.Type(one.type.type_name) if isinstance(one.type, Item) else _CEL_TYPES[one.type]
    return cel.Type.List(plain) if one.many else plain


def _literal_beyond_range(signals: Mapping[str, Signal]) -> re.Pattern[str]:
    """Finds a comparison of a score or share with a literal that is negative or above 1."""
    names = {rf"\b{name}" for name, one in signals.items() if one.unit == SHARE}
    for one in signals.values():
        fields = one.type.fields if isinstance(one.type, Item) else ()
        names |= {rf"\.{field.name}" for field in fields if field.unit == SHARE}
    beyond = r"(?P<number>-\s*(?:\d|\.\d)[\d.e+]*|0*[2-9][\d.e+]*|0*1\d[\d.e+]*|0*1\.0*[1-9]\d*)"
    return re.compile(rf"(?:{'|'.join(sorted(names))})\s*(?:<=|>=|==|!=|<|>)\s*{beyond}")
