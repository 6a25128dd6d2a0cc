"""Cleaning a container: same pixels, no personal data, nothing after the end."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from domain.errors import InputRejected
from tests.worker.intake.pictures import (
    AI,
    SECRET,
    XMP,
    colours,
    encode,
    icc_profile,
    personal_exif,
    pixels,
    png,
    png_chunk,
    with_jpeg_segment,
)
from worker.intake.containers import clean

FORMATS = ("JPEG", "PNG", "WEBP")
TAIL = b"<script>alert(1)</script>PK\x03\x04 48 N 8 E" * 40


def personal(format_name: str, orientation: int) -> bytes:
    """A photo with everything that has to go."""
    picture = colours()
    options = {"exif": personal_exif(orientation), "icc_profile": icc_profile()}
    if format_name == "PNG":
        info_chunks = png_chunk(b"tEXt", b"Author\x00" + SECRET) + png_chunk(
            b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + XMP
        )
        data = encode(picture, "PNG", **options)
        return data[:33] + info_chunks + data[33:]
    return encode(picture, format_name, xmp=XMP, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", FORMATS)
def test_pixels_stay_and_personal_data_goes(format_name: str, orientation: int) -> None:
    received = personal(format_name, orientation)
    assert SECRET in received
    cleaned = clean(received + TAIL)
    assert pixels(cleaned.data) == pixels(received)
    assert SECRET not in cleaned.data
    assert b"<script>" not in cleaned.data
    with Image.open(io.BytesIO(cleaned.data)) as picture:
        assert picture.format == format_name
        left = dict(picture.getexif())
    assert left == ({0x0112: orientation} if orientation > 1 else {})
    assert cleaned.orientation == orientation


@pytest.mark.parametrize("format_name", FORMATS)
def test_ai_provenance_and_colour_profile_stay(format_name: str) -> None:
    cleaned = clean(personal(format_name, 6))
    assert AI in cleaned.data
    with Image.open(io.BytesIO(cleaned.data)) as picture:
        assert picture.info["icc_profile"] == icc_profile()


@pytest.mark.parametrize("format_name", FORMATS)
def test_cleaning_twice_changes_nothing_more(format_name: str) -> None:
    once = clean(personal(format_name, 5)).data
    assert clean(once).data == once


@pytest.mark.parametrize("format_name", [*FORMATS, "GIF"])
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), width=st.integers(1, 90), height=st.integers(1, 90), tail=st.binary(max_size=200))
def test_any_honest_picture_survives(format_name: str, seed: int, width: int, height: int, tail: bytes) -> None:
    received = encode(colours(width, height, seed), format_name)
    cleaned = clean(received + tail)
    assert pixels(cleaned.data) == pixels(received)
    assert (cleaned.width, cleaned.height) == (width, height)
    assert len(cleaned.data) <= len(received) + 64


@pytest.mark.parametrize("format_name", [*FORMATS, "GIF"])
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_broken_files_are_refused_or_cleaned_but_never_crash(format_name: str, data: st.DataObject) -> None:
    received = bytearray(encode(colours(), format_name))
    for _ in range(data.draw(st.integers(1, 8))):
        received[data.draw(st.integers(0, len(received) - 1))] = data.draw(st.integers(0, 255))
    try:
        clean(bytes(received[: data.draw(st.integers(0, len(received)))]))
    except InputRejected as refusal:
        assert refusal.message.endswith((".", "it", "again"))


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_profile_that_is_none_is_dropped(format_name: str) -> None:
    cleaned = clean(encode(colours(), format_name, icc_profile=b"not a profile" * 20))
    with Image.open(io.BytesIO(cleaned.data)) as picture:
        assert "icc_profile" not in picture.info


def test_bombs_in_png_metadata_are_dropped_unopened() -> None:
    import zlib

    bomb = zlib.compress(bytes(50_000_000), 9)
    extra = b"".join(
        [
            png_chunk(b"iCCP", b"x\x00\x00" + bomb),
            png_chunk(b"zTXt", b"x\x00\x00" + bomb),
            png_chunk(b"iTXt", b"x\x00\x01\x00\x00\x00" + bomb),
        ]
    )
    cleaned = clean(png(40, 40, extra=extra))
    assert len(cleaned.data) < 500
    assert pixels(cleaned.data) == pixels(png(40, 40))


def test_jpeg_comments_thumbnails_and_foreign_segments_go() -> None:
    data = encode(colours(), "JPEG", comment=SECRET)
    for marker in (0xE1, 0xE2, 0xE5, 0xEC, 0xED, 0xEF):
        data = with_jpeg_segment(data, marker, b"Photoshop 3.0\x00" + SECRET)
    cleaned = clean(data)
    assert SECRET not in cleaned.data
    assert pixels(cleaned.data) == pixels(data)


def test_provenance_in_content_credentials_is_found() -> None:
    data = with_jpeg_segment(encode(colours(), "JPEG"), 0xEB, b"JP\x00\x01 manifest http://cv.iptc.org/newscodes/" + AI)
    assert AI in clean(data).data


def test_an_animated_webp_keeps_its_frames_and_a_gif_its_loop() -> None:
    frames = [colours(seed=seed) for seed in range(4)]
    for format_name in ("WEBP", "GIF"):
        data = encode(frames[0], format_name, save_all=True, append_images=frames[1:], loop=3, duration=40)
        with Image.open(io.BytesIO(clean(data).data)) as picture:
            assert getattr(picture, "n_frames", 1) == 4
            assert picture.info["loop"] == 3


def test_gif_comments_go_and_the_first_frame_stands_alone() -> None:
    frames = [colours(seed=seed) for seed in range(3)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=SECRET)
    cleaned = clean(data)
    assert SECRET in data and SECRET not in cleaned.data
    with Image.open(io.BytesIO(cleaned.still)) as still:
        assert getattr(still, "n_frames", 1) == 1
    assert pixels(cleaned.still) == pixels(data)


def test_the_second_picture_of_an_mpo_goes() -> None:
    data = encode(colours(), "MPO", save_all=True, append_images=[colours(seed=2)])
    cleaned = clean(data)
    assert cleaned.data.count(b"\xff\xd8\xff") == 1
    with Image.open(io.BytesIO(cleaned.data)) as picture:
        assert picture.format == "JPEG"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"<!DOCTYPE html><html><svg></svg></html>", "not_an_image"),
        (b"GIF8", "not_an_image"),
        (b"\x00" * 100, "not_an_image"),
        (b"just words", "not_an_image"),
        (b'<?xml version="1.0"?><!-- x --><svg onload="alert(1)">', "unsupported_format"),
        (b"\x00\x00\x00\x20ftypheic" + bytes(50), "unsupported_format"),
        (b"\x00\x00\x00\x20ftypavif" + bytes(50), "unsupported_format"),
        (b"8BPS\x00\x01" + bytes(50), "unsupported_format"),
        (b"%!PS-Adobe", "unsupported_format"),
        (b"%PDF-1.7", "unsupported_format"),
        (b"SIMPLE  =                    T", "unsupported_format"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "unsupported_format"),
        (b"DDS |", "unsupported_format"),
        (b"\x00\x00\x01\x00\x01\x00" + bytes(50), "unsupported_format"),
        (b"II*\x00\x08\x00\x00\x00", "unsupported_format"),
    ],
)
def test_what_is_no_photo_is_named(data: bytes, code: str) -> None:
    with pytest.raises(InputRejected) as refusal:
        clean(data)
    assert refusal.value.code == code
