"""The one statement of metadata that must survive: "this picture was made by AI" (IPTC digital source type).

Marketplaces ask for it (IPTC NewsCodes `digitalsourcetype`; Google Merchant Center "AI-generated content"). XMP and
Content Credentials carry much else that is personal, so the packet is rebuilt with this single property.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

CODE = re.compile(rb"cv\.iptc\.org/newscodes/digitalsourcetype/([A-Za-z]{1,60})", re.IGNORECASE)
SEARCH_LIMIT = 4_000_000  # bytes searched in one file's metadata


def find(blocks: Iterable[bytes]) -> str | None:
    """The first digital source type named in any metadata block (XMP, or a Content Credentials manifest)."""
    left = SEARCH_LIMIT
    for block in blocks:
        if match := CODE.search(block[: max(left, 0)].replace(b"\x00", b"")):
            return match.group(1).decode("ascii")
        left -= len(block)
    return None


def packet(code: str) -> bytes:
    """A minimal XMP packet that states the digital source type."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{code}"/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode("ascii")
