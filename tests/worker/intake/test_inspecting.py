"""What intake inspects, on pictures drawn so that the answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zxingcpp
from PIL import Image, ImageDraw

from domain.inspection import MOST_BARCODE_CHARACTERS, Inspection
from tests.worker.intake.pictures import XMP, colours, encode, with_jpeg_segment
from worker.intake.decode import close_sandbox, decode_photo
from worker.intake.developing import develop
from worker.intake.inspecting import inspect
from worker.intake.limits import DecodeLimits
from worker.intake.regions import components

RED = (200, 30, 40)


def product_on(ground: tuple[int, int, int], box: tuple[int, int, int, int] = (100, 200, 500, 400)) -> Image.Image:
    picture = Image.new("RGB", (600, 600), ground)
    ImageDraw.Draw(picture).ellipse(box, fill=RED)
    return picture


def busy(width: int = 400, height: int = 300, seed: int = 3) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.NEAREST)


def code_of(text: str, format: zxingcpp.BarcodeFormat = zxingcpp.BarcodeFormat.QRCode, scale: int = 5) -> Image.Image:
    return Image.fromarray(np.array(zxingcpp.create_barcode(text, format).to_image(scale=scale)))


# -- Background and product --------------------------------------------------------------------------------------------


def test_a_product_on_white_fills_the_share_it_was_drawn_with() -> None:
    found = inspect(product_on((255, 255, 255)))
    assert found.background.whiteness == 1
    assert found.background.off_white == 0
    assert found.background.plain == 1
    assert found.foreground.share == pytest.approx(np.pi * 200 * 100 / 600**2, abs=0.01)
    assert found.foreground.box == pytest.approx((1 / 6, 1 / 3, 5 / 6, 2 / 3), abs=0.01)
    assert found.foreground.extent == pytest.approx(2 / 3, abs=0.01)
    assert found.foreground.edges == 0


@pytest.mark.parametrize(("level", "whiteness"), [(255, 1.0), (251, 1.0), (250, 1.0), (249, 0.0), (235, 0.0)])
def test_white_is_within_five_levels(level: int, whiteness: float) -> None:
    found = inspect(product_on((level, level, level))).background
    assert found.whiteness == pytest.approx(whiteness, abs=0.02)
    assert found.off_white == 255 - level


@pytest.mark.parametrize("side", [200, 400, 1500])
def test_a_compressed_outline_on_pure_white_does_not_make_the_ground_less_white(side: int) -> None:
    resized = product_on((255, 255, 255)).resize((side, side), Image.Resampling.LANCZOS)
    found = develop(encode(resized, "JPEG", quality=75), DecodeLimits()).inspection.background
    assert found.whiteness > 0.98
    assert found.off_white <= 5


def test_a_shadow_that_reaches_far_makes_the_ground_less_white() -> None:
    picture = Image.new("RGB", (600, 600), (255, 255, 255))
    ImageDraw.Draw(picture).ellipse((100, 330, 500, 470), fill=(238, 238, 238))
    picture.paste(product_on((255, 255, 255)).crop((90, 190, 510, 350)), (90, 190))
    found = inspect(picture).background
    assert found.whiteness < 0.95
    assert found.off_white >= 15


def test_half_white_half_grey_ground_is_half_white() -> None:
    picture = product_on((255, 255, 255))
    picture.paste((128, 128, 128), (0, 0, 600, 200))
    found = inspect(picture).background
    ground = 600 * 600 - np.pi * 200 * 100
    assert found.plain == pytest.approx(1, abs=0.01)
    assert found.whiteness == pytest.approx((ground - 600 * 200) / ground, abs=0.01)


def test_a_busy_scene_with_one_white_corner_has_no_white_background() -> None:
    picture = busy()
    picture.paste((255, 255, 255), (0, 0, 120, 90))
    found = inspect(picture).background
    assert found.plain < 0.5
    assert found.whiteness < 0.9


def test_a_product_that_is_cropped_touches_the_edge() -> None:
    assert inspect(product_on((255, 255, 255), (-100, 200, 500, 400))).foreground.edges == 1
    assert inspect(product_on((255, 255, 255), (-100, 200, 700, 400))).foreground.edges == 2


def test_the_box_is_around_the_largest_piece() -> None:
    picture = product_on((255, 255, 255))
    picture.paste((0, 0, 200), (560, 560, 580, 580))
    found = inspect(picture).foreground
    assert found.box == pytest.approx((1 / 6, 1 / 3, 5 / 6, 2 / 3), abs=0.01)


def test_ground_enclosed_by_the_product_counts_as_foreground() -> None:
    picture = product_on((255, 255, 255))
    ImageDraw.Draw(picture).ellipse((250, 270, 350, 330), fill=(255, 255, 255))
    assert inspect(picture).foreground.share == inspect(product_on((255, 255, 255))).foreground.share


def test_pieces_of_a_mask_are_told_apart_however_they_wind() -> None:
    spiral = np.zeros((40, 40), dtype=np.bool_)
    top, left, bottom, right = 1, 1, 38, 38
    while right - left > 4:
        spiral[top, left : right + 1] = spiral[top : bottom + 1, right] = True
        spiral[bottom, left + 2 : right + 1] = spiral[top + 2 : bottom + 1, left + 2] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    spiral[0, 39] = False
    dots = spiral.copy()
    dots[0, 0] = True
    assert len(np.unique(components(spiral)[spiral])) == 1
    assert len(np.unique(components(dots)[dots])) == 2
    assert (components(dots) == -1).sum() == (~dots).sum()


# -- Exposure, colours ------------------------------------------------------------------------------------------------


def test_clipped_shadows_and_highlights() -> None:
    picture = Image.new("RGB", (400, 400), (128, 128, 128))
    picture.paste((0, 0, 0), (100, 100, 300, 200))
    picture.paste((255, 255, 255), (100, 200, 300, 300))
    found = inspect(picture).exposure
    assert found.clipped_dark == pytest.approx(1 / 8, abs=0.01)
    assert found.clipped_light == pytest.approx(1 / 2, abs=0.02)
    assert inspect(product_on((255, 255, 255))).exposure.clipped_light == pytest.approx(0, abs=0.02)


def test_few_colours_in_a_drawing_many_in_a_photo() -> None:
    assert inspect(product_on((255, 255, 255))).colours <= 4
    assert inspect(busy()).colours > 100


# -- Frames and panels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [(0, 0, 0), (20, 60, 200), (255, 255, 255)])
@pytest.mark.parametrize("thickness", [4, 12, 40])
@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
def test_an_added_frame_is_found_with_colour_and_thickness(
    colour: tuple[int, int, int], thickness: int, format_name: str
) -> None:
    picture = Image.new("RGB", (400, 300), colour)
    picture.paste(busy(400 - 2 * thickness, 300 - 2 * thickness), (thickness, thickness))
    found = develop(encode(picture, format_name, quality=90), DecodeLimits()).inspection
    assert found is not None
    assert found.frame.sides == 4
    assert found.frame.thickness == pytest.approx(thickness / 300, abs=0.011)
    assert found.frame.rgb == pytest.approx(colour, abs=6)


def test_bars_above_and_below_are_two_sides() -> None:
    picture = Image.new("RGB", (400, 400), (0, 0, 0))
    picture.paste(busy(400, 300), (0, 50))
    assert inspect(picture).frame.sides == 2


@pytest.mark.parametrize("ground", [(255, 255, 255), (240, 240, 240), (30, 30, 30)])
def test_plain_ground_is_no_frame(ground: tuple[int, int, int]) -> None:
    assert inspect(product_on(ground, (20, 20, 580, 580))).frame.sides == 0
    assert inspect(busy()).frame.sides == 0


def test_a_line_drawn_around_the_product_is_a_frame() -> None:
    picture = product_on((255, 255, 255))
    ImageDraw.Draw(picture).rectangle((12, 12, 587, 587), outline=(220, 0, 0), width=6)
    found = inspect(picture).frame
    assert found.sides == 4


@pytest.mark.parametrize(("columns", "rows"), [(2, 1), (1, 2), (2, 2), (3, 2)])
@pytest.mark.parametrize("gutter", [(255, 255, 255), (0, 0, 0)])
def test_a_collage_has_as_many_panels_as_pictures(columns: int, rows: int, gutter: tuple[int, int, int]) -> None:
    picture = Image.new("RGB", (480, 480), gutter)
    width, height = (480 - 8 * (columns - 1)) // columns, (480 - 8 * (rows - 1)) // rows
    for column in range(columns):
        for row in range(rows):
            place = (column * (width + 8), row * (height + 8))
            picture.paste(busy(width, height, seed=column + 7 * row), place)
    assert inspect(picture).panels == columns * rows


def test_plain_ground_beside_a_gutter_does_not_hide_it() -> None:
    picture = Image.new("RGB", (620, 300), (90, 90, 90))
    for left in (0, 320):
        picture.paste(product_on((255, 255, 255)).resize((300, 300)), (left, 0))
    assert inspect(picture).panels == 2


def test_two_products_on_one_ground_are_one_picture() -> None:
    picture = product_on((255, 255, 255), (20, 150, 280, 450))
    ImageDraw.Draw(picture).ellipse((320, 150, 580, 450), fill=(20, 120, 30))
    assert inspect(picture).panels == 1
    assert inspect(busy()).panels == 1


# -- Codes -------------------------------------------------------------------------------------------------------------


def with_code(code: Image.Image, turned: int = 0) -> Image.Image:
    picture = colours(800, 600).copy()
    picture.paste(code.convert("RGB").rotate(turned, expand=True, fillcolor=(255, 255, 255)), (300, 200))
    return picture


@pytest.mark.parametrize("turned", [0, 90, 180, 30])
def test_a_qr_code_is_read_however_it_is_turned(turned: int) -> None:
    (found,) = inspect(with_code(code_of("https://cheap-bags.shop/x?a=1"), turned)).barcodes
    assert (found.format, found.text) == ("QR Code", "https://cheap-bags.shop/x?a=1")
    xs, ys = found.quad[0::2], found.quad[1::2]
    assert 300 / 800 <= min(xs) < max(xs) <= 1 and 200 / 600 <= min(ys) < max(ys) <= 1


def test_an_article_number_is_read() -> None:
    (found,) = inspect(with_code(code_of("4006381333931", zxingcpp.BarcodeFormat.EAN13, scale=2))).barcodes
    assert (found.format, found.text) == ("EAN-13", "4006381333931")


def test_what_a_code_says_is_cut_and_has_no_control_characters() -> None:
    hostile = "\x00\x1b[2J<script>" + "A" * 1500
    (found,) = inspect(with_code(code_of(hostile, scale=3))).barcodes
    assert len(found.text) <= MOST_BARCODE_CHARACTERS
    assert found.text.isprintable()
    assert "<script>" in found.text


def test_a_picture_without_codes_has_none() -> None:
    assert inspect(busy()).barcodes == ()


# -- Together ----------------------------------------------------------------------------------------------------------


def test_the_sandbox_inspects_and_what_it_found_survives_json() -> None:
    data = encode(with_code(code_of("tel:+49301234567")), "PNG")
    try:
        found = decode_photo(data).inspection
    finally:
        close_sandbox()
    assert found is not None
    assert found.barcodes[0].text == "tel:+49301234567"
    assert Inspection.from_json(json.loads(json.dumps(found.as_json()))) == found


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_the_mark_of_a_picture_made_by_ai_is_seen(format_name: str) -> None:
    picture = colours()
    if format_name == "JPEG":
        data = with_jpeg_segment(encode(picture, "JPEG"), 0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + XMP)
    elif format_name == "WEBP":
        data = encode(picture, "WEBP", xmp=XMP)
    else:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        data = encode(picture, "PNG", pnginfo=info)
    marked, plain = develop(data, DecodeLimits()), develop(encode(picture, format_name), DecodeLimits())
    assert marked.inspection is not None and plain.inspection is not None
    assert marked.inspection.digital_source_type == "trainedAlgorithmicMedia"
    assert plain.inspection.digital_source_type == ""


@pytest.mark.parametrize("size", [(3, 3), (16, 16), (20, 400), (400, 20)])
def test_the_smallest_and_longest_pictures_are_inspected_too(size: tuple[int, int]) -> None:
    found = inspect(Image.new("RGB", size, (255, 255, 255)))
    assert found.background.whiteness == 1
    assert found.foreground.share == 0
    assert found.panels == 1
    assert found.frame.sides == 0


@pytest.mark.parametrize(
    "broken",
    [
        {"panels": "many"},
        {"background": {"share": 2, "plain": 1, "whiteness": 1, "off_white": 0, "rgb": [0, 0, 0]}},
        {"frame": {"sides": 0, "thickness": float("nan"), "rgb": [0, 0, 0]}},
        {"frame": {"sides": 0, "thickness": 0, "rgb": [0, 0, 900]}},
        {"pdq": {"hex": "0x" + "0" * 62, "quality": 1}},
        {"digital_source_type": 7},
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(broken: dict[str, object]) -> None:
    good = inspect(colours()).as_json()
    with pytest.raises((TypeError, ValueError, KeyError)):
        Inspection.from_json({**good, **broken})
