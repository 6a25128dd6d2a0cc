"""Reading YAML written by people we do not know: plain data only, each value with the line it stands on.

Refused before anything is built: tags (`!!python/object`), anchors and aliases (billion laughs), duplicate keys, deep
nesting, several documents, files over the size cap, text that is not UTF-8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 512 * 1024
MOST_DEPTH = 20

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """data: plain values. lines: the line (from 1) of the value at each path of keys and indexes."""

    data: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """The line of the value there, or of the nearest thing around it."""
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place, 1)


class YamlRefused(Exception):
    """A file that is not read; `line` is where, the message says why and what to change."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The file's bytes. Raises YamlRefused for a missing, unreadable or oversized file."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise YamlRefused(1, f"cannot be read ({error.strerror}); check the path and its permissions.") from error
    return within(data, most)


def within(data: bytes, most: int) -> bytes:
    """The data, if it is not too much. Raises YamlRefused."""
    if len(data) > most:
        raise YamlRefused(1, f"is larger than {most // 1024} KB; split it into several files.")
    return data


def parse(data: bytes) -> YamlFile:
    """Plain data and lines. Raises YamlRefused."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise YamlRefused(data[: error.start].count(b"\n") + 1, "is not UTF-8; save it as UTF-8.") from error
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlRefused(mark.line + 1 if mark else 1, f"is not YAML: {error.problem}; correct it.") from error
    except yaml.YAMLError as error:
        raise YamlRefused(1, "is not YAML: it holds characters that YAML forbids; remove them.") from error
    lines: dict[Place, int] = {}
    return YamlFile(_Builder(lines).build(node, ()) if node else None, lines)


def _check_events(text: str) -> None:
    """One linear pass over the events, before any tree is built."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlRefused(line, "uses an anchor or alias (& or *); write the value out.")
        if tag := getattr(event, "tag", None):
            raise YamlRefused(line, f"uses the tag {tag!r}; only plain values are read, so remove the tag.")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise YamlRefused(line, f"is nested deeper than {MOST_DEPTH} levels; flatten it.")
        if documents > 1:
            raise YamlRefused(line, "holds several documents (---); keep one for each file.")


class _Builder:
    def __init__(self, lines: dict[Place, int]) -> None:
        self._lines = lines
        self._scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node, place: Place) -> Any:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or not isinstance(key := key_node.value, str):
                raise YamlRefused(line, "has a key that is not a plain word; use a word.")
            if key in out:
                raise YamlRefused(line, f"has the key {key!r} twice; keep one of them.")
            self._lines[(*place, key)] = line
            out[key] = self.build(value_node, (*place, key))
        return out

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (ValueError, OverflowError, yaml.YAMLError) as error:
            why = f"has the value {node.value!r}, which is not valid ({error}); correct it."
            raise YamlRefused(node.start_mark.line + 1, why) from error
