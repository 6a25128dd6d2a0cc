"""Images: any PIL picture to the RGB that the processor expects.

The original checkpoints leave `do_convert_rgb` unset, and the processor would fetch an image given as a string: only
RGB pictures of our own making reach it.
"""

from __future__ import annotations

from PIL import Image

from domain.errors import InputRejected

WHITE = (255, 255, 255)


def as_rgb(image: Image.Image) -> Image.Image:
    """RGB of the same size; transparency is laid on white, as a shop's page would.

    Raises InputRejected when the pixels cannot be read.
    """
    try:
        if image.mode == "RGB":
            image.load()
            return image
        if image.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8 instead of scaling them
            image = image.convert("I").point(lambda value: value / 256).convert("L")
        if image.has_transparency_data:
            picture = image.convert("RGBA")
            ground = Image.new("RGBA", picture.size, (*WHITE, 255))
            return Image.alpha_composite(ground, picture).convert("RGB")
        return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise InputRejected(
            "image_unreadable", f"The picture's pixels cannot be read ({error}). Save it again as JPEG or PNG."
        ) from error
