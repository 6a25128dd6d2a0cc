"""The category tree, and what sellers' words mean in it, on a small tree and on the shipped one."""

from __future__ import annotations

import pytest

from domain.taxonomy import Attribute, Category, How, Taxonomy
from worker.taxonomy.files import shipped

SMALL = Taxonomy(
    "test-1",
    [
        Category("aa", "Apparel & Accessories", ("color",)),
        Category("aa-1", "Clothing", ("color", "size")),
        Category("aa-1-1", "Tops", ("color", "size")),
        Category("aa-1-1-1", "T-Shirts", ("color", "size", "unheard-of")),
        Category("aa-2", "Baby Clothing"),
        Category("aa-2-1", "T-Shirts"),
        Category("fb", "Food"),
        Category("fb-1", "Tobacco"),
        Category("fb-1-1", "Tobacco"),
    ],
    [Attribute("color", "Color", ("Red", "Blue")), Attribute("size", "Size", ("S", "M"))],
    {"Rauchwaren": "fb-1"},
)


def test_the_tree_is_read_off_the_ids() -> None:
    assert SMALL.ancestors("aa-1-1-1") == ("aa", "aa-1", "aa-1-1", "aa-1-1-1")
    assert SMALL.path("aa-1-1") == ("Apparel & Accessories", "Clothing", "Tops")
    assert [one.id for one in SMALL.children()] == ["aa", "fb"]
    assert [one.id for one in SMALL.children("aa")] == ["aa-1", "aa-2"]


def test_a_subtree_holds_its_root_and_not_what_only_starts_alike() -> None:
    tree = Taxonomy("x", [Category("aa", "A"), Category("aa-1", "B"), Category("aa-12", "C"), Category("aa-1-2", "D")])
    assert tree.in_subtree("aa-1-2", "aa-1") and tree.in_subtree("aa-1", "aa-1")
    assert not tree.in_subtree("aa-12", "aa-1")
    with pytest.raises(KeyError):
        tree.in_subtree("aa-1", "zz")


def test_attributes_come_with_their_values() -> None:
    assert [one.name for one in SMALL.applicable_attributes("aa-1-1-1")] == ["Color", "Size"]
    assert SMALL.applicable_attributes("fb") == ()


@pytest.mark.parametrize(
    ("text", "id", "how"),
    [
        ("aa-1-1", "aa-1-1", How.ID),
        ("AA-1-1 ", "aa-1-1", How.ID),
        ("gid://shopify/TaxonomyCategory/aa-1-1", "aa-1-1", How.ID),
        ("Apparel & Accessories > Clothing > Tops", "aa-1-1", How.PATH),
        ("apparel and accessories/clothing/tops", "aa-1-1", How.PATH),
        ("Baby Clothing > T-Shirts", "aa-2-1", How.PATH),
        ("tops > t-shirt", "aa-1-1-1", How.PATH),
        ("Food", "fb", How.PATH),
        ("top", "aa-1-1", How.NAME),
        ("rauchwaren", "fb-1", How.ALIAS),
        ("tobacco", "fb-1", How.NAME),  # one above all others of the name
    ],
)
def test_what_a_seller_means(text: str, id: str, how: How) -> None:
    match = SMALL.match(text)
    assert match is not None
    assert (match.category.id, match.how) == (id, how)


@pytest.mark.parametrize(
    "text", [None, "", "  ", "T-Shirts", "zz-9", "Food > T-Shirts", "tops and more", "x" * 10_000, ">>>", "\x00"]
)
def test_silence_where_unsure(text: str | None) -> None:
    assert SMALL.match(text) is None


def test_a_tree_with_a_hole_and_an_alias_to_nowhere_are_refused() -> None:
    with pytest.raises(ValueError, match="no parent aa-1"):
        Taxonomy("x", [Category("aa", "A"), Category("aa-1-1", "B")])
    with pytest.raises(ValueError, match="which there is not"):
        Taxonomy("x", [Category("aa", "A")], aliases={"a": "zz"})


def test_the_shipped_taxonomy_is_whole() -> None:
    tree = shipped()
    assert (tree.version, len(tree), len(tree.children())) == ("2025-08-unstable", 10_595, 26)
    assert {"Color", "Size", "Fabric"} <= {one.name for one in tree.applicable_attributes("aa-1-13-8")}


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("T-Shirts", "aa-1-13-8"),
        ("Sneakers", "aa-8-8"),
        ("Chaussures", "aa-8"),
        ("Kitchen Knives", "hg-11-8-39"),
        ("Cigarettes", "fb-3-3"),
        ("Alcoholic Beverages > Wine", "fb-1-1-7"),
        ("knife", None),
        ("things", None),
    ],
)
def test_usual_words_in_the_shipped_taxonomy(text: str, id: str | None) -> None:
    match = shipped().match(text)
    assert (match and match.category.id) == id
