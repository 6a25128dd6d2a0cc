"""A long list of words for lettering: those of the Shopify product taxonomy (MIT), where it is at hand."""

from __future__ import annotations

import re
from functools import cache

from worker.training.synth.backgrounds import data_folder
from worker.training.synth.vocabulary import SHOP_WORDS

_WORD = re.compile(r"\b[a-z]{3,12}\b")  # longer words would be set too small to be read


@cache
def catalogue_words() -> tuple[str, ...]:
    """About ten thousand words of categories and attribute values, sorted; without the taxonomy the shop words."""
    files = sorted((data_folder() / "taxonomy").glob("shopify_[ac]*_*.*"))
    wanted = [file for file in files if "category_attributes" not in file.name]
    text = " ".join(file.read_text().lower() for file in wanted)
    return tuple(sorted(set(_WORD.findall(text)))) or tuple(SHOP_WORDS)
