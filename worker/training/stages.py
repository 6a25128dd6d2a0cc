"""The stages of training shelf-tiny: what each sees, what it is asked, and how fast it learns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from worker.training.batches import Feed
from worker.training.synth.scenes import Setting

# Shares of prompts while the language model learns: names and places first, reading beside them.
EARLY_TASKS = (
    ("<CAPTION>", 1.0),
    ("<OD>", 1.0),
    ("<DETAILED_CAPTION>", 0.12),
    ("<MORE_DETAILED_CAPTION>", 0.08),
    ("<DENSE_REGION_CAPTION>", 0.08),
    ("<REGION_PROPOSAL>", 0.05),
    ("<OPEN_VOCABULARY_DETECTION>", 0.1),
    ("<OCR>", 0.05),
    ("<OCR_WITH_REGION>", 0.05),
)
ALL_TASKS = (
    ("<CAPTION>", 1.0),
    ("<OD>", 1.5),
    ("<OCR>", 1.3),
    ("<OCR_WITH_REGION>", 0.5),
    ("<DETAILED_CAPTION>", 0.3),
    ("<MORE_DETAILED_CAPTION>", 0.15),
    ("<DENSE_REGION_CAPTION>", 0.2),
    ("<REGION_PROPOSAL>", 0.1),
    ("<OPEN_VOCABULARY_DETECTION>", 0.35),
    ("<CAPTION_TO_PHRASE_GROUNDING>", 0.15),
    ("<REFERRING_EXPRESSION_SEGMENTATION>", 0.35),
    ("<REGION_TO_SEGMENTATION>", 0.25),
    ("<REGION_TO_CATEGORY>", 0.1),
    ("<REGION_TO_DESCRIPTION>", 0.08),
    ("<REGION_TO_OCR>", 0.25),
    ("<VQA>", 0.08),
)


@dataclass(frozen=True)
class Stage:
    """One stage: what it sees and how it learns. Rates are for AdamW-sized steps."""

    feed: Feed
    batch: int
    tower_rate: float
    other_rate: float
    pooled: float = 0.0
    dense: float = 1.0
    letters: float = 0.5
    warmup: int = 1500  # scenes
    least: float = 0.1  # the rate at the end, relative to its top


# Learning starts much sooner on large, upright things in their own colours; the next stages bring the rest.
EASY = Setting(
    objects=(1.0,), single_size=(0.65, 1.0), text=0.05, tinted=0.3, upright=0.45, kinds=(0.45, 0.3, 0.15, 0.1)
)
SCENES = Setting(
    objects=(0.6, 0.28, 0.12),
    single_size=(0.42, 0.95),
    shared_size=(0.32, 0.52),
    text=0.25,
    tinted=0.4,
    upright=0.3,
    kinds=(0.45, 0.28, 0.15, 0.12),
    styles=("fluent", "fluent", "twemoji", "noto"),
)
# Close to what is measured, with somewhat fewer photographs and less lettering.
FULL = Setting(
    text=0.35,
    redrawn=0.3,
    tinted=0.42,
    kinds=(0.38, 0.27, 0.18, 0.17),
    styles=("fluent", "fluent", "twemoji", "noto"),
)
# At 128 pixels letters as large as those of a whole picture at 224: what is learnt here is read there.
LETTERED = Setting(
    objects=(1.0,),
    single_size=(0.35, 0.8),
    text=1.0,
    capitals=(0.1, 0.22),
    lines=(2, 3, 4, 5, 6),
    turned=0.1,
    plates=0.7,
    redrawn=0.3,
    tinted=0.42,
    kinds=(0.38, 0.27, 0.18, 0.17),
    styles=("fluent", "fluent", "twemoji", "noto"),
)
# Whole pictures with as much text as adverts have, small and turned too.
PRINTED = replace(LETTERED, capitals=(0.055, 0.2), lines=(1, 1, 2, 3, 4), turned=0.3, plates=0.5)
# A quarter of a picture, full of print: letters as large as they are measured, a line or two.
STRIP = replace(LETTERED, aspect=4.0, capitals=(0.2, 0.5), lines=(1, 1, 1, 2), turned=0.0, plates=0.5)
STAGES = {
    "easy": Stage(Feed(10, 64, ((EASY, 1.0),)), 128, 2e-3, 1.2e-3, pooled=1.0, least=0.2, letters=0.0),
    "dense": Stage(Feed(12, 96, ((SCENES, 1.0),)), 96, 1.2e-3, 1e-3, pooled=0.3, least=0.3, letters=0.0),
    "language": Stage(Feed(16, 96, ((SCENES, 1.0),), EARLY_TASKS, 2), 96, 6e-4, 1.2e-3, least=0.04, letters=0.0),
    "sight": Stage(
        Feed(21, 128, ((FULL, 0.65), (LETTERED, 0.35))),
        96,
        9e-4,
        1.5e-3,
        pooled=0.2,
        least=0.15,
        letters=1.0,
        warmup=5000,
    ),
    "letters": Stage(
        Feed(24, 128, ((FULL, 0.4), (LETTERED, 0.6))),
        96,
        7e-4,
        1.2e-3,
        pooled=0.1,
        least=0.2,
        letters=2.0,
        warmup=2000,
    ),
    "speech": Stage(
        Feed(22, 128, ((FULL, 0.65), (LETTERED, 0.35)), ALL_TASKS, 3), 64, 4e-4, 1.2e-3, least=0.1, letters=1.0
    ),
    # Only reading: what else is known comes back in the next stage.
    "strips": Stage(
        Feed(26, 256, ((STRIP, 1.0),), (("<OCR>", 1.0), ("<OCR_WITH_REGION>", 0.3), ("<REGION_TO_OCR>", 0.3)), 1, 64),
        96,
        4e-4,
        1.2e-3,
        least=0.2,
        letters=1.0,
    ),
    "read": Stage(Feed(28, 256, ((FULL, 0.6), (PRINTED, 0.4)), ALL_TASKS, 3), 48, 3e-4, 7e-4, least=0.04, letters=1.0),
}
