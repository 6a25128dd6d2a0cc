"""decode_photo on honest photos, on hostile ones, and on a sandbox that is being killed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
from PIL import Image

from domain.errors import InputRejected, Unavailable
from domain.photos import DecodedPhoto
from tests.worker.intake.pictures import (
    SECRET,
    colours,
    encode,
    endless_scans,
    gif_of,
    icc_profile,
    personal_exif,
    png,
    with_jpeg_segment,
    with_jpeg_size,
)
from worker.intake import decode
from worker.intake.decode import close_sandbox, decode_photo, sandbox_pid
from worker.intake.developing import develop
from worker.intake.limits import DecodeLimits
from worker.intake.zygote import Answer, Death

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module", autouse=True)
def sandbox() -> Iterator[None]:
    yield
    close_sandbox()


def refusal(data: bytes, limits: DecodeLimits = DecodeLimits()) -> str:  # noqa: B008 - frozen
    with pytest.raises(InputRejected) as refused:
        decode_photo(data, limits=limits)
    assert len(refused.value.message) > 20
    return refused.value.code


def copy_of(photo: DecodedPhoto) -> Image.Image:
    picture = Image.open(io.BytesIO(photo.model_copy))
    picture.load()
    return picture


def far_from(photo: DecodedPhoto, expected: Image.Image) -> float:
    """Mean difference of the model copy from what it should show, in levels of 255."""
    shown = np.asarray(copy_of(photo), dtype=np.int16)
    wanted = np.asarray(expected.convert("RGB").resize((shown.shape[1], shown.shape[0])), dtype=np.int16)
    return float(np.abs(shown - wanted).mean())


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "GIF"])
def test_each_format_comes_back_upright_rgb(format_name: str) -> None:
    picture = colours(300, 200)
    photo = decode_photo(encode(picture, format_name))
    assert (photo.format, photo.width, photo.height) == (format_name, 300, 200)
    assert copy_of(photo).mode == "RGB"
    assert far_from(photo, picture) < (12 if format_name == "GIF" else 6)  # a GIF has 256 colours
    assert Image.open(io.BytesIO(photo.original)).format == format_name


def test_the_sandbox_gives_what_the_function_gives() -> None:
    data = encode(colours(500, 300), "JPEG")
    assert decode_photo(data) == develop(data, DecodeLimits())


def test_the_model_copy_is_the_same_every_time_and_not_subsampled() -> None:
    data = encode(colours(2000, 1000), "JPEG")
    photo = decode_photo(data)
    assert photo.model_copy == decode_photo(data).model_copy
    shown = copy_of(photo)
    assert shown.size == (1536, 768)
    assert (photo.width, photo.height) == (2000, 1000)
    assert {component[1:3] for component in shown.layer} == {(1, 1)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(format_name: str, orientation: int) -> None:
    upright = colours(96, 64)
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(back[orientation]) if orientation in back else upright
    photo = decode_photo(encode(stored, format_name, exif=personal_exif(orientation)))
    assert (photo.width, photo.height) == (96, 64)
    assert far_from(photo, upright) < 6
    assert SECRET not in photo.original
    assert dict(copy_of(photo).getexif()) == {}


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (16, 16, 48, 48))
    palette = Image.new("P", (64, 64), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.paste(1, (16, 16, 48, 48))
    grey = clear.convert("LA")
    for data in (
        encode(clear, "PNG"),
        encode(clear, "WEBP", lossless=True),
        encode(palette, "PNG", transparency=0),
        encode(palette, "GIF", transparency=0),
        encode(grey, "PNG"),
    ):
        shown = copy_of(decode_photo(data))
        assert shown.getpixel((2, 2)) == (255, 255, 255)
        assert shown.getpixel((32, 32)) != (255, 255, 255)


def test_sixteen_bit_grey_keeps_its_middle() -> None:
    levels = np.full((64, 64), 32_768, dtype=np.uint16)
    assert decode_photo(encode(Image.fromarray(levels), "PNG")).pixels.brightness == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA"])
def test_unusual_modes_are_accepted(mode: str) -> None:
    picture = colours(80, 60).convert(mode)
    photo = decode_photo(encode(picture, "JPEG" if mode == "CMYK" else "PNG"))
    assert far_from(photo, picture.convert("RGB")) < 6


def test_a_gif_of_ten_thousand_frames_is_its_first() -> None:
    photo = decode_photo(gif_of(10_000))
    assert copy_of(photo).getpixel((5, 5)) == pytest.approx((254, 0, 0), abs=2)


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: b"", "empty_file"),
        (lambda: b"<html><body>photo.jpg</body></html>", "not_an_image"),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "unsupported_format"),
        (lambda: encode(colours(), "TIFF"), "unsupported_format"),
        (lambda: encode(colours(), "BMP"), "unsupported_format"),
        (lambda: bytes(20_000_001), "too_large"),
        (lambda: png(50_000, 50_000, rows=1000), "too_many_pixels"),
        (lambda: png(1, 1_000_000_000, rows=1000), "too_many_pixels"),
        (lambda: with_jpeg_size(encode(colours(), "JPEG"), 65_500, 65_500), "too_many_pixels"),
        (lambda: png(15, 100), "too_small"),
        (lambda: png(1, 1), "too_small"),
        (lambda: png(20, 500), "extreme_aspect"),
        (lambda: encode(colours(300, 300), "JPEG")[:-600], "truncated"),
        (lambda: encode(colours(300, 300), "JPEG")[:-600] + b"\xff\xd9", "truncated"),
        (lambda: encode(colours(300, 300), "PNG")[:-600], "truncated"),
        (lambda: encode(colours(300, 300), "WEBP")[:-600], "truncated"),
        (lambda: encode(colours(300, 300), "GIF")[:-600], "truncated"),
        (lambda: png(100, 100, rows=50), "truncated"),
        (lambda: png(100, 100, rows=99), "truncated"),
        (lambda: with_jpeg_size(encode(colours(64, 48), "JPEG"), 64, 96), "truncated"),
        (lambda: with_jpeg_size(encode(colours(64, 48), "JPEG", quality=30), 640, 480), "truncated"),
        (lambda: png(64, 64).replace(b"IDAT", b"IDAZ"), "corrupt"),
        (lambda: png(64, 64)[:-20] + b"\x00" + png(64, 64)[-19:], "corrupt"),
        (lambda: endless_scans(64, 64, 5_000), "too_complex"),
        (lambda: b"\xff\xd8\xff\xd9", "truncated"),
    ],
)
def test_unusable_files_are_refused_by_code(build: Callable[[], bytes], code: str) -> None:
    assert refusal(build()) == code


@pytest.mark.parametrize(
    "build",
    [
        lambda: encode(colours(), "JPEG") + bytes(3_000_000),
        lambda: encode(colours(), "JPEG") + b"PK\x03\x04<html>%PDF-1.7",
        lambda: encode(colours(), "JPEG", icc_profile=icc_profile(900_000)),
        lambda: encode(colours(), "PNG", icc_profile=b"\x00" * 5_000_000),
        lambda: encode(colours(), "JPEG", icc_profile=b"broken"),
        lambda: with_jpeg_segment(encode(colours(), "JPEG"), 0xE1, b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"),
        lambda: with_jpeg_segment(encode(colours(), "JPEG"), 0xE1, b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff"),
        lambda: encode(Image.new("RGB", (64, 64), (128, 128, 128)), "JPEG"),
        lambda: encode(Image.new("RGB", (64, 64), (128, 128, 128)), "JPEG", progressive=True),
        lambda: encode(Image.new("L", (64, 64), 128), "JPEG", restart_marker_blocks=2),
    ],
)
def test_odd_but_whole_files_are_accepted(build: Callable[[], bytes]) -> None:
    photo = decode_photo(build())
    assert (photo.width, photo.height) in {(64, 48), (64, 64)}
    assert len(photo.original) < 920_000


def test_memory_is_bounded() -> None:
    assert refusal(png(7000, 7000), DecodeLimits(address_space_bytes=300_000_000)) == "too_complex"


def test_cpu_time_is_bounded() -> None:
    heavy = encode(Image.new("RGBA", (7000, 7000), (1, 2, 3, 128)), "PNG")
    assert refusal(heavy, DecodeLimits(cpu_seconds=1, wall_seconds=60)) == "decode_timeout"


def test_a_machine_too_busy_to_decode_does_not_blame_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = Death(signal.SIGALRM, cpu_seconds=0.1, overdue=True)
    monkeypatch.setattr(decode._zygote, "develop", Mock(return_value=waited))
    with pytest.raises(Unavailable, match="too busy"):
        decode_photo(b"x")


def test_a_child_that_was_taken_over_cannot_fool_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for header, blobs in (
        ({"code": "approved", "message": "trust me"}, []),
        ({"code": "corrupt", "message": ["no", "text"]}, []),
        ({"format": "EXE", "width": 1}, [b"", b"\xff\xd8\xff"]),
        ({}, []),
    ):
        monkeypatch.setattr(decode._zygote, "develop", Mock(return_value=Answer(header, blobs)))
        with pytest.raises(InputRejected) as refused:
            decode_photo(b"x")
        assert refused.value.code == "decode_crashed"


class Killer(threading.Thread):
    """Kills decoding children as they appear, until it has killed so many."""

    def __init__(self, kills: int) -> None:
        super().__init__(daemon=True)
        self.left = kills

    def run(self) -> None:
        until = time.monotonic() + 60
        while self.left and time.monotonic() < until:
            pid = sandbox_pid()
            for child in psutil.Process(pid).children() if pid else []:
                child.kill()
                child_gone, _ = psutil.wait_procs([child], timeout=10)
                self.left -= len(child_gone)
            time.sleep(0.002)


@pytest.mark.parametrize(("kills", "blamed"), [(1, False), (2, True)])
def test_a_killed_child_is_tried_again_and_then_blamed(kills: int, blamed: bool) -> None:
    decode_photo(png(32, 32))  # the sandbox runs
    slow = png(7000, 7000)
    killer = Killer(kills)
    killer.start()
    if blamed:
        assert refusal(slow) == "decode_crashed"
    else:
        assert decode_photo(slow).width == 7000
    killer.join()
    assert killer.left == 0
    assert decode_photo(png(32, 32)).width == 32  # its neighbour is untouched


def test_a_killed_sandbox_is_replaced() -> None:
    decode_photo(png(32, 32))
    first = sandbox_pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert decode_photo(png(32, 32)).width == 32
    assert sandbox_pid() not in (None, first)


def test_the_sandbox_has_no_secrets_and_no_power(monkeypatch: pytest.MonkeyPatch) -> None:
    close_sandbox()
    monkeypatch.setenv("SHELFGUARD_SECRET_KEY", "do-not-leak")
    decode_photo(png(32, 32))
    process = psutil.Process(sandbox_pid())
    assert not any(name.startswith("SHELFGUARD") for name in process.environ())
    assert process.uids().effective != 0


def script(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_confined_child_can_open_nothing() -> None:
    done = script(
        "import os, socket\n"
        "from worker.intake.sandbox import confine\n"
        "from worker.intake.limits import DecodeLimits\n"
        "confine(DecodeLimits())\n"
        "for attempt in (socket.socket, lambda: open('/etc/passwd'), lambda: bytearray(3_000_000_000)):\n"
        "    try:\n"
        "        attempt()\n"
        "    except (OSError, MemoryError) as error:\n"
        "        os.write(1, type(error).__name__.encode() + b'\\n')\n"
        "os._exit(0)\n"
    )
    assert done.stdout.split() == ["OSError", "OSError", "MemoryError"], done.stderr


def test_forked_and_daemonic_processes_get_sandboxes_of_their_own() -> None:
    """As in Celery: the pool's children are daemonic and forked from a process that may have decoded already."""
    done = script(
        "import multiprocessing\n"
        "from tests.worker.intake.pictures import png\n"
        "from worker.intake.decode import decode_photo, sandbox_pid\n"
        "def child():\n"
        "    assert sandbox_pid() is None\n"
        "    print(decode_photo(png(40, 30)).width, sandbox_pid(), flush=True)\n"
        "decode_photo(png(40, 30))\n"
        "print(40, sandbox_pid(), flush=True)\n"
        "for _ in range(2):\n"
        "    process = multiprocessing.get_context('fork').Process(target=child, daemon=True)\n"
        "    process.start(); process.join(); assert process.exitcode == 0\n"
        "print(decode_photo(png(40, 30)).width, sandbox_pid(), flush=True)\n"
    )
    assert done.returncode == 0, done.stderr
    widths, pids = zip(*(line.split() for line in done.stdout.splitlines()), strict=True)
    assert widths == ("40",) * 4
    assert pids[0] == pids[3] and len(set(pids)) == 3
    until = time.monotonic() + 10
    while any(psutil.pid_exists(int(pid)) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(int(pid)) for pid in pids)


def test_the_sandbox_dies_with_its_parent() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; from tests.worker.intake.pictures import png\n"
            "from worker.intake.decode import decode_photo, sandbox_pid\n"
            "decode_photo(png(40, 30)); print(sandbox_pid(), flush=True); time.sleep(600)",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        sandbox = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    gone, _ = psutil.wait_procs([sandbox], timeout=10)
    assert gone
