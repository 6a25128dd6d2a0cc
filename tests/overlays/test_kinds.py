"""The overlays themselves: drawn from a seed, labelled exactly, within the bounds they state."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import phonenumbers
import pytest
import zxingcpp
from PIL import Image

from tests.overlays import badges, banned, codes, frames, ink, layouts, marks, phrases, prints, spoils
from tests.overlays.drawn import Drawn, Family
from tests.overlays.prints import Draw
from worker.policy.loading import load_policy
from worker.policy.words.contacts import find_contacts

DRAWN: dict[str, Draw] = {
    "contact": prints.contact("phone"),
    "off platform": prints.off_platform,
    "listed": prints.listed("counterfeit"),
    "harmless": prints.harmless,
    "harmless lines": prints.harmless_list,
    "badge": badges.badge,
    "tiled": marks.tiled,
    "diagonal": marks.diagonal,
    "corner": marks.corner,
    "qr": codes.qr,
    "article": codes.article_code,
    "border": frames.border,
    "white border": frames.white_border,
    "bars": frames.bars,
    "vignette": frames.vignette,
    "frame in scene": frames.frame_in_scene,
    "blurred": spoils.blurred,
    "soft": spoils.soft,
    "dark": spoils.dark,
    "dim": spoils.dim,
    "overexposed": spoils.overexposed,
}


def a_photo(width: int = 400, height: int = 520) -> Image.Image:
    """Smooth colours with some grain."""
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(40, 200, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    return Image.fromarray(np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8))


def digest(drawn: Drawn) -> str:
    return hashlib.sha256(drawn.picture.tobytes() + drawn.text.encode()).hexdigest()


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_gives_one_picture_and_another_seed_another(name: str) -> None:
    photo = a_photo()
    before = photo.tobytes()
    first, again, other = (DRAWN[name](photo, random.Random(seed)) for seed in (1, 1, 2))
    assert digest(first) == digest(again) != digest(other)
    assert (first.families, first.detail) == (again.families, again.detail)
    assert photo.tobytes() == before, "the photo itself is left as it was"
    assert not first.families & first.unsure


def test_what_is_written_lies_within_the_picture_and_is_large_enough_to_read() -> None:
    for seed in range(40):
        rng = random.Random(seed)
        photo = Image.new("RGB", (400, 520), (120, 120, 120))
        changed = np.asarray(ink.write(photo, "CALL 030 1234567", rng)) != np.asarray(photo)
        rows, columns = changed.any(axis=(1, 2)).nonzero()[0], changed.any(axis=(0, 2)).nonzero()[0]
        assert np.ptp(columns) <= ink.LONGEST * 400
        assert rows.min() > 0 and rows.max() < 519
        assert np.ptp(rows) >= ink.SMALLEST_CAPITAL


def test_telephone_numbers_are_valid_in_their_country() -> None:
    for seed in range(60):
        text, way = phrases.phone(random.Random(seed))
        if way == "international":
            assert phonenumbers.is_valid_number(phonenumbers.parse(text, None)), text


def test_listed_words_are_found_as_they_are_written_and_harmless_print_is_not() -> None:
    """Were every letter read, nothing would be missed: what the report misses, readers misread."""
    terms = load_policy().lexicon.terms
    for name in ("counterfeit", "drugs", "abuse"):
        written = [banned.banned(name, random.Random(seed)) for seed in range(150)]
        missed = [one for one in written if not any(hit.list == name for hit in terms.find(one[0]))]
        assert missed == []
        assert {way.split(",")[0] for _, way in written} >= {"plain", "leet", "split"}
        assert {way.split(", ")[1] for _, way in written} == set(banned.LANGUAGES)
    for seed in range(300):
        text = prints.harmless(Image.new("RGB", (64, 64)), random.Random(seed)).text
        assert not terms.find(text), text


def test_contact_details_are_found_as_they_are_written_and_harmless_print_is_not() -> None:
    for name, make in phrases.CONTACTS.items():
        written = [make(random.Random(seed)) for seed in range(150)]
        assert [one for one in written if not find_contacts(one[0])] == [], name
    for seed in range(300):
        text = prints.harmless(Image.new("RGB", (64, 64)), random.Random(seed)).text
        assert not find_contacts(text), text


def test_codes_say_what_their_label_says() -> None:
    for seed in range(6):
        drawn = codes.qr(a_photo(), random.Random(seed))
        assert [one.text for one in zxingcpp.read_barcodes(np.asarray(drawn.picture.convert("L")))] == [drawn.text]
        drawn = codes.article_code(a_photo(), random.Random(seed))
        (read,) = zxingcpp.read_barcodes(np.asarray(drawn.picture.convert("L")))
        assert (read.text, Family.CODE in drawn.families) == (drawn.text, False)


def test_a_product_is_as_large_as_its_label_says() -> None:
    disc = Image.new("RGB", (300, 300), (255, 255, 255))
    disc.paste((120, 30, 30), (50, 90, 250, 190))
    for small, (least, most) in ((True, layouts.SMALL), (False, layouts.LARGE)):
        drawn = layouts.resized_on_white(disc, random.Random(4), small=small)
        left, _, right, _ = layouts.bounds(drawn.picture)
        assert least - 0.01 <= (right - left) / layouts.SIDE <= most + 0.01
        assert (Family.SMALL in drawn.families) is small


def test_spoilt_photos_are_as_spoilt_as_stated() -> None:
    photo = a_photo()
    dark, dim = (np.asarray(draw(photo, random.Random(1)).picture).mean() / 255 for draw in (spoils.dark, spoils.dim))
    assert spoils.DARK[0] - 0.01 <= dark <= spoils.DARK[1] + 0.01
    assert spoils.DIM[0] - 0.01 <= dim <= spoils.DIM[1] + 0.01
    burnt = np.asarray(spoils.overexposed(photo, random.Random(1)).picture)
    assert spoils.BURNT[0] - 0.05 <= (burnt >= 251).all(axis=2).mean() <= spoils.BURNT[1] + 0.05
