"""How sure an engine is and how sure it may be: calibration errors, and what a second reading lets pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.calibration import VERIFIED_MIN
from worker.training.certainty import calibration_error, collect, error_by_chance, passing, read_by
from worker.vision.engine import FlorenceEngine


def measure(engine: FlorenceEngine, seed: int, count: int, progress: Callable[[int], None]) -> dict[str, Any]:
    """For each kind of answer its expected calibration error raw, as it is read, and by mere chance.

    For phrases the shares that are verified at the engine's threshold; "forced" where it must draw a box, as the
    original weights always do.
    """
    fitted = engine.fitted_for(None)
    known, how = fitted.calibration, fitted.verification
    samples = collect(engine, seed, count, how.siblings, progress)
    figures: dict[str, Any] = {"calibration": known and known.version}
    counted: dict[str, int] = {}
    for kind, some in samples.with_verified(how.something_else).items():
        read = read_by(known, kind, some)
        errors = {
            "before": calibration_error(some),
            "after": calibration_error(read),
            "by_chance": error_by_chance(read),
        }
        figures |= {f"{kind}_error_{when}": round(error, 4) for when, error in errors.items()}
        counted |= {f"{kind}_error_{when}": len(some) for when in errors}
    threshold = VERIFIED_MIN if known is None else known.verified_min
    for mode, forced in (("_forced", True), ("", False)):
        shares = passing(samples.phrases, how.something_else, threshold, forced)
        for name in ("present", "absent"):
            figures[f"{name}_passing{mode}"] = shares[f"{name}_passing"]
            counted[f"{name}_passing{mode}"] = shares[name]
    return {**figures, "threshold": threshold, "counted": counted}
