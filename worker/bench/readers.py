"""RapidOCR on the same scenes: the peer that stands beside our reading of text."""

from __future__ import annotations

import time
from collections.abc import Callable

from domain.errors import ExtraMissing
from worker.training.held_out import Exam, drawn, judge_text
from worker.training.measures import Tally
from worker.vision.second_reader import RapidReader

MOST = 60  # scenes; the peer takes a third of a second each


def rapidocr(exam: Exam, progress: Callable[[int], None] = lambda _: None) -> tuple[Tally, float] | None:
    """Error rates on the first scenes of an exam and seconds a picture; None where the extra `ocr` is not installed."""
    try:
        reader = RapidReader.load()
    except ExtraMissing:
        return None
    tally, seconds = Tally(), 0.0
    for index in range(min(MOST, exam.count)):
        one = drawn(exam, index)
        began = time.perf_counter()
        reading = reader.read(one.picture, *one.picture.size)
        seconds += time.perf_counter() - began
        judge_text(
            " ".join(line.text for line in one.scene.lines), " ".join(line.text for line in reading.lines), tally
        )
        progress(1)
    return tally, seconds / max(1, min(MOST, exam.count))
