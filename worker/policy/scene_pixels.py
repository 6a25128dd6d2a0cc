"""What a scene says about intake's inspection; left out, it is a product shot on pure white."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from domain.inspection import (
    Background,
    Barcode,
    Exposure,
    Foreground,
    Frame,
    Inspection,
    PerceptualHash,
)

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Levels = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False)]
Level = Annotated[int, Field(ge=0, le=255)]
Colour = Annotated[list[Level], Field(min_length=3, max_length=3)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SceneBackground(_Strict):
    share: Share = 0.5
    plain: Share = 1.0
    whiteness: Share = 1.0
    off_white: Levels = 0.0
    rgb: Colour = [255, 255, 255]


class SceneForeground(_Strict):
    """A centred piece of this extent each way."""

    share: Share = 0.5
    extent: Share = 0.9
    edges: Annotated[int, Field(ge=0, le=4)] = 0


class SceneFrame(_Strict):
    sides: Annotated[int, Field(ge=0, le=4)] = 0
    thickness: Share = 0.0
    rgb: Colour = [0, 0, 0]


class SceneCode(_Strict):
    text: str
    format: str = "QR Code"


class SceneInspection(_Strict):
    """codes may be plain text, which is then a QR code's."""

    background: SceneBackground = SceneBackground()
    foreground: SceneForeground = SceneForeground()
    frame: SceneFrame = SceneFrame()
    clipped_dark: Share = 0.0
    clipped_light: Share = 0.0
    panels: Annotated[int, Field(ge=1)] = 1
    colours: Annotated[int, Field(ge=1)] = 40
    codes: list[str | SceneCode] = []
    digital_source_type: Annotated[str, Field(max_length=60)] = ""

    def found(self) -> Inspection:
        ground, piece, frame = self.background, self.foreground, self.frame
        start, end = (1 - piece.extent) / 2, (1 + piece.extent) / 2
        return Inspection(
            background=Background(ground.share, ground.plain, ground.whiteness, ground.off_white, _rgb(ground.rgb)),
            foreground=Foreground(piece.share, (start, start, end, end), piece.extent, piece.edges),
            frame=Frame(frame.sides, frame.thickness, _rgb(frame.rgb)),
            exposure=Exposure(self.clipped_dark, self.clipped_light),
            panels=self.panels,
            colours=self.colours,
            pdq=PerceptualHash("0" * 64, 0),
            barcodes=tuple(_code(given) for given in self.codes),
            digital_source_type=self.digital_source_type,
        )


def _code(given: str | SceneCode) -> Barcode:
    code = SceneCode(text=given) if isinstance(given, str) else given
    return Barcode(code.format, code.text, (0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.4, 0.6))


def _rgb(levels: list[int]) -> tuple[int, int, int]:
    red, green, blue = levels
    return (red, green, blue)
