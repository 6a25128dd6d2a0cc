"""From a release to the compact file and back, and files that are none; the commands over them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from domain.errors import TaxonomyRefused
from worker.cli.main import app
from worker.taxonomy.files import read_compact, read_release, write_compact

TEXT = """# Shopify Product Taxonomy - Categories: 2031-01
# Format: {GID} : {Ancestor name} > ... > {Category name}

gid://shopify/TaxonomyCategory/aa                : Apparel
gid://shopify/TaxonomyCategory/aa-1              : Apparel > Hats
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "categories.txt").write_text(TEXT)
    (folder / "category_attributes.json").write_text(json.dumps({"aa-1": ["hat_size", "brim/crown"]}))
    attributes = {"hat-size": {"name": "Hat size", "values": ["S", "L"], "extended": ["brim-crown"]}}
    (folder / "attributes.json").write_text(json.dumps({"attributes": attributes}))
    return folder


def test_a_release_survives_the_compact_form_and_gives_the_same_bytes_twice(release: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "one.json.gz", tmp_path / "two.json.gz"
    assert write_compact(read_release(release), first) == write_compact(read_release(release), second)
    read = read_compact(first)
    assert (read.version, [one.id for one in read]) == ("2031-01", ["aa", "aa-1"])
    found = [(one.handle, one.name, one.values) for one in read.applicable_attributes("aa-1")]
    assert found == [("hat-size", "Hat size", ("S", "L")), ("brim-crown", "Brim crown", ("S", "L"))]


@pytest.mark.parametrize("text", ["", "# no version\n", "# Categories: 1\n", TEXT.replace("/aa ", "/bb ")])
def test_a_release_that_is_none_is_refused(release: Path, text: str) -> None:
    (release / "categories.txt").write_text(text)
    with pytest.raises(TaxonomyRefused, match="taxonomy load"):
        read_release(release)


@pytest.mark.parametrize("data", [b"", b"{}", gzip.compress(b"[]"), gzip.compress(b'{"version": 1}')])
def test_a_file_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "taxonomy.json.gz"
    path.write_bytes(data)
    with pytest.raises(TaxonomyRefused):
        read_compact(path)


def test_the_list_shows_roots_children_meanings_and_attributes() -> None:
    run = CliRunner().invoke
    roots = json.loads(run(app, ["taxonomy", "list", "--json"]).stdout)
    assert len(roots["categories"]) == 26
    below = json.loads(run(app, ["taxonomy", "list", "--under", "fb-3", "--json"]).stdout)
    assert "Cigars" in {one["name"] for one in below["categories"]}
    (shoe,) = json.loads(run(app, ["taxonomy", "list", "--meaning", "sneakers", "--attributes", "--json"]).stdout)[
        "categories"
    ]
    assert shoe["id"] == "aa-8-8"
    assert "Color" in {one["name"] for one in shoe["attributes"]}
    assert json.loads(run(app, ["taxonomy", "list", "--meaning", "thing", "--json"]).stdout)["categories"] == []
    assert "fb-3-3" in run(app, ["taxonomy", "list", "--find", "cigarettes"]).stdout


def test_loading_refuses_a_release_without_what_our_aliases_name(release: Path, tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["taxonomy", "load", str(release), "--out", str(tmp_path / "x.json.gz")])
    assert isinstance(refused.exception, TaxonomyRefused)
