"""Taxonomy files: from Shopify's release to one small compressed file, and from that to a Taxonomy.

The compact form is JSON under gzip: {"version", "categories": [[id, name, [attribute numbers]]], "attributes":
[[handle, name, [values]]]}. The same content gives the same bytes, so that a digest names it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from domain.errors import TaxonomyRefused
from domain.taxonomy import Attribute, Category, Taxonomy

SHIPPED = Path(__file__).with_name("shopify-2025-08-unstable.json.gz")
ALIASES = Path(__file__).with_name("aliases.txt")
MOST_BYTES = 64_000_000  # of a file, unpacked
_LINE = re.compile(r"gid://shopify/TaxonomyCategory/([a-z]{2}(?:-\d+)*)\s*: (.+)")
_VERSION = re.compile(r"#.*Categories:\s*(\S+)")


@cache
def shipped() -> Taxonomy:
    """The taxonomy inside this package, with its aliases; read once."""
    return read_compact(SHIPPED, ALIASES)


def compact_or_shipped(path: Path | None) -> Taxonomy:
    """The taxonomy at `path`, with our aliases; None = the shipped one. Raises TaxonomyRefused."""
    return shipped() if path is None else read_compact(path, ALIASES)


def read_compact(path: Path, aliases: Path | None = None) -> Taxonomy:
    """Raises TaxonomyRefused for anything that is not such a file."""
    try:
        with gzip.open(path) as packed:
            data = packed.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError("too large")
        return _from_plain(json.loads(data), _read_aliases(aliases) if aliases else {})
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise TaxonomyRefused(str(path), f"it is not a compact taxonomy ({error})") from error


def read_release(folder: Path) -> Taxonomy:
    """Shopify's release as text: `*categories*.txt`, and beside it, where they are to be had,
    `*category_attributes*.json` (id -> attribute handles) and `*attributes*.json` (handle -> name, values).

    Raises TaxonomyRefused.
    """
    texts = sorted(folder.glob("*categories*.txt"))
    if len(texts) != 1:
        raise TaxonomyRefused(str(folder), f"it holds {len(texts)} files like *categories*.txt, not one")
    try:
        by_category = _one_json(folder, "*category_attributes*.json", but=None)
        attributes = _one_json(folder, "*attributes*.json", but="category_attributes").get("attributes", {})
        version, categories = _read_text(texts[0].read_text("utf-8"), by_category)
        known = [found for handle, one in attributes.items() for found in _attributes(handle, one)]
        return Taxonomy(version, categories, known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaxonomyRefused(str(folder), f"its files are not a taxonomy ({error})") from error


def write_compact(taxonomy: Taxonomy, path: Path) -> str:
    """Write the compact file; returns its SHA-256."""
    handles = sorted({handle for category in taxonomy for handle in category.attributes})
    attributes = {one.handle: one for category in taxonomy for one in taxonomy.applicable_attributes(category.id)}
    numbers = {handle: number for number, handle in enumerate(handles)}
    plain = {
        "version": taxonomy.version,
        "categories": [[one.id, one.name, [numbers[handle] for handle in one.attributes]] for one in taxonomy],
        "attributes": [
            [handle, attributes[handle].name, list(attributes[handle].values)]
            if handle in attributes
            else [handle, "", []]
            for handle in handles
        ],
    }
    packed = gzip.compress(json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode(), 9, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed)
    return hashlib.sha256(packed).hexdigest()


def _from_plain(plain: dict[str, Any], aliases: dict[str, str]) -> Taxonomy:
    attributes = [Attribute(handle, name, tuple(values)) for handle, name, values in plain["attributes"]]
    handles = [attribute.handle for attribute in attributes]
    return Taxonomy(
        plain["version"],
        (Category(id, name, tuple(handles[number] for number in has)) for id, name, has in plain["categories"]),
        (attribute for attribute in attributes if attribute.name),
        aliases,
    )


def _read_text(text: str, by_category: dict[str, list[str]]) -> tuple[str, list[Category]]:
    version = _VERSION.search(text)
    if not version:
        raise ValueError("its first lines name no version")
    categories = []
    for line in text.splitlines():
        if found := _LINE.fullmatch(line.strip()):
            handles = map(_handle, by_category.get(found[1], ()))
            categories.append(Category(found[1], found[2].split(" > ")[-1], tuple(handles)))
    if not categories:
        raise ValueError("it has no categories")
    return version[1], categories


def _one_json(folder: Path, pattern: str, but: str | None) -> dict[str, Any]:
    names = [path for path in sorted(folder.glob(pattern)) if but is None or but not in path.name]
    return json.loads(names[0].read_text("utf-8")) if names else {}


def _attributes(handle: str, one: dict[str, Any]) -> list[Attribute]:
    """The attribute and those that extend it, which have its values and no name but their handle."""
    values = tuple(one["values"])
    extended = [(_handle(name), _handle(name).replace("-", " ").capitalize()) for name in one.get("extended", ())]
    return [Attribute(name, shown, values) for name, shown in ((_handle(handle), one["name"]), *extended)]


def _handle(written: str) -> str:
    """Lower-case words joined by dashes; the release's two files differ in what stands between the words."""
    return "-".join(re.findall(r"[a-z0-9]+", written.lower()))


def _read_aliases(path: Path) -> dict[str, str]:
    """Lines of `words = id`; # starts a comment."""
    aliases: dict[str, str] = {}
    for line in path.read_text("utf-8").splitlines():
        words, equals, id = line.split("#")[0].partition("=")
        if equals:
            aliases |= {word.strip(): id.strip() for word in words.split(",")}
    return aliases
