"""Manifest: names and sha256 of a checkpoint's or adapter's files, so that a later change is noticed and named.

The file has the lines of coreutils, so that `sha256sum -c MANIFEST.sha256` reads it without us.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from domain.errors import CheckpointRefused

MANIFEST = "MANIFEST.sha256"

_LINE = re.compile(r"(?P<sum>[0-9a-f]{64}) [ *](?P<name>[^/\\]+)")
_ANEW = (
    "If the change was meant, write the manifest anew with `shelfguard model manifest {folder}`; "
    "otherwise copy or download the checkpoint again."
)


def file_sum(file: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def covered(folder: Path) -> list[Path]:
    """The files a manifest covers: all in the folder itself except hidden ones and the manifest, by name."""
    return sorted(
        file for file in folder.iterdir() if file.is_file() and file.name != MANIFEST and not file.name.startswith(".")
    )


def write_manifest(folder: Path) -> dict[str, str]:
    """Write the manifest, replacing one that is there; sha256 by file name.

    Raises CheckpointRefused when there is nothing to write about.
    """
    if not folder.is_dir():
        raise CheckpointRefused(str(folder), "There is no such directory.", "Check the path.")
    sums = {file.name: file_sum(file) for file in covered(folder)}
    if not sums:
        raise CheckpointRefused(str(folder), "There are no files in it.", "Check the path.")
    _write(folder, sums)
    return sums


def _write(folder: Path, sums: Mapping[str, str]) -> None:
    new = folder / f".{MANIFEST}.new"
    new.write_text("".join(f"{value}  {name}\n" for name, value in sums.items()), encoding="utf-8")
    new.replace(folder / MANIFEST)


def renew_in_manifest(folder: Path, name: str) -> None:
    """Say in the manifest what one file of ours is now; what it promises of the others stays. Nothing without one."""
    if not (folder / MANIFEST).is_file():
        return
    _write(folder, dict(sorted((_read(folder) | {name: file_sum(folder / name)}).items())))


def check_manifest(folder: Path) -> dict[str, str]:
    """sha256 by file name of everything the manifest names; empty without a manifest.

    Raises CheckpointRefused naming the first file that is missing, changed, or not in the manifest.
    """
    if not (folder / MANIFEST).is_file():
        return {}
    promised = _read(folder)
    there = {file.name: file for file in covered(folder)}
    for name in sorted(promised.keys() | there.keys()):
        if name not in there:
            raise _differs(folder, f"{name} is missing, which {MANIFEST} names.")
        if name not in promised:
            raise _differs(folder, f"{name} is not in {MANIFEST}.")
        if file_sum(there[name]) != promised[name]:
            raise _differs(folder, f"{name} differs from {MANIFEST}.")
    return promised


def _read(folder: Path) -> dict[str, str]:
    promised = {}
    try:
        lines = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()
    except ValueError as error:
        raise _differs(folder, f"{MANIFEST} is no text ({error}).") from error
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise _differs(folder, f"{MANIFEST} line {number} is not 'sha256  name'.")
        promised[match["name"]] = match["sum"]
    return promised


def _differs(folder: Path, why: str) -> CheckpointRefused:
    return CheckpointRefused(str(folder), why, _ANEW.format(folder=folder))
