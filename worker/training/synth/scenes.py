"""A scene: what is in it (from a seed), and its picture with exact labels (at any size).

`sample(seed, index, setting)` decides everything, `render(scene, size)` only draws; the same three values give the same
scene on every run on machines with the same fonts and drawings.
"""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from worker.training.synth import backgrounds, lettering, sprites
from worker.training.synth.backgrounds import PATTERNED, Backdrop
from worker.training.synth.vocabulary import BACKDROPS, TINTS, ClassName, classes


@dataclass(frozen=True)
class Setting:
    """How scenes are spread: a stage of training, or the held-out scenes."""

    objects: tuple[float, ...] = (0.5, 0.3, 0.2)  # shares of scenes with one, two, three objects
    single_size: tuple[float, float] = (0.35, 0.85)  # longest side, share of the picture
    shared_size: tuple[float, float] = (0.25, 0.5)
    text: float = 0.45  # share of scenes with lettering
    capitals: tuple[float, float] = (0.05, 0.2)  # height of capitals, share of the picture
    lines: tuple[int, ...] = (1, 1, 1, 2, 2, 3)  # how many lines a lettered scene is given; fewer where they do not fit
    turned: float = 0.5  # share of lines that are not level
    plates: float = 0.4  # share of lines on a plate of their own
    tinted: float = 0.45
    upright: float = 0.0  # share of objects that are not turned at all
    kinds: tuple[float, float, float, float] = (0.35, 0.25, 0.2, 0.2)  # plain, gradient, patterned, photographic
    styles: tuple[str, ...] = ("fluent", "twemoji", "noto")
    redrawn: float = 0.0  # share of objects in flat colours, with dark lines, or in greys
    aspect: float | None = None  # width to height of all pictures; None is mostly square, some a little wider or higher
    held_out: bool = False  # take photographs that training never sees


@dataclass(frozen=True)
class Item:
    """One object before it is drawn; x, y and side are shares of the picture."""

    class_id: int
    style: str
    colour: str | None
    mode: str
    x: float
    y: float
    side: float
    angle: float
    flip: bool
    shadow: float  # 0 is none, else its offset as a share of the side
    redraw: str | None = None  # how it is drawn again, one of `sprites.REDRAWN`

    @property
    def kind(self) -> ClassName:
        return classes()[self.class_id]

    @property
    def phrase(self) -> str:
        """ "red sneaker", or "sneaker" in its natural colours."""
        return f"{self.colour} {self.kind.name}" if self.colour else self.kind.name


@dataclass(frozen=True)
class Scene:
    """Everything about one picture but its pixels. Items are in reading order: the main one first."""

    seed: int
    index: int
    items: tuple[Item, ...]
    lines: tuple[lettering.Line, ...]
    backdrop: Backdrop
    aspect: float = 1.0  # width to height
    contrast: float = 1.0
    brightness: float = 1.0
    jpeg: int | None = None
    noise: float = 0.0


@dataclass(frozen=True)
class Rendered:
    """A drawn scene. Boxes and quads are shares of width and height; maps have the picture's size."""

    scene: Scene
    picture: Image.Image
    boxes: NDArray[np.float32]  # items x 4
    quads: NDArray[np.float32]  # lines x 8
    instances: NDArray[np.uint8]  # 0 or the place of the item plus one
    characters: NDArray[np.uint8]  # 0 or the place in `lettering.ALPHABET` plus one
    masks: tuple[NDArray[np.bool_], ...] = field(default=())  # whole outlines, also where something covers them


def sample(seed: int, index: int, setting: Setting = Setting()) -> Scene:
    """The scene `index` of `seed`."""
    rng = random.Random(seed * 1_000_003 + index)
    backdrop = _sample_backdrop(rng, setting)
    aspect = rng.choice((1.0, 1.0, 1.0, rng.uniform(0.72, 1.4)))
    aspect = setting.aspect or aspect
    count = rng.choices(range(1, len(setting.objects) + 1), setting.objects)[0]
    items = _sample_items(rng, setting, count, backdrop, aspect)
    if setting.redrawn:
        items = _redrawn(items, setting.redrawn, random.Random(seed * 31_337 + index))
    lines = _sample_lines(rng, setting, items, aspect) if rng.random() < setting.text else ()
    return Scene(
        seed=seed,
        index=index,
        items=items,
        lines=lines,
        backdrop=backdrop,
        aspect=aspect,
        contrast=rng.choice((1.0, rng.uniform(0.75, 1.25))),
        brightness=rng.choice((1.0, rng.uniform(0.75, 1.2))),
        jpeg=rng.randint(40, 92) if rng.random() < 0.15 else None,
        noise=rng.choice((0.0, 0.0, rng.uniform(1, 8))),
    )


def _sample_backdrop(rng: random.Random, setting: Setting) -> Backdrop:
    kind = rng.choices(("plain", "gradient", "patterned", "photo"), setting.kinds)[0]
    if kind == "patterned":
        kind = rng.choice(PATTERNED)
    if kind == "photo":
        kind = rng.choice(("photo", "blurred photo", "blurred photo"))
        return Backdrop(kind, None, rng.getrandbits(32), setting.held_out)
    # White and beige are what shops photograph on, so they come more often.
    colour = rng.choice((*BACKDROPS, "white", "white", "beige"))
    return Backdrop(kind, colour, rng.getrandbits(32), setting.held_out)


def _sample_items(
    rng: random.Random, setting: Setting, count: int, backdrop: Backdrop, aspect: float
) -> tuple[Item, ...]:
    items: list[Item] = []
    for _ in range(count):
        for _try in range(12):
            item = _sample_item(
                rng, setting, setting.single_size if count == 1 else setting.shared_size, backdrop, aspect
            )
            if all(_apart(item, other, aspect) for other in items):
                items.append(item)
                break
    return tuple(sorted(items, key=lambda item: -item.side))


def _sample_item(
    rng: random.Random, setting: Setting, sizes: tuple[float, float], backdrop: Backdrop, aspect: float
) -> Item:
    class_id = rng.randrange(len(classes()))
    styles = [style for style in setting.styles if sprites.sprite(style, class_id) is not None]
    colours = [colour for colour in TINTS if colour != backdrop.colour]
    side = rng.uniform(*sizes) * min(1.0, aspect)
    reach = side * 0.46
    chance = rng.random()
    if chance < setting.upright:
        angle = 0.0
    else:
        spread = rng.random()
        angle = rng.gauss(0, 12) if spread < 0.7 else rng.uniform(-40, 40) if spread < 0.95 else rng.uniform(-180, 180)
    return Item(
        class_id=class_id,
        style=rng.choice(styles or list(sprites.styles_of(class_id))),
        colour=rng.choice(colours) if rng.random() < setting.tinted else None,
        mode=rng.choice(sprites.TINT_MODES),
        x=_between(rng, reach / aspect),
        y=_between(rng, reach),
        side=side,
        angle=angle,
        flip=rng.random() < 0.3,
        shadow=rng.choice((0.0, rng.uniform(0.02, 0.1))),
    )


def _redrawn(items: tuple[Item, ...], share: float, rng: random.Random) -> tuple[Item, ...]:
    """With chances of its own, so that the scene is otherwise the same with and without."""
    return tuple(replace(item, redraw=rng.choice(sprites.REDRAWN)) if rng.random() < share else item for item in items)


def _between(rng: random.Random, margin: float) -> float:
    return rng.uniform(margin, 1 - margin) if margin < 0.5 else 0.5


def _apart(one: Item, other: Item, aspect: float) -> bool:
    """Objects may touch and throw shadows on each other, but hardly cover each other."""
    reach = 0.42 * (one.side + other.side)
    return abs(one.x - other.x) * aspect > reach or abs(one.y - other.y) > reach


def _sample_lines(
    rng: random.Random, setting: Setting, items: tuple[Item, ...], aspect: float
) -> tuple[lettering.Line, ...]:
    lines: list[lettering.Line] = []
    taken: list[tuple[float, float]] = []
    wanted = rng.choice(setting.lines)
    for _ in range(4 * wanted):
        if len(lines) == wanted:
            break
        text = lettering.random_text(rng)
        font = rng.randrange(max(1, len(lettering.fonts())))
        capital = rng.uniform(*setting.capitals)
        # Too long a line is set smaller until it fits, as a shop would.
        capital = min(capital, capital * 0.92 * aspect / max(1e-6, lettering.length(text, font, capital)))
        if capital < 0.03:
            continue
        half = lettering.length(text, font, capital) / aspect / 2
        angle = rng.choice((rng.gauss(0, 5), rng.uniform(-25, 25))) if rng.random() < setting.turned else 0.0
        # Mostly above or below the goods, as on adverts; a third anywhere, also across them.
        crowded = max(setting.lines) > 3
        y = (
            rng.uniform(0.05, 0.95)
            if crowded
            else rng.choice((rng.uniform(0.04, 0.22), rng.uniform(0.78, 0.96), rng.uniform(0.1, 0.9)))
        )
        y = min(max(y, capital), 1 - capital)
        reach = capital * 1.2 + 0.5 * abs(angle) / 57 * 2 * half
        if any(abs(y - other) < reach + room for other, room in taken):
            continue
        taken.append((y, reach))
        x = _between(rng, min(0.5, half + 0.03))
        lines.append(
            lettering.Line(text, font, capital, x, y, angle if half < 0.35 else angle / 4, *_inks(rng, setting.plates))
        )
    return tuple(sorted(lines, key=lambda line: line.y))


def _inks(
    rng: random.Random, plates: float
) -> tuple[lettering.Colour, lettering.Colour | None, lettering.Colour | None]:
    """Ink, backing, outline: always something that stands out."""
    dark = rng.choice(((10, 10, 12), (30, 30, 90), (120, 10, 20), (20, 70, 30), (60, 30, 80)))
    light = rng.choice(((255, 255, 255), (250, 240, 200), (255, 225, 60), (210, 235, 255)))
    ink, other = (dark, light) if rng.random() < 0.5 else (light, dark)
    how = rng.random()
    if how < plates:
        return ink, other, None
    if how < plates + 0.6 * (1 - plates):
        return ink, None, other
    return ink, None, None


def render(scene: Scene, size: int, *, masks: bool = False) -> Rendered:
    """The picture, `size` pixels high, with its labels."""
    width, height = round(size * scene.aspect), size
    picture = backgrounds.draw(scene.backdrop, width, height)
    instances = Image.new("L", (width, height))
    characters = Image.new("L", (width, height))
    boxes: list[tuple[float, float, float, float]] = []
    outlines: list[NDArray[np.bool_] | None] = []
    # The main object is drawn last: nothing but lettering covers it.
    for place, item in reversed(list(enumerate(scene.items))):
        box, outline = _draw_item(item, place, picture, instances, masks)
        boxes.insert(0, box)
        outlines.insert(0, outline)
    quads = [_draw_line(line, scene, picture, characters) for line in scene.lines]
    return Rendered(
        scene=scene,
        picture=_weathered(picture, scene),
        boxes=_shares(boxes, (width, height) * 2),
        quads=_shares(quads, (width, height) * 4),
        instances=np.asarray(instances),
        characters=np.asarray(characters),
        masks=tuple(outline for outline in outlines if outline is not None),
    )


def _shares(rows: Sequence[Any], sides: tuple[int, ...]) -> NDArray[np.float32]:
    """Pixels to shares of the picture."""
    table = np.array(rows, dtype=np.float32).reshape(-1, len(sides))
    inside: NDArray[np.float32] = np.clip(table / np.array(sides, dtype=np.float32), 0, 1)
    return inside


def _draw_item(
    item: Item, place: int, picture: Image.Image, instances: Image.Image, masks: bool
) -> tuple[tuple[float, float, float, float], NDArray[np.bool_] | None]:
    cut = sprites.cut_out(
        item.style,
        item.class_id,
        item.side * picture.height,
        colour=item.colour,
        mode=item.mode,
        angle=item.angle,
        flip=item.flip,
        redraw=item.redraw,
    )
    alpha = cut.getchannel("A")
    centre = (item.x * picture.width, item.y * picture.height)
    left, top = lettering.corner(cut, centre)
    if item.shadow:
        softness = 1 + 0.04 * max(cut.size)
        dark = sprites.shadow(alpha, softness)
        shift = item.shadow * max(cut.size)
        x, y = lettering.corner(dark, (left + cut.width / 2 + shift / 2, top + cut.height / 2 + shift))
        picture.paste((0, 0, 0), (x, y), dark)
    picture.paste(cut, (left, top), alpha)
    solid = alpha.point([255 if level > 90 else 0 for level in range(256)])
    instances.paste(place + 1, (left, top), solid)
    outline = None
    if masks:
        whole = Image.new("L", picture.size)
        whole.paste(255, (left, top), solid)
        outline = np.asarray(whole) > 0
    return (left, top, left + cut.width, top + cut.height), outline


def _draw_line(
    line: lettering.Line, scene: Scene, picture: Image.Image, characters: Image.Image
) -> NDArray[np.float64]:
    return lettering.draw(line, picture, characters).reshape(8)


def _weathered(picture: Image.Image, scene: Scene) -> Image.Image:
    """Light, noise and compression as cameras and shops add them."""
    if scene.contrast != 1.0:
        picture = ImageEnhance.Contrast(picture).enhance(scene.contrast)
    if scene.brightness != 1.0:
        picture = ImageEnhance.Brightness(picture).enhance(scene.brightness)
    if scene.noise:
        rng = np.random.default_rng(scene.seed * 7919 + scene.index)
        grain = rng.standard_normal((picture.height, picture.width, 1), dtype=np.float32) * scene.noise
        picture = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8), "RGB")
    if scene.jpeg:
        squeezed = io.BytesIO()
        picture.save(squeezed, "JPEG", quality=scene.jpeg)
        picture = Image.open(squeezed).convert("RGB")
    return picture
