"""What a walker hands back, and a reader that never runs past the end of the bytes."""

from __future__ import annotations

from dataclasses import dataclass

from worker.intake import refusals


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A file rebuilt from received bytes.

    data: the cleaned file. still: the same, or its first frame alone where the container is animated. width, height:
    as stored, before orientation. orientation: the EXIF value 1 to 8. largest: pixels of the largest frame.
    digital_source_type: the IPTC code that the file's metadata states, kept in `data`; empty where it states none.
    """

    format: str
    data: bytes
    still: bytes
    width: int
    height: int
    orientation: int = 1
    largest: int = 0
    digital_source_type: str = ""


class Cursor:
    """Reads forward through bytes; running out is a truncated photo (InputRejected)."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise refusals.truncated()
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def byte(self) -> int:
        return self.take(1)[0]

    @property
    def at_end(self) -> bool:
        return self.at >= len(self.data)
