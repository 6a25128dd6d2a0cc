"""The plans that the engine is measured with, and how long their answers are where the weights are random."""

from __future__ import annotations

from collections.abc import Mapping

from domain.observations import Task

# Six tasks with the lengths, in tokens, that their answers commonly have. Random weights never end by themselves.
LENGTHS: Mapping[Task, int] = {
    Task.CAPTION: 15,
    Task.DETAILED_CAPTION: 50,
    Task.MORE_DETAILED_CAPTION: 90,
    Task.OD: 60,
    Task.OCR_WITH_REGION: 75,
    Task.DENSE_REGION_CAPTION: 70,
}
TASKS = tuple(LENGTHS)
PLANS = (1, 4, 6)  # the first so many of TASKS
