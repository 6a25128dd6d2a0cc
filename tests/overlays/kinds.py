"""All kinds of pictures that the measure draws, by name: what on, how, and who has to look at them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.overlays import badges, codes, frames, layouts, marks, prints, spoils, subjects
from tests.overlays.drawn import Drawn, Family
from tests.overlays.prints import Draw
from tests.overlays.subjects import PHOTOGRAPH, SCENE, Subject
from worker.policy.words.vocabulary import Vocabulary


class Needs(StrEnum):
    """Who looks: the pixels alone say it, or a model does, or also the text has to be read."""

    PIXELS = "pixels"
    MODEL = "model"
    READERS = "readers"


@dataclass(frozen=True)
class Made:
    """A picture to be judged, with what a seller says of it."""

    kind: str
    subject: str
    source: str
    drawn: Drawn
    title: str | None = None


# (source, seed, place) -> the picture; `place` counts within kind and source.
Make = Callable[[str, int, int], Made]


@dataclass(frozen=True)
class Kind:
    """counts: pictures of each source in the whole measure and in the small one; sources without the kind have none."""

    name: str
    make: Make
    needs: Needs
    whole: dict[str, int]
    small: dict[str, int]


def any_subject(source: str, seed: int, place: int) -> Subject:
    return subjects.scene(seed, place) if source == SCENE else subjects.photograph(subjects.CLEAN, seed, place)


def placed_subject(source: str, seed: int, place: int) -> Subject:
    """Not on white, where a white border would not show."""
    return subjects.scene(seed, place) if source == SCENE else subjects.photograph(subjects.IN_A_PLACE, seed, place)


def cut_out(source: str, seed: int, place: int) -> Subject:
    return subjects.scene_on_white(seed, place) if source == SCENE else subjects.on_white_photograph(seed, place)


def overlaid(name: str, draw: Draw, on: Callable[[str, int, int], Subject] = any_subject) -> Make:
    """One subject, drawn on."""

    def make(source: str, seed: int, place: int) -> Made:
        subject = on(source, seed, place)
        drawn = draw(subject.picture, random.Random(f"{seed} {name} {source} {place}"))
        return Made(name, subject.name, source, _settled(drawn, subject.on_white))

    return make


def joined(name: str, draw: Callable[..., Drawn], on: Callable[[str, int, int], Subject], count: int) -> Make:
    """Several subjects in one picture."""

    def make(source: str, seed: int, place: int) -> Made:
        some = [on(source, seed, place * count + number) for number in range(count)]
        drawn = draw([one.picture for one in some], random.Random(f"{seed} {name} {source} {place}"))
        unsure = drawn.unsure | {Family.NOT_WHITE, Family.SMALL, Family.PROHIBITED}
        return Made(name, some[0].name, source, dataclasses.replace(drawn, unsure=unsure))

    return make


def grounded(name: str, draw: Callable[..., Drawn]) -> Make:
    """A product on white whose ground or size is changed; what has become of them is known."""

    def make(source: str, seed: int, place: int) -> Made:
        subject = cut_out(source, seed, place)
        drawn = draw(subject.picture, random.Random(f"{seed} {name} {source} {place}"))
        sized = drawn.detail in ("small", "large")
        unsure = drawn.unsure | {Family.PROHIBITED} | (frozenset() if sized else {Family.SMALL})
        return Made(name, subject.name, source, dataclasses.replace(drawn, unsure=unsure))

    return make


def clean(source: str, seed: int, place: int) -> Made:
    """As it is, under its true title."""
    subject = any_subject(source, seed, place)
    # What a scene's other object is nobody checked here; kitchen tools may be knives.
    harmless = source == PHOTOGRAPH and "utensils" not in subject.name
    drawn = _settled(Drawn(subject.picture), subject.on_white, goods_known=harmless)
    return Made("clean", subject.name, source, drawn, _title(subject))


def wrong_title(source: str, seed: int, place: int) -> Made:
    """A title of other goods in another colour."""
    subject = any_subject(source, seed, place)
    rng = random.Random(f"{seed} title {source} {place}")
    said = " ".join((subject.labels.get("phrase") or subject.labels.get("category") or "").split()[-1:])
    title = rng.choice([one for one in _OTHER_GOODS if not said or said not in one])
    contradicts = frozenset({Family.CONTRADICTION})
    # A photo that is not labelled may show just what the title says.
    drawn = Drawn(subject.picture, contradicts if said else frozenset(), "other goods")
    if not said:
        drawn = dataclasses.replace(drawn, unsure=drawn.unsure | contradicts)
    return Made("wrong title", subject.name, source, _settled(drawn, subject.on_white), title)


def goods(group_of: Callable[[str], str], *, wanted: bool) -> Make:
    def make(source: str, seed: int, place: int) -> Made:
        subject = subjects.scene_of(group_of, seed, place, wanted=wanted)
        group = group_of(subject.seen[0])
        drawn = Drawn(subject.picture, frozenset({Family.PROHIBITED} if wanted else ()), group or "harmless goods")
        name = "prohibited goods" if wanted else "harmless goods"
        return Made(name, subject.name, source, _settled(drawn, False, goods_known=True), subject.labels["phrase"])

    return make


_OTHER_GOODS = ("Umbrella, blue", "Acoustic guitar", "Leather sofa", "Bicycle, red", "Teapot", "Wooden chair", "Laptop")


def _title(subject: Subject) -> str | None:
    labels = subject.labels
    product = labels.get("product")
    named = product.get("name") if isinstance(product, dict) else None
    title = labels.get("phrase") or named or labels.get("fine") or labels.get("category")
    return str(title) if title else None


def _settled(drawn: Drawn, on_white: bool | None, *, goods_known: bool = False) -> Drawn:
    """With what follows from the subject: its ground, unless the overlay reaches the edge or nobody knows."""
    unsure = drawn.unsure | {Family.SMALL} | (frozenset() if goods_known else {Family.PROHIBITED})
    families = drawn.families
    covered = families & {Family.FRAME, Family.OVEREXPOSED} or drawn.detail in ("dark", "light")
    if on_white is None or covered or Family.NOT_WHITE in unsure:
        unsure |= {Family.NOT_WHITE}
    elif not on_white:
        families |= {Family.NOT_WHITE}
    return dataclasses.replace(drawn, families=families, unsure=unsure - families)


def _both(count: int) -> dict[str, int]:
    return {PHOTOGRAPH: count, SCENE: count}


def kinds(vocabulary: Vocabulary) -> dict[str, Kind]:
    """`vocabulary`: of the policy, which says what is prohibited."""
    group_of = vocabulary.group_of
    r, p, m = Needs.READERS, Needs.PIXELS, Needs.MODEL
    found: list[Kind] = [Kind("clean", clean, r, {PHOTOGRAPH: 300, SCENE: 40}, {PHOTOGRAPH: 6, SCENE: 4})]

    def add(name: str, make: Make, needs: Needs, whole: int, small: int) -> None:
        found.append(Kind(name, make, needs, _both(whole), _both(small)))

    for name in ("phone", "e-mail", "web", "handle"):
        add(name, overlaid(name, prints.contact(name)), r, 20 if name == "phone" else 12, 1)
    add("off-platform wording", overlaid("off-platform wording", prints.off_platform), r, 12, 1)
    for name in ("counterfeit", "drugs", "abuse"):
        add(name, overlaid(name, prints.listed(name)), r, 16, 1)
    add("harmless print", overlaid("harmless print", prints.harmless), r, 24, 1)
    add("harmless lines", overlaid("harmless lines", prints.harmless_list), r, 8, 1)
    add("badge", overlaid("badge", badges.badge), r, 16, 1)
    add("watermark, tiled", overlaid("watermark, tiled", marks.tiled), r, 10, 1)
    add("watermark, diagonal", overlaid("watermark, diagonal", marks.diagonal), r, 8, 1)
    add("watermark, corner", overlaid("watermark, corner", marks.corner), r, 8, 1)
    add("QR code", overlaid("QR code", codes.qr), p, 16, 2)
    add("article code", overlaid("article code", codes.article_code), p, 10, 1)
    add("border", overlaid("border", frames.border, placed_subject), p, 20, 2)
    add("white border", overlaid("white border", frames.white_border, placed_subject), p, 8, 1)
    add("bars", overlaid("bars", frames.bars, placed_subject), p, 10, 1)
    add("vignette", overlaid("vignette", frames.vignette, placed_subject), p, 8, 1)
    add("frame in the scene", overlaid("frame in the scene", frames.frame_in_scene, placed_subject), p, 8, 1)
    add("collage", joined("collage", layouts.collage, any_subject, 4), p, 20, 2)
    add("inset", joined("inset", layouts.inset, any_subject, 2), p, 8, 1)
    add("set on one ground", joined("set on one ground", layouts.together, cut_out, 2), p, 8, 1)
    add("off-white ground", grounded("off-white ground", layouts.tinted_ground), p, 10, 1)
    add("coloured ground", grounded("coloured ground", layouts.coloured_ground), p, 10, 1)
    add("pale product on white", grounded("pale product on white", layouts.pale), p, 10, 1)
    for name, small in (("small product", True), ("large product", False)):
        add(name, grounded(name, _resized(small)), p, 14, 2)
    for name, draw in (
        ("blurred", spoils.blurred),
        ("soft", spoils.soft),
        ("dark", spoils.dark),
        ("dim", spoils.dim),
        ("overexposed", spoils.overexposed),
    ):
        add(name, overlaid(name, draw), p, 10, 1)
    add("wrong title", wrong_title, m, 24, 2)
    found.append(Kind("prohibited goods", goods(group_of, wanted=True), m, {SCENE: 60}, {SCENE: 6}))
    found.append(Kind("harmless goods", goods(group_of, wanted=False), m, {SCENE: 40}, {SCENE: 4}))
    return {one.name: one for one in found}


def _resized(small: bool) -> Callable[..., Drawn]:
    return lambda picture, rng: layouts.resized_on_white(picture, rng, small=small)
