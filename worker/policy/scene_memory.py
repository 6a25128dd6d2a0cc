"""What a scene says is known from before: bank matches and earlier decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.banks import BankEntry, BankKind, BankMatch, EarlierDecision, Recalled, settle

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
Bits = Annotated[int, Field(ge=0, le=256)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SceneKnown(_Strict):
    """An entry that the picture is near to."""

    bank: str
    kind: Literal["block", "allow", "set_aside"] = "block"
    distance: Bits = 4
    note: str = ""


class SceneEarlier(_Strict):
    """An earlier photo that looks like this one."""

    verdict: Literal["approve", "review", "reject"]
    distance: Bits = 4


def recalled(known: Sequence[SceneKnown], earlier: Sequence[SceneEarlier]) -> Recalled:
    matches = [_match(number, one) for number, one in enumerate(known, 1)]
    decisions = [
        EarlierDecision(f"job-{number}", f"decision-{number}", f"product-{number}", one.verdict, one.distance, BEFORE)
        for number, one in enumerate(earlier, 1)
    ]
    return Recalled("scene" if known else "", settle(matches), tuple(decisions))


def _match(number: int, one: SceneKnown) -> BankMatch:
    aside = one.kind == "set_aside"
    entry = BankEntry(
        id=f"entry-{number}",
        bank=one.bank,
        kind=BankKind.BLOCK if aside else BankKind(one.kind),
        pdq="0" * 64,
        threshold=max(31, one.distance),
        note=one.note,
        source="scene",
        added_by="scene",
        added_at=BEFORE,
        set_aside="flood" if aside else None,
    )
    return BankMatch(entry, one.distance)
