"""The report as one HTML page, its pictures beside it. No script; what pictures and sellers say is escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from worker.backtest.figures import AFTER, BEFORE, LOOSER, STRICTER
from worker.backtest.gallery import Gallery, Photos, Shown

MOST_ROWS = 40  # of a table; the rest is in report.json


def write_report(folder: Path, document: Mapping[str, Any], samples: Mapping[str, Shown], photos: Photos) -> Path:
    """Write index.html, report.json and pictures/ into `folder`; returns the page. Old files of these names go.

    Raises OSError where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in (folder / "pictures").glob("*.jpg"):
        old.unlink()
    gallery = Gallery(folder, photos)
    pictures = {id: gallery.draw(shown) for id, shown in samples.items()}
    _replace(folder / "report.json", json.dumps(document, sort_keys=True, indent=1) + "\n")
    page = folder / "index.html"
    _replace(page, render(document, pictures))
    return page


def render(document: Mapping[str, Any], pictures: Mapping[str, Mapping[str, Any]]) -> str:
    """The page. `pictures`: names of the files by decision and side, as Gallery.draw gives them."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = _count
    environment.filters["signed"] = _signed
    environment.filters["plain"] = _plain
    environment.filters["breaking"] = _breaking
    environment.filters["duration"] = _duration
    return environment.get_template("report.html").render(
        doc=document, pictures=pictures, sides=(BEFORE, AFTER), directions=(STRICTER, LOOSER), most=MOST_ROWS
    )


def _count(value: float) -> str:
    return f"{value:,}"


def _signed(value: float) -> str:
    return f"{value:+,}" if value else "0"


def _plain(text: str) -> str:
    """Without what cannot be seen: control characters, and those that turn the direction of writing."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _breaking(text: str) -> Markup:
    """Names in it may break after dots and underscores, where a narrow column has to break them somewhere."""
    whole = str(escape(_plain(text)))
    return Markup(re.sub(r"(?<=[a-z])[._](?=[a-z])", r"\g<0><wbr>", whole))  # noqa: S704  # escaped above


def _duration(minutes: float) -> str:
    """Minutes as people say them."""
    whole = abs(minutes)
    if whole < 120:
        return f"{whole:,.1f} min"
    return f"{whole / 60:,.1f} h"


def _replace(path: Path, text: str) -> None:
    """All or nothing, so that a reader never meets half a page."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
