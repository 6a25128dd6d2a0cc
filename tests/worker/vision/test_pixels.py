"""What the vision tower is given for pictures of any mode and size, against Pillow and plain arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor

from domain.observations import Plan, Task
from worker.vision.engine import FlorenceEngine, Look
from worker.vision.florence import Loaded, load

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}  # as Florence-2 was trained
LEVELS = 2  # of 255: resamplers round differently

MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"]
SIZES = [(1, 1), (1, 700), (700, 1), (31, 33), (33, 31), (97, 1023), (640, 480), (2001, 1501)]


class Seen(Exception):
    """Ends the look when the pixels have come to the tower."""


class Recorder:
    """Stands where the model stands and keeps what it is shown; whatever else is asked of it, the model answers."""

    def __init__(self, model: Any, count: int) -> None:
        self.real = model
        self.count = count
        self.seen: list[torch.Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def get_image_features(self, pixels: torch.Tensor) -> Any:
        self.seen += pixels  # one by one on a processor, in batches on a device
        if len(self.seen) < self.count:
            return self.real.get_image_features(pixels)
        raise Seen


def shown(loaded: Loaded, *images: Image.Image) -> torch.Tensor:
    """(images, 3, side, side): what reaches the vision tower."""
    recorder = Recorder(loaded.model, len(images))
    engine = FlorenceEngine(replace(loaded, model=recorder))
    with pytest.raises(Seen):
        engine.look([Look(image, "aa", image.width, image.height, Plan((Task.CAPTION,))) for image in images])
    return torch.stack(recorder.seen)


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Path) -> Loaded:
    return load(tiny_checkpoint, device="cpu", dtype="float32")


def scene(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A smooth picture with an edge in it, opaque in every mode."""
    ramp = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (ramp, ramp.transpose(Image.Transpose.FLIP_TOP_BOTTOM), ramp.point(lambda v: v // 3)))
    picture.paste((200, 30, 90), (0, 0, width // 2, height // 3))
    if mode == "I;16":
        return picture.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")
    if mode == "LAB":
        return Image.merge("LAB", picture.split())
    return picture.convert(mode)


def levels_apart(loaded: Loaded, pixels: torch.Tensor, picture: Image.Image) -> float:
    """The largest difference from what Pillow and arithmetic make of an RGB picture, in steps of an 8-bit channel:
    squashed to the square by Pillow's bicubic, scaled to 0..1, standardised."""
    settings = loaded.verified.processor.image_processor
    mean, std = np.array(settings.image_mean), np.array(settings.image_std)
    small = picture.resize(loaded.verified.resolution, Image.Resampling.BICUBIC)
    expected = (np.asarray(small, dtype=np.float64) / 255 - mean) / std
    return float((np.abs(pixels.numpy().transpose(1, 2, 0) - expected) * std).max() * 255)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_any_size_is_squashed_to_the_square(tiny: Loaded, size: tuple[int, int]) -> None:
    picture = scene(*size)
    (pixels,) = shown(tiny, picture)
    assert levels_apart(tiny, pixels, picture) <= LEVELS


@pytest.mark.parametrize("mode", MODES)
def test_any_mode_is_seen_as_its_colours(tiny: Loaded, mode: str) -> None:
    picture = scene(90, 61, mode)
    grey = {"I", "F", "I;16"}  # numbers beyond 8 bits; the scene has grey levels
    expected = scene(90, 61).convert("L").convert("RGB") if mode in grey else picture.convert("RGB")
    (pixels,) = shown(tiny, picture)
    assert levels_apart(tiny, pixels, expected) <= LEVELS


def test_transparency_is_seen_as_white(tiny: Loaded) -> None:
    picture = Image.new("RGBA", (64, 48), (10, 200, 30, 0))
    (pixels,) = shown(tiny, picture)
    assert levels_apart(tiny, pixels, Image.new("RGB", (64, 48), "white")) <= LEVELS


def test_pictures_of_different_size_and_mode_in_one_call_are_seen_as_alone(tiny: Loaded) -> None:
    pictures = [
        scene(*size, mode) for size, mode in zip(SIZES, ["RGB", "L", "RGBA", "P", "CMYK", "1", "LA", "I"], strict=True)
    ]
    together = shown(tiny, *pictures)
    for pixels, picture in zip(together, pictures, strict=True):
        assert torch.equal(pixels, shown(tiny, picture)[0])


@pytest.mark.parametrize("size", SIZES[3:], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_checkpoints_own_processor_makes_the_same_of_it(tiny: Loaded, size: tuple[int, int]) -> None:
    picture = scene(*size)
    theirs = tiny.verified.processor(text="<CAPTION>", images=picture, return_tensors="pt")["pixel_values"]
    assert torch.equal(shown(tiny, picture), theirs)


def test_full_resolution_as_the_published_settings_say(tiny: Loaded) -> None:
    """768 pixels, bicubic, no crop: the settings of every published Florence-2."""
    published = CLIPImageProcessor(
        size={"height": 768, "width": 768},
        resample=3,
        do_center_crop=False,
        **IMAGENET,
    )
    processor = SimpleNamespace(
        image_processor=published, tokenizer=tiny.verified.processor.tokenizer, num_image_tokens=5
    )
    full = replace(tiny, verified=replace(tiny.verified, processor=processor))
    picture = scene(1023, 417)
    (pixels,) = shown(full, picture)
    assert pixels.shape == (3, 768, 768)
    assert levels_apart(full, pixels, picture) <= LEVELS
