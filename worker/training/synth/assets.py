"""Fetching the open drawings scenes are made of: Fluent, Twemoji and Noto emoji.

Run as: python -m worker.training.synth.assets

The two npm packages are packed into `.shelfguard/assets/` with the ordinary npm client; Noto Color Emoji comes from the
system's fonts (Debian: fonts-noto-color-emoji). Nothing of it is committed. OpenMoji is fetched to measure with
only: how well an unseen drawing style is recognised. No training scene is drawn in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

PACKAGES = {"fluent": "@lobehub/fluent-emoji-3d@1.1.0", "twemoji": "@twemoji/svg@15.0.0"}
NOTO_FILES = (
    Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"),
    Path("/usr/share/fonts/noto/NotoColorEmoji.ttf"),
    Path("/usr/share/fonts/google-noto-emoji/NotoColorEmoji.ttf"),
)
STYLES = ("fluent", "twemoji", "noto")
UNSEEN = "openmoji"
MEASURED = {UNSEEN: "openmoji@17.0.0"}
SUBFOLDERS = {"fluent": "assets", UNSEEN: "color/svg"}


class AssetsMissing(RuntimeError):
    """No drawings here, and they could not be fetched."""


def folder() -> Path:
    """Where fetched drawings lie; `SHELFGUARD_ASSETS` moves it."""
    default = Path(__file__).resolve().parents[3] / ".shelfguard" / "assets"
    return Path(os.environ.get("SHELFGUARD_ASSETS", default))


def drawings(style: str) -> Path:
    """The folder of one npm style, which need not exist."""
    base = folder() / style / "package"
    return base / SUBFOLDERS.get(style, "")


def noto_font() -> Path | None:
    """The colour font, where the system has it; a copy in the assets folder wins."""
    candidates = (folder() / "NotoColorEmoji.ttf", *NOTO_FILES)
    return next((file for file in candidates if file.is_file()), None)


def available() -> tuple[str, ...]:
    """Styles that training may draw in on this machine."""
    here = [style for style in PACKAGES if drawings(style).is_dir()]
    return tuple(here + (["noto"] if noto_font() else []))


def fetch(styles: Iterable[str] = tuple(PACKAGES)) -> None:
    """Pack and unpack what is missing; raises `AssetsMissing` with the reason where that is impossible."""
    for style in styles:
        if drawings(style).is_dir():
            continue
        if shutil.which("npm") is None:
            raise AssetsMissing(f"no {style} drawings in {folder()}, and npm, which fetches them, is not installed")
        target = folder() / style
        target.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", (PACKAGES | MEASURED)[style], "--silent"],
            cwd=target,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        archives = sorted(target.glob("*.tgz"))
        if packed.returncode != 0 or not archives:
            raise AssetsMissing(f"npm pack for {style} failed: {packed.stderr.strip()[-300:]}")
        with tarfile.open(archives[-1]) as archive:
            _unpack(archive, target)
        archives[-1].unlink()


def _unpack(archive: tarfile.TarFile, target: Path) -> None:
    """Plain files only, and none outside `target`; `extractall(filter=)` is missing before Python 3.11.4."""
    for member in archive:
        path = (target / member.name).resolve()
        packed = archive.extractfile(member) if member.isreg() else None
        if packed is None or not path.is_relative_to(target.resolve()):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed.read())


def main() -> None:
    fetch()
    styles = available()
    print(f"drawings in {folder()}: {', '.join(styles)}")
    if "noto" not in styles:
        print("Noto Color Emoji is missing: install the font (Debian: fonts-noto-color-emoji) to draw that style too")


if __name__ == "__main__":
    main()
