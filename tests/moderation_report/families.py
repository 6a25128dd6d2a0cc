"""When a family counts as found: by the shipped policy's findings where it has a rule, else by the signal and a limit.

The limits are those of the measure. A pack may set others; what they cost can be read off the signals' own tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.moderation import Finding
from tests.overlays.drawn import WORDS, Family

WHITE_ENOUGH = 0.95  # of background and edge; a channel that asks for pure white allows for a shadow
SMALL_EXTENT = 0.6  # of the picture's side
BURNT = 0.3  # of the foreground that is white
OUTSIDE = 0.01  # of the picture under text that is not on the product

Signals = Mapping[str, Any]
Alarm = Callable[[Signals, Sequence[Finding]], bool]


@dataclass(frozen=True)
class Looked:
    """How a family is looked for. by: what the report says about it. reads: it depends on who reads text."""

    alarm: Alarm
    by: str
    reads: bool = False
    model: bool = False


def _coded(*prefixes: str) -> Alarm:
    return lambda _, findings: any(one.policy_code.startswith(prefixes) for one in findings)


def _words(name: str) -> Alarm:
    return lambda _, findings: any(
        one.policy_code == "WORDS-BANNED" and any(item.get("list") == name for item in one.evidence) for one in findings
    )


LOOKED: dict[Family, Looked] = {
    Family.CONTACT: Looked(_coded("CONTACT-IN-PICTURE"), "rules contact.*", reads=True),
    **{family: Looked(_words(name), "rules words.*", reads=True) for name, family in WORDS.items()},
    Family.ADDED_TEXT: Looked(
        lambda signals, _: signals["text_share_outside"] > OUTSIDE, f"text_share_outside > {OUTSIDE}", reads=True
    ),
    Family.WATERMARK: Looked(lambda signals, _: bool(signals["watermarks"]), "watermarks", reads=True),
    Family.CODE: Looked(lambda signals, _: any(not code["retail"] for code in signals["codes"]), "codes, not retail"),
    Family.FRAME: Looked(lambda signals, _: signals["frame"]["sides"] > 0, "frame.sides > 0"),
    Family.NOT_WHITE: Looked(
        lambda signals, _: signals["background"]["whiteness"] < WHITE_ENOUGH, f"background.whiteness < {WHITE_ENOUGH}"
    ),
    Family.SMALL: Looked(
        lambda signals, _: signals["product"]["source"] == "pixels" and signals["product"]["extent"] < SMALL_EXTENT,
        f"product.extent < {SMALL_EXTENT}",
    ),
    Family.BLURRED: Looked(_coded("IMAGE-BLURRED"), "rule picture.blurred"),
    Family.DARK: Looked(_coded("IMAGE-DARK"), "rule picture.dark"),
    Family.OVEREXPOSED: Looked(
        lambda signals, _: signals["exposure"]["clipped_light"] > BURNT, f"exposure.clipped_light > {BURNT}"
    ),
    Family.COLLAGE: Looked(lambda signals, _: signals["panels"] > 1, "panels > 1"),
    Family.PROHIBITED: Looked(_coded("PROHIBITED-", "RESTRICTED-"), "rules goods.*", model=True),
    Family.CONTRADICTION: Looked(
        _coded("LISTING-CONTRADICTS"), "rule listing.contradicts_picture (shadow)", model=True
    ),
}
