"""The results part of a model card, written from measured figures between two marks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

# What the card shows of each part, in words, with the target where the project has one.
ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("scenes", "caption_objects", "caption names each object, 1 to 3 objects, every background", "0.92"),
    ("single", "caption_main", "caption names the object, one object", "0.96"),
    ("scenes", "caption_colour_and_name", "caption names the main object with its colour", ""),
    ("scenes", "caption_main_fluent", "caption names the main object, Fluent drawings", ""),
    ("scenes", "caption_main_twemoji", "the same, Twemoji drawings", ""),
    ("scenes", "caption_main_noto", "the same, Noto drawings", ""),
    ("scenes", "caption_main_photo_background", "the same, on photographs", ""),
    ("scenes", "od_recall", "detection finds each object (IoU 0.5, right name)", "0.85"),
    ("scenes", "od_precision", "detected boxes that are right", "0.85"),
    ("unseen_style", "caption_main", "caption names the object in a drawing style never trained on (OpenMoji)", "0.45"),
    ("level_text", "cer", "character error rate of <OCR>, level text of 30 pixels or more at 512", "at most 0.20"),
    ("level_text_rapidocr", "cer", "the same of RapidOCR, the second reader (extra `ocr`)", ""),
    ("level_text", "line_found", "lines found by <OCR_WITH_REGION> (IoU 0.5)", ""),
    ("any_text", "cer", "character error rate of <OCR>, turned and small text too", ""),
    ("any_text", "no_text_is_empty", "no text read where there is none", ""),
    ("questions", "absent_phrase_is_empty", "a phrase for what is not there is answered with nothing", "0.80"),
    ("questions", "present_phrase_is_found", "a phrase for what is there is found (IoU 0.5)", ""),
    ("questions", "grounding_recall", "phrases of the caption grounded (IoU 0.5)", ""),
    ("questions", "referring_mask_iou", "mask of a phrase, mean IoU", ""),
    ("questions", "region_mask_iou", "mask of a region, mean IoU", ""),
    ("questions", "region_category", "region named rightly", ""),
    ("certainty", "od_error_before", "calibration error of detected labels, raw scores", ""),
    ("certainty", "od_error_after", "the same as scores are read", "at most 0.05"),
    ("certainty", "ocr_with_region_error_before", "calibration error of lines read, raw scores", ""),
    ("certainty", "ocr_with_region_error_after", "the same as scores are read", "at most 0.05"),
    ("certainty", "present_passing_forced", "phrases for what is there that a second reading confirms", "0.90"),
    ("certainty", "absent_passing_forced", "the same for what is not there, a box being forced", "at most 0.10"),
    ("certainty", "absent_passing", "the same where it may answer with nothing", "at most 0.10"),
    ("photographs", "clothing", "real photographs of clothing (val): class named", "none"),
    ("photographs", "grocery", "real photographs of groceries (val): class named", "none"),
)


def table(figures: dict[str, Any]) -> str:
    """Markdown; parts that were not measured are left out."""
    return "\n".join(_lines(figures))


def _lines(figures: dict[str, Any]) -> Iterator[str]:
    yield f"Weights {figures['model']}; scenes of seed {figures['seed']}, {figures['fonts']} fonts."
    yield ""
    yield "| held-out | measured | of | target |"
    yield "| --- | --- | --- | --- |"
    for part, name, words, target in ROWS:
        value = figures.get(part, {}).get(name)
        if value is not None:
            yield f"| {words} | {value:.3f} | {figures[part]['counted'][name]} | {target} |"
    cost = figures["footprint"]
    yield ""
    yield (
        f"One thread: loaded in {cost['load_seconds']} s, all eight tasks without input on one photo in "
        f"{cost['eight_tasks_seconds']} s, {cost['resident_mb']} MB resident."
    )
    if base := figures.get("base_size"):
        yield (
            f"A checkpoint of Florence-2-base size with random weights: loaded in {base['load_seconds']} s, "
            f"{base['peak_mb']} MB at the peak in float32 with its answers."
        )


def rewrite(card: Path, figures: dict[str, Any]) -> None:
    """Replace what stands between the marks. Raises ValueError where the card has none."""
    text = card.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{card} has no {BEGIN} and {END} to write the results between.")
    card.write_text(f"{before}{BEGIN}\n{table(figures)}\n{END}{after}")
