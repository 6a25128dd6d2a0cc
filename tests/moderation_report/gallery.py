"""A page with every picture that was judged wrongly, and with what was read on it; kept out of the repository."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.moderation_report.measuring import Row
from tests.overlays.drawn import Family

_HEAD = """<!doctype html><meta charset="utf-8"><title>Judged wrongly</title>
<style>
body{font:14px sans-serif;margin:1.5em}
figure{display:inline-block;width:300px;vertical-align:top;margin:0 1em 1.5em 0}
img{max-width:300px}figcaption{overflow-wrap:anywhere}b.wrong{color:#b00}b.missed{color:#06c}
</style>
<h1>Judged wrongly</h1><p>Red: an alarm for something that is not there. Blue: missed.</p>
"""


def write(rows: Sequence[Row], file: Path) -> None:
    """One figure for each wrong answer's picture, family by family."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sections = []
    for family in Family:
        figures = [figure for row in rows if (figure := _figure(row, family))]
        if figures:
            sections.append(f"<h2>{family.value}: {len(figures)}</h2>\n" + "\n".join(figures))
    file.write_text(_HEAD + "\n".join(sections), "utf-8")


def _figure(row: Row, family: Family) -> str:
    answers = [
        _answer(reader, family in one.alarms) for reader, one in row.outcomes.items() if _is_wrong(row, family, reader)
    ]
    if not answers:
        return ""
    picture = base64.b64encode(row.thumbnail).decode()
    said = f"{row.case.kind}, {row.detail}: {row.text}" if row.text else f"{row.case.kind}, {row.detail}"
    read = "; ".join(_unlike(f"{reader} read: {one.read}" for reader, one in row.outcomes.items() if one.read))
    return (
        f'<figure><img src="data:image/jpeg;base64,{picture}" alt="">'
        f"<figcaption>{' '.join(answers)}<br>{html.escape(said)}<br>{html.escape(row.subject)}<br>"
        f"<small>{html.escape(read[:400])}</small></figcaption></figure>"
    )


def _is_wrong(row: Row, family: Family, reader: str) -> bool:
    one = row.outcomes[reader]
    return family in one.known - row.unsure and (family in one.alarms) != (family in row.has)


def _answer(reader: str, alarm: bool) -> str:
    return f'<b class="{"wrong" if alarm else "missed"}">{reader}: {"false alarm" if alarm else "missed"}</b>'


def _unlike(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
