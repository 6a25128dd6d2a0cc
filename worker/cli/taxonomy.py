"""shelfguard taxonomy: another release of the product taxonomy, and what is in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from domain.errors import NotFound
from domain.taxonomy import Category, Taxonomy
from worker.cli.chosen import chosen_taxonomy
from worker.taxonomy.files import ALIASES, compact_or_shipped, read_compact, read_release, write_compact

taxonomy_app = typer.Typer(help="The tree of product categories that rules and records speak of.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
MOST_LISTED = 200


@taxonomy_app.command()
def load(
    source: Annotated[Path, typer.Argument(help="Folder with a release of Shopify's product taxonomy as text files.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write it. Default: .shelfguard/taxonomies/VERSION.json.gz")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a release and write it as one small file, for SHELFGUARD_TAXONOMY to name."""
    found = read_release(source)
    path = out or Path(".shelfguard") / "taxonomies" / f"{found.version}.json.gz"
    digest = write_compact(found, path)
    read_compact(path, ALIASES)  # our aliases must still name categories of this release
    if as_json:
        _print_json({"version": found.version, "categories": len(found), "path": str(path), "sha256": digest})
        return
    typer.echo(f"{found.version}: {len(found)} categories, written to {path}. Use it: SHELFGUARD_TAXONOMY={path}")


@taxonomy_app.command("list")
def list_categories(
    under: Annotated[str | None, typer.Option(help="Only this category's children. Default: the roots.")] = None,
    find: Annotated[str | None, typer.Option(help="Categories whose path holds these letters, instead.")] = None,
    meaning: Annotated[
        str | None, typer.Option(help="The category that a seller's word means, instead; none where unsure.")
    ] = None,
    attributes: Annotated[bool, typer.Option("--attributes", help="With what their products have.")] = False,
    taxonomy: Annotated[
        Path | None, typer.Option(help="A file of `taxonomy load`. Default: what SHELFGUARD_TAXONOMY names.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List categories with their ids, paths and, if asked, their attributes."""
    known = chosen_taxonomy() if taxonomy is None else compact_or_shipped(taxonomy)
    chosen = _chosen(known, under, find, meaning)
    if as_json:
        items = [_category_json(known, one, attributes) for one in chosen]
        _print_json({"version": known.version, "categories": items})
        return
    table = Table(Column("id", no_wrap=True), "path", *(["attributes"] if attributes else []))
    for one in chosen[:MOST_LISTED]:
        names = ", ".join(attribute.name for attribute in known.applicable_attributes(one.id))
        table.add_row(one.id, escape(" > ".join(known.path(one.id))), *([escape(names)] if attributes else []))
    Console().print(table)
    if len(chosen) > MOST_LISTED:
        typer.echo(f"{len(chosen) - MOST_LISTED} more; narrow it down, or take --json.", err=True)


def _chosen(known: Taxonomy, under: str | None, find: str | None, meaning: str | None) -> list[Category]:
    if meaning is not None:
        match = known.match(meaning)
        return [match.category] if match else []
    if find is not None:
        wanted = find.casefold()
        return [one for one in known if wanted in " > ".join(known.path(one.id)).casefold()]
    if under is not None and under not in known:
        raise NotFound("category", under)
    return list(known.children(under))


def _category_json(known: Taxonomy, one: Category, attributes: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"id": one.id, "name": one.name, "path": list(known.path(one.id))}
    if attributes:
        out["attributes"] = [
            {"handle": attribute.handle, "name": attribute.name, "values": list(attribute.values)}
            for attribute in known.applicable_attributes(one.id)
        ]
    return out


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, sort_keys=True))
